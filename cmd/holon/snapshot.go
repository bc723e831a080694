package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holon/crdt/snapshot"
)

const snapshotPath = ownGroup + "/snapshot"

// notVolumes is what a snapshot must not be taken for.
const notVolumes = "it holds the cluster's state, not the data in volumes"

func newSnapshotCommand(a *app) *cobra.Command {
	return groupCommand("snapshot", "Keep the cluster's state on nodes or in a file, and restore from it",
		`A snapshot is one file with the whole state of the cluster as one node has it at
one moment: every object, and holon's own records. It is checksummed, and may be
taken from any node while the cluster works. It holds no data of volumes, and no
private key of the cluster; like the database, it holds the contents of all
ConfigMaps, so keep it as you keep those.

'create' has the nodes keep copies on their own disks, 'save' writes one to a file.

docs/recovery.md goes through what can be lost, and what brings it back.`,
		`  holon snapshot create before-upgrade --wait
  holon snapshot save cluster.snap
  holon snapshot inspect cluster.snap
  holon snapshot restore cluster.snap --objects deploy/web --dry-run   # into this cluster
  holon snapshot restore cluster.snap --new-cluster                    # all nodes are lost`,
		snapshotCreateCommand(a), snapshotListCommand(a), snapshotRemoveCommand(a),
		snapshotSaveCommand(a), snapshotInspectCommand(a), snapshotRestoreCommand(a))
}

// saveOptions are the flags of `snapshot save`.
type saveOptions struct {
	dataDir string
	every   time.Duration
	keep    int
	kept    keptCopy
}

func (o *saveOptions) check(a *app, file string, scheduled, kept bool) error {
	switch {
	case file == "-" && isTerminal(a.out):
		return usagef("a snapshot is no text: name a file, or redirect stdout")
	case o.kept.of != "" && (scheduled || o.dataDir != ""):
		return usagef("--of fetches a copy that a node keeps: leave out --schedule and --data-dir")
	case (o.kept.node != "" || o.kept.uid != "") && o.kept.of == "":
		return usagef("--node and --uid go with --of; without them, --context says which node saves")
	case kept && !scheduled:
		return usagef("--keep goes with --schedule: one file is replaced")
	case scheduled && (file == "-" || o.dataDir != ""):
		return usagef("--schedule needs a file and a node that runs")
	case scheduled && (o.every < time.Second || o.keep < 1):
		return usagef("--schedule must be at least 1s and --keep at least 1")
	case o.dataDir != "" && (a.socket != "" || a.kubeconfig != "" || a.context != ""):
		return usagef("--data-dir reads a disk and asks no node: leave out --socket, --kubeconfig and --context")
	}
	return nil
}

func snapshotSaveCommand(a *app) *cobra.Command {
	var o saveOptions
	c := &cobra.Command{
		Use:   "save FILE",
		Short: "Save the cluster's state, as one node has it now",
		Long: `Save the whole state of the cluster, as the node that is asked has it now, to a
file that only you can read; - is stdout. The cluster goes on meanwhile: the
snapshot is of one moment. What that node has not heard of yet, because it is cut
off, is not in it: 'holon status' says what it sees.

FILE is replaced only once the new one is whole and on disk.

With --schedule the command stays and saves again and again, to files that are
named FILE.<time>, of which it keeps the newest. It counts the time by the monotonic
clock, goes on where it was when it is started again, retries while the node does
not answer (and asks the other nodes of the kubeconfig), and removes only files that
it wrote itself. As a service of systemd:

  [Unit]
  Description=Snapshots of the holon cluster
  After=holon.service

  [Service]
  ExecStart=/usr/local/bin/holon snapshot save /var/backups/holon/cluster.snap --schedule 6h --keep 28
  Restart=on-failure

  [Install]
  WantedBy=multi-user.target

With --of it fetches a copy that a node keeps for a Snapshot ('holon snapshot create').

With --data-dir it reads the disk of a node that does not run, such as the last one
that is left of a cluster. The disk is not written to; a copy of the database is
made beside FILE meanwhile.`,
		Example: `  holon snapshot save cluster.snap
  holon --context n2 snapshot save cluster.snap     # as n2 has it
  holon snapshot save - | ssh backup 'cat > cluster.snap'
  holon snapshot save cluster.snap --schedule 6h --keep 28
  holon snapshot save before.snap --of before-upgrade --node n2
  holon snapshot save last.snap --data-dir /mnt/olddisk/var/lib/holon`,
		Args: wantArgs(1, 1, "the file to write, or - for stdout"),
		RunE: func(cmd *cobra.Command, args []string) error {
			scheduled := cmd.Flags().Changed("schedule")
			if err := o.check(a, args[0], scheduled, cmd.Flags().Changed("keep")); err != nil {
				return err
			}
			switch {
			case scheduled:
				return a.saveAgainAndAgain(cmd.Context(), args[0], o)
			case o.dataDir != "":
				return a.saveDisk(cmd.Context(), args[0], o.dataDir)
			}
			return a.saveNode(cmd.Context(), args[0], o.kept)
		},
	}
	f := c.Flags()
	f.DurationVar(&o.every, "schedule", 0, "stay, and save so often: 6h; to FILE.<time>")
	f.IntVar(&o.keep, "keep", 8, "with --schedule: how many files to keep")
	f.StringVar(&o.dataDir, "data-dir", "", "read the data directory of a node that does not run")
	o.kept.addFlags(c, "save a copy")
	_ = c.MarkFlagDirname("data-dir")
	return c
}

func (a *app) saveNode(ctx context.Context, file string, kept keptCopy) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	wait := a.startProgress("saving the state of the cluster from %s", c.where)
	defer wait.stop()
	return a.save(file, wait, func(out io.Writer) (snapshotInfo, error) {
		if kept.of != "" {
			return c.fetchTo(ctx, kept, out, wait)
		}
		return c.saveTo(ctx, out, wait)
	})
}

// save lets write fill a file or stdout, and says what became of it.
func (a *app) save(file string, wait *progress, write func(io.Writer) (snapshotInfo, error)) (err error) {
	began := time.Now()
	var info snapshotInfo
	fill := func(out io.Writer) (err error) {
		info, err = write(out)
		return err
	}
	words, where := a.out, "to "+file
	if file == "-" {
		words, where = a.err, "to stdout"
		err = fill(a.out)
	} else {
		err = writeWhole(file, fill)
	}
	if err != nil {
		return fmt.Errorf("no snapshot was saved: %w", err)
	}
	wait.stop()
	say(words, "saved %s %s in %.1f s; %s\n", info.words(), where, time.Since(began).Seconds(), notVolumes)
	return nil
}

// saveTo streams a snapshot of the node to out and checks all of it on the way.
func (c *client) saveTo(ctx context.Context, out io.Writer, wait *progress) (snapshotInfo, error) {
	return c.saveFrom(ctx, request{path: snapshotPath, accept: "*/*"}, out, wait)
}

// saveFrom is saveTo of what a request answers.
func (c *client) saveFrom(ctx context.Context, r request, out io.Writer, wait *progress) (snapshotInfo, error) {
	body, err := c.stream(ctx, r)
	if err != nil {
		return snapshotInfo{}, err
	}
	defer body.Close()
	info, err := readSnapshot(ctx, io.TeeReader(body, out), nil, wait)
	if errors.Is(err, snapshot.ErrForeign) {
		return info, fmt.Errorf("%s answered something that is no snapshot; is it a holon node of this version?", c.where)
	}
	return info, err
}

func snapshotInspectCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Check a snapshot and show what is in it",
		Long: `Read a snapshot to its end, check every checksum in it, and show which cluster and
node it is of, when it was taken, and what it holds. No node is asked. - is stdin.`,
		Example: `  holon snapshot inspect cluster.snap
  holon snapshot inspect cluster.snap -o json`,
		Args: wantArgs(1, 1, "the file of a snapshot, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, done, err := a.openSnapshot(args[0])
			if err != nil {
				return err
			}
			defer done()
			wait := a.startProgress("reading %s", args[0])
			defer wait.stop()
			info, err := readSnapshot(cmd.Context(), in, nil, wait)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			wait.stop()
			if output != "" {
				return printStructured(a.out, output, info)
			}
			printSnapshot(a.out, info)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}
