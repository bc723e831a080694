package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holon/crdt/badger"
	"holon/node"
)

// saveDisk saves what a node that does not run has on its disk. It works on a copy
// of the database, since opening one replays its logs: the last disk of a cluster
// is not the place for that.
func (a *app) saveDisk(ctx context.Context, file, dir string) error {
	scratchIn := os.TempDir()
	if file != "-" {
		scratchIn = filepath.Dir(file)
	}
	scratch, err := os.MkdirTemp(scratchIn, ".holon-database-*")
	if err != nil {
		return fmt.Errorf("no room for a copy of the database: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a copy
	wait := a.startProgress("copying the database in %s", dir)
	defer wait.stop()
	copied := filepath.Join(scratch, node.StateDir)
	err = badger.Copy(filepath.Join(dir, node.StateDir), copied)
	if errors.Is(err, badger.ErrInUse) {
		return fmt.Errorf("a node runs from %s: leave out --data-dir, and it saves itself: %w", dir, err)
	}
	if err != nil {
		return fmt.Errorf("no snapshot was saved: %w", err)
	}
	id, err := node.LoadIdentity(dir)
	if err != nil {
		a.warn(fmt.Sprintf("the snapshot will not say whose it is: %v", err))
		id = node.Identity{}
	}
	wait.say("reading the copy")
	store, err := badger.Open(copied, badger.Options{})
	if err != nil {
		return fmt.Errorf("no snapshot was saved: %w", err)
	}
	defer store.Close() //nolint:errcheck // a copy
	var damaged []string
	err = a.save(file, wait, func(out io.Writer) (snapshotInfo, error) {
		return checkedOnTheWay(ctx, out, wait, func(out io.Writer) (err error) {
			damaged, err = node.SnapshotStore(ctx, store, id, "holon-"+readVersion().Version, out)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, key := range damaged {
		a.complain(fmt.Sprintf("record %s is damaged on that disk, so it is not in the snapshot", key))
	}
	if len(damaged) > 0 {
		return errPrinted
	}
	return nil
}

// checkedOnTheWay reads what write writes while that goes to out.
func checkedOnTheWay(ctx context.Context, out io.Writer, wait *progress, write func(io.Writer) error) (snapshotInfo, error) {
	read, written := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := write(io.MultiWriter(out, written))
		written.CloseWithError(err)
		done <- err
	}()
	info, err := readSnapshot(ctx, read, nil, wait)
	read.CloseWithError(err)
	if failed := <-done; failed != nil {
		err = failed
	}
	return info, err
}
