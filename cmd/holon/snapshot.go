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
	return groupCommand("snapshot", "Save the cluster's state to a file, and restore from it",
		`A snapshot is one file with the whole state of the cluster as one node has it at
one moment: every object, and holon's own records. It is checksummed, and may be
taken from any node while the cluster works. It holds no data of volumes, and no
private key of the cluster; like the database, it holds the contents of all
ConfigMaps, so keep it as you keep those.

docs/recovery.md goes through what can be lost, and what brings it back.`,
		`  holon snapshot save cluster.snap
  holon snapshot inspect cluster.snap
  holon snapshot restore cluster.snap --objects deploy/web --dry-run   # into this cluster
  holon snapshot restore cluster.snap --new-cluster                    # all nodes are lost`,
		snapshotSaveCommand(a), snapshotInspectCommand(a), snapshotRestoreCommand(a))
}

// saveOptions are the flags of `snapshot save`.
type saveOptions struct {
	dataDir string
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

FILE is replaced only once the new one is whole and on disk.`,
		Example: `  holon snapshot save cluster.snap
  holon --context n2 snapshot save cluster.snap     # as n2 has it
  holon snapshot save - | ssh backup 'cat > cluster.snap'`,
		Args: wantArgs(1, 1, "the file to write, or - for stdout"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.saveSnapshot(cmd.Context(), args[0], o)
		},
	}
	return c
}

func (a *app) saveSnapshot(ctx context.Context, file string, o saveOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	began := time.Now()
	wait := a.startProgress("saving the state of the cluster from %s", c.where)
	defer wait.stop()
	var info snapshotInfo
	save := func(out io.Writer) (err error) {
		info, err = c.saveTo(ctx, out, wait)
		return err
	}
	if file == "-" {
		if isTerminal(a.out) {
			return usagef("a snapshot is no text: name a file, or redirect stdout")
		}
		err = save(a.out)
	} else {
		err = writeWhole(file, save)
	}
	if err != nil {
		return fmt.Errorf("no snapshot was saved: %w", err)
	}
	wait.stop()
	words, what := a.out, "to "+file
	if file == "-" {
		words, what = a.err, "to stdout"
	}
	_, err = fmt.Fprintf(words, "saved %s %s in %.1f s; %s\n", info.words(), what, time.Since(began).Seconds(), notVolumes)
	return err
}

// saveTo streams a snapshot of the node to out and checks all of it on the way.
func (c *client) saveTo(ctx context.Context, out io.Writer, wait *progress) (snapshotInfo, error) {
	body, err := c.stream(ctx, request{path: snapshotPath, accept: "*/*"})
	if err != nil {
		return snapshotInfo{}, err
	}
	defer body.Close()
	info, err := readSnapshot(io.TeeReader(body, out), nil, wait)
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
		RunE: func(_ *cobra.Command, args []string) error {
			in, close, err := a.openSnapshot(args[0])
			if err != nil {
				return err
			}
			defer close()
			wait := a.startProgress("reading %s", args[0])
			defer wait.stop()
			info, err := readSnapshot(in, nil, wait)
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
