package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holon/crdt"
	"holon/crdt/badger"
	"holon/crdt/state"
	"holon/node"
	"holon/node/api"
)

// restoreOptions are the flags of `snapshot restore`.
type restoreOptions struct {
	newCluster bool
	dataDir    string
	name       string

	objects       []string
	selector      string
	allNamespaces bool
	dryRun        bool
	yes           bool

	identity       string
	withoutSecrets bool

	kept keptCopy
}

// keys are those that open the Secrets of the snapshot.
func (o *restoreOptions) keys() (node.SecretKeys, error) {
	if o.identity == "" {
		return node.SecretKeys{}, nil
	}
	return node.ReadSecretKeys(o.identity)
}

// leavesOut reports whether a record is not to be restored at all. Of a Snapshot nodes would
// make new copies, of what is restored and not of what it asked to keep.
func (o *restoreOptions) leavesOut(key state.Key) bool {
	return key.Resource() == state.Snapshots || o.withoutSecrets && key.Resource() == state.Secrets
}

// open gives an object of the snapshot in the clear; nil if it is left out.
func (o *restoreOptions) open(keys node.SecretKeys, key state.Key, object state.Object) (map[string]any, error) {
	if o.leavesOut(key) {
		return nil, nil
	}
	value, err := keys.Open(key, object)
	return value, whereTheKeysAre(err)
}

// whereTheKeysAre adds the ways out to a Secret that does not open.
func whereTheKeysAre(err error) error {
	if errors.Is(err, node.ErrLocked) {
		return fmt.Errorf("%w; name the identity.json of a node of that cluster with --identity, or leave Secrets out with --without-secrets", err)
	}
	return err
}

// check refuses flags that do not go together.
func (o *restoreOptions) check(files int) error {
	switch {
	case (files == 0) == (o.kept.of == ""):
		return usagef("name the file of a snapshot, or a Snapshot that nodes keep copies for with --of")
	case (o.kept.node != "" || o.kept.uid != "") && o.kept.of == "":
		return usagef("--node and --uid go with --of")
	case o.newCluster == (len(o.objects) > 0):
		return usagef("say what to restore: --objects KIND/NAME into the present cluster, or --new-cluster")
	case o.newCluster && (o.selector != "" || o.allNamespaces || o.dryRun || o.yes):
		return usagef("--selector, --all-namespaces, --dry-run and --yes go with --objects")
	case o.identity != "" && o.withoutSecrets:
		return usagef("--identity opens Secrets, --without-secrets leaves them out: give one of them")
	case !o.newCluster && (o.dataDir != "" || o.name != ""):
		return usagef("--data-dir and --name go with --new-cluster")
	}
	return nil
}

func snapshotRestoreCommand(a *app) *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use:   "restore (FILE | --of NAME) (--objects KIND[/NAME] | --new-cluster)",
		Short: "Bring objects back from a snapshot",
		Long: `Bring back what a snapshot holds. The file is read to its end and checked before
anything is changed.

--objects brings selected objects back into the cluster that runs, by ordinary
writes: what is missing is created anew, under a new UID, and what is there gets the
spec or data, labels and annotations of the snapshot. Nothing is ever deleted, and
objects that were not selected stay as they are. Objects are selected as 'holon get'
does it: a kind, a comma list of kinds, KIND/NAME, with -n, -A and -l. On a terminal
it asks before it writes; --dry-run shows what it would do, field by field.

Secrets are sealed in a snapshot, and the keys are not in it: --identity names the
identity.json of any node that was a member then, from its data directory or a copy.

--new-cluster makes an empty data directory the first node of a new cluster, with
all your objects, created anew: for the day on which all nodes are lost. The new
cluster has another ID and other keys, so nodes of the old one cannot join it as
they are, and what they still hold can never mix with it. Labels and taints of
nodes, tokens and members are not taken over.`,
		Example: `  holon snapshot restore cluster.snap --objects deploy/web --dry-run
  holon snapshot restore cluster.snap --objects deploy/web,cm/settings
  holon snapshot restore cluster.snap --objects cm,deploy -n shop -l app=web --yes
  holon snapshot restore --of before-upgrade --objects deploy/web
  holon snapshot restore cluster.snap --new-cluster --data-dir /var/lib/holon
  holon up                                        # then start it there`,
		Args: wantArgs(0, 1, "the file of a snapshot"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(len(args)); err != nil {
				return err
			}
			if len(args) == 0 {
				file, remove, err := a.fetched(cmd.Context(), o.kept)
				if err != nil {
					return err
				}
				defer remove()
				args = []string{file}
			}
			if o.newCluster {
				return a.restoreCluster(cmd.Context(), args[0], o)
			}
			return a.restoreObjects(cmd.Context(), args[0], o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.objects, "objects", nil, "objects to bring back into the present cluster: KIND, KIND/NAME, or a comma list")
	f.StringVarP(&o.selector, "selector", "l", "", "with --objects: only those with these labels in the snapshot")
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "with --objects: in every namespace")
	f.BoolVar(&o.dryRun, "dry-run", false, "with --objects: show what would be created or changed, and change nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "with --objects: do not ask, on a terminal either")
	f.BoolVar(&o.newCluster, "new-cluster", false, "make the first node of a new cluster out of it, in an empty data directory")
	f.StringVar(&o.dataDir, "data-dir", "", "with --new-cluster: the data directory of the node (default: as for 'holon up')")
	f.StringVar(&o.name, "name", "", "with --new-cluster: the name of the node, a DNS label (default: the host name)")
	f.StringVar(&o.identity, "identity", "", "identity.json of a node of the snapshot's cluster: opens its Secrets")
	f.BoolVar(&o.withoutSecrets, "without-secrets", false, "leave Secrets out")
	o.kept.addFlags(c, "in place of FILE: a copy")
	_ = c.MarkFlagFilename("identity", "json")
	_ = c.MarkFlagDirname("data-dir")
	_ = c.RegisterFlagCompletionFunc("objects", a.completeTargets)
	return c
}

// restoringDir is where a database is filled before it gets its name: one that was
// left half full by a crash is of no use and never taken for a whole one.
const restoringDir = node.StateDir + ".restoring"

// restoreCluster makes the first node of a new cluster. The database comes before
// the identity: a directory with the former alone is refused by `holon up`.
func (a *app) restoreCluster(ctx context.Context, file string, o restoreOptions) error {
	begun := time.Now()
	up := nodeOptions{dataDir: o.dataDir, name: o.name, runtime: "auto", profile: "lan"}
	if err := up.complete(); err != nil {
		return err
	}
	if err := wantEmpty(up.dataDir); err != nil {
		return err
	}
	wait := a.startProgress("checking %s", file)
	defer wait.stop()
	info, err := a.readSnapshotFile(ctx, file, nil, wait)
	if err != nil {
		return err
	}
	wait.say("creating %s anew", plural(info.Objects, "object"))
	id, err := newIdentity(up.name, true)
	if err != nil {
		return err
	}
	restored, err := a.fillDatabase(ctx, file, info, up.dataDir, id, o, wait)
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	if err := id.Save(up.dataDir); err != nil {
		return err
	}
	wait.stop()
	a.warnUnreadable(info)
	_, err = fmt.Fprintf(a.out, "made cluster %s out of the state of cluster %s as %s had it (%s): %s in %.1f s, in %s; %s\nstart its first node with: holon up --data-dir %s\n",
		id.Cluster, orElse(info.Cluster, "unknown"), orElse(info.Node, "an unknown node"), orElse(info.Taken, "nobody knows when"), plural(restored, "object"), time.Since(begun).Seconds(), up.dataDir, notVolumes, up.dataDir)
	return err
}

// warnUnreadable names what is not restored because a later version wrote it.
func (a *app) warnUnreadable(info snapshotInfo) {
	for _, key := range info.Unreadable {
		a.warn(fmt.Sprintf("%s was not restored: this version of holon cannot read it", key))
	}
}

// wantEmpty refuses a data directory that somebody may need. A half-full database
// and its mark are what an interrupted restore leaves.
func wantEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("data directory: %w; name another one with --data-dir", err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{restoringDir, node.MarkFile, "lost+found"}, e.Name()) {
			return fmt.Errorf("data directory %s is not empty (%s is in it), and a new cluster needs an empty one: name another one with --data-dir, or move this one away", dir, e.Name())
		}
	}
	return nil
}

func (a *app) readSnapshotFile(ctx context.Context, file string, visit func(state.Key, *crdt.Record) error, wait *progress) (snapshotInfo, error) {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: file, Err: fmt.Errorf("no regular file: it is read twice, so save it to one first")}
	}
	if err != nil {
		return snapshotInfo{}, fmt.Errorf("cannot read the snapshot: %w", err)
	}
	in, done, err := a.openSnapshot(file)
	if err != nil {
		return snapshotInfo{}, err
	}
	defer done()
	read, err := readSnapshot(ctx, in, visit, wait)
	if err != nil {
		return snapshotInfo{}, fmt.Errorf("%s: %w", file, err)
	}
	return read, nil
}

// fillDatabase reads the file again and creates its objects.
func (a *app) fillDatabase(ctx context.Context, file string, checked snapshotInfo, dir string, id node.Identity, o restoreOptions, wait *progress) (restored int, err error) {
	partial := filepath.Join(dir, restoringDir)
	if err := os.RemoveAll(partial); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	store, err := badger.Open(partial, badger.Options{})
	if err != nil {
		return 0, err
	}
	restored, err = a.fill(ctx, store, dir, file, checked, id, o, wait)
	if closing := store.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.RemoveAll(partial) // the next attempt would
		_ = os.Remove(filepath.Join(dir, node.MarkFile))
		return 0, err
	}
	if err := os.Rename(partial, filepath.Join(dir, node.StateDir)); err != nil {
		return 0, err
	}
	return restored, syncDir(dir)
}

func (a *app) fill(ctx context.Context, store node.Store, dir, file string, checked snapshotInfo, id node.Identity, o restoreOptions, wait *progress) (restored int, err error) {
	keys, err := o.keys()
	if err != nil {
		return 0, err
	}
	r, err := node.NewRestorer(store, dir, id, keys)
	if err != nil {
		return 0, err
	}
	again, err := a.readSnapshotFile(ctx, file, func(key state.Key, rec *crdt.Record) error {
		if o.leavesOut(key) {
			return nil
		}
		made, err := r.Add(key, rec)
		if made {
			restored++
		}
		return whereTheKeysAre(err)
	}, wait)
	if err != nil {
		return 0, err
	}
	if again.SHA256 != checked.SHA256 {
		return 0, fmt.Errorf("%s was changed while it was read; try again", file)
	}
	return restored, r.Finish()
}

// newIdentity makes the keys of a new cluster and of its first node.
func newIdentity(name string, introduce bool) (node.Identity, error) {
	key, err := node.NewKey()
	if err != nil {
		return node.Identity{}, err
	}
	id, err := node.Found(name, key, introduce)
	if err != nil {
		return node.Identity{}, err
	}
	ca, err := api.NewCA(id.Cluster)
	if err != nil {
		return node.Identity{}, err
	}
	id.CACert, id.CAKey, err = ca.PEM()
	return id, err
}
