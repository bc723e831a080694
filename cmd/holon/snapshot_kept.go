package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/node/api"
)

const snapshotsPath = ownGroup + "/snapshots"

// keptPoll is the pace at which `snapshot create --wait` looks.
const keptPoll = 300 * time.Millisecond

func snapshotPathOf(name string) string { return snapshotsPath + "/" + url.PathEscape(name) }

func snapshotCreateCommand(a *app) *cobra.Command {
	var nodes []string
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Have the nodes keep a copy of the cluster's state on their own disks",
		Long: `Make a Snapshot: an object that asks nodes to keep a copy of the cluster's state, as
'kubectl create' of one does. Every node that hears of it writes its own copy, of the
moment at which it does, so two copies may differ, and on a side of a split a copy is
of that side. They go when the Snapshot is deleted, and not before.

A node keeps 16 copies at most, and none where the disk has no room; it says so, and
tries again. Copies on the disks of a cluster are for mistakes: for the day on which all disks
are gone, save one elsewhere ('holon snapshot save FILE --of NAME').`,
		Example: `  holon snapshot create before-upgrade --wait
  holon snapshot create before-upgrade --nodes n1,n3`,
		Args: wantArgs(1, 1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			s := api.Snapshot{ObjectMeta: metav1.ObjectMeta{Name: args[0]}, Spec: api.SnapshotSpec{Nodes: nodes}}
			s.APIVersion, s.Kind = "holon.dev/v1", "Snapshot"
			body, err := json.Marshal(s)
			if err != nil {
				return err
			}
			if _, err := c.do(cmd.Context(), request{method: http.MethodPost, path: snapshotsPath, body: body}); err != nil {
				return err
			}
			say(a.out, "snapshot.holon.dev/%s created\n", args[0])
			if !wait {
				return nil
			}
			ctx, cancel := withOptionalTimeout(cmd.Context(), timeout)
			defer cancel()
			return a.waitKept(ctx, c, args[0])
		},
	}
	c.Flags().StringSliceVar(&nodes, "nodes", nil, "which nodes are to keep a copy (default: all)")
	c.Flags().BoolVar(&wait, "wait", false, "wait until every node in reach has written its copy, or cannot")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "with --wait: how long; 0: for ever")
	return c
}

// waitKept waits until no copy is on its way any more, and fails unless all are there.
func (a *app) waitKept(ctx context.Context, c *client, name string) error {
	for {
		var s api.Snapshot
		if err := c.get(ctx, snapshotPathOf(name), nil, &s); err != nil {
			return timedOut(ctx, err)
		}
		switch s.Status.Phase {
		case "", "Pending":
		case "Kept":
			say(a.out, "kept by %s\n", plural(len(s.Status.Copies), "node"))
			return nil
		default:
			a.printCopies([]api.Snapshot{s})
			return fmt.Errorf("snapshot %s is %s", name, s.Status.Phase)
		}
		select {
		case <-ctx.Done():
			a.printCopies([]api.Snapshot{s})
			return fmt.Errorf("snapshot %s is not kept by every node that was asked, and is waited for no longer; the nodes go on", name)
		case <-time.After(keptPoll):
		}
	}
}

func snapshotListCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the copies that nodes keep, one a line",
		Example: "  holon snapshot ls\n  holon snapshot ls -o json\n  kubectl get snapshots",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var list struct {
				Items []api.Snapshot `json:"items"`
			}
			if err := c.get(cmd.Context(), snapshotsPath, nil, &list); err != nil {
				return err
			}
			switch {
			case output != "":
				return printStructured(a.out, output, list)
			case len(list.Items) == 0:
				say(a.out, "no snapshots\n")
			default:
				a.printCopies(list.Items)
			}
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (a *app) printCopies(list []api.Snapshot) {
	var rows [][]string
	for i := range list {
		for _, k := range list[i].Status.Copies {
			objects, size, taken := "-", "-", "-"
			if k.SHA256 != "" {
				objects, size, taken = fmt.Sprint(k.Objects), humanBytes(k.Bytes), orElse(k.TakenAt, "-")
			}
			message := k.Message
			if len(k.Also) > 0 {
				message = strings.TrimPrefix(message+"; also of --uid "+strings.Join(k.Also, ", "), "; ")
			}
			rows = append(rows, []string{list[i].Name, k.Node, k.State, objects, size, taken, message})
		}
	}
	printTable(a.out, []string{"SNAPSHOT", "NODE", "STATE", "OBJECTS", "SIZE", "TAKEN", "MESSAGE"}, rows)
}

func snapshotRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove", "delete"},
		Short:   "Delete Snapshots, and with them the copies that nodes keep",
		Example: "  holon snapshot rm before-upgrade",
		Args:    wantArgs(1, 100, "names, see 'holon snapshot ls'"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var failed []error
			for _, name := range args {
				if _, err := c.do(cmd.Context(), request{method: http.MethodDelete, path: snapshotPathOf(name)}); err != nil {
					failed = append(failed, err)
				} else {
					say(a.out, "snapshot.holon.dev/%s deleted; the nodes remove their copies as they hear of it\n", name)
				}
			}
			return errors.Join(failed...)
		},
	}
}

// keptCopy names a copy that a node keeps for a Snapshot.
type keptCopy struct{ of, node, uid string }

func (k *keptCopy) addFlags(c *cobra.Command, what string) {
	c.Flags().StringVar(&k.of, "of", "", what+" that nodes keep for this Snapshot, see 'holon snapshot ls'")
	c.Flags().StringVar(&k.node, "node", "", "with --of: the copy of this node (default: any that can be had)")
	c.Flags().StringVar(&k.uid, "uid", "", "with --of: that of a Snapshot which lost this name when two sides of a split met")
}

// fetchTo streams a copy to out, and checks all of it and that it is one that the Snapshot's
// status names.
func (c *client) fetchTo(ctx context.Context, k keptCopy, out io.Writer, wait *progress) (snapshotInfo, error) {
	query := url.Values{}
	if k.node != "" {
		query.Set("node", k.node)
	}
	if k.uid != "" {
		query.Set("uid", k.uid)
	}
	info, err := c.saveFrom(ctx, request{path: snapshotPathOf(k.of) + "/data", query: query, accept: "*/*"}, out, wait)
	if err != nil {
		return info, err
	}
	var s api.Snapshot
	if err := c.get(ctx, snapshotPathOf(k.of), nil, &s); err != nil {
		return info, err
	}
	if k.uid != "" && k.uid != string(s.UID) {
		if info.UID != k.uid {
			return info, fmt.Errorf("what came is for the Snapshot %s", info.UID)
		}
		return info, nil // nobody tells the sum of that one
	}
	var sums []string
	for _, at := range s.Status.Copies {
		if at.Node != info.Node || at.SHA256 == "" {
			continue
		}
		if at.SHA256 == info.SHA256 {
			return info, nil
		}
		sums = append(sums, at.SHA256)
	}
	return info, fmt.Errorf("what came as the copy of %s has the SHA-256 %s, and should have %s", info.Node, info.SHA256, orElse(strings.Join(sums, " or "), "that of a copy which it keeps no more"))
}

// fetched puts a copy into a file for a while, for who reads it twice.
func (a *app) fetched(ctx context.Context, k keptCopy) (file string, remove func(), err error) {
	c, err := a.connect()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "holon-snapshot-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	wait := a.startProgress("fetching a copy of snapshot %s by %s", k.of, c.where)
	defer wait.stop()
	file = dir + "/" + k.of + ".snap"
	if err := writeWhole(file, func(out io.Writer) error { _, err := c.fetchTo(ctx, k, out, wait); return err }); err != nil {
		remove()
		return "", nil, err
	}
	return file, remove, nil
}
