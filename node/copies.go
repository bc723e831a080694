package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/node/image"
	"holon/runtime"
)

// SnapshotsDir is where in the data directory the copies for Snapshots are, each in a file
// named after the object's UID.
const SnapshotsDir = "snapshots"

const (
	copySuffix   = ".snap"
	copyReserve  = 64 << 20    // bytes that stay free, as the store wants them
	copiesRetry  = time.Minute // after the directory could not be read
	dataSumBytes = 32          // with which a snapshot ends
)

func (n *Node) copyPath(uid crdt.UID) string {
	return filepath.Join(n.cfg.DataDir, SnapshotsDir, uid.String()+copySuffix)
}

// keepCopies carries out what the core wants of the files of Snapshots, one order at a time.
func (n *Node) keepCopies(ctx context.Context) {
	for {
		found, err := n.findCopies()
		if err == nil {
			n.tell(ctx, core.CopiesFound{Copies: found})
			break
		}
		n.log.Error("the copies for Snapshots that are kept here cannot be listed; none is written", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(copiesRetry):
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-n.toKeep:
			file := n.carryOutCopy(ctx, o)
			if ctx.Err() != nil {
				return // the next boot finds out by itself
			}
			n.tell(ctx, core.CopyEnded{Order: o, Copy: file})
		}
	}
}

// findCopies lists the copies that are there, and removes what a crash has left of others.
func (n *Node) findCopies() (found []state.SnapshotCopy, err error) {
	dir := filepath.Join(n.cfg.DataDir, SnapshotsDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, ours := strings.CutSuffix(e.Name(), copySuffix)
		uid, parsed := crdt.ParseUID(name)
		switch {
		case strings.HasPrefix(e.Name(), "."): // see replaceFile
			err = errors.Join(err, os.Remove(path))
		case ours && parsed == nil:
			found = append(found, readCopy(path, uid))
		default:
			n.log.Warn("a file among the copies for Snapshots is none; it is left alone", "file", path)
		}
	}
	return found, err
}

// readCopy says what a file holds, by its beginning and its end. One that does not read is kept
// all the same, and said to be damaged: it is not this node's to remove.
func readCopy(path string, uid crdt.UID) state.SnapshotCopy {
	out := state.SnapshotCopy{UID: uid, State: state.CopyKept}
	err := func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := snapshot.NewReader(bufio.NewReader(f))
		if err != nil {
			return err
		}
		h := r.Header()
		if out.Bytes, err = f.Seek(-dataSumBytes, io.SeekEnd); err != nil {
			return err
		}
		out.Bytes += dataSumBytes
		out.Taken, out.Objects = h.Taken, h.Objects
		_, err = io.ReadFull(f, out.Sum[:])
		return err
	}()
	if err != nil {
		return state.SnapshotCopy{UID: uid, State: state.CopyFailed, Message: "the file that is there does not read: " + err.Error()}
	}
	return out
}

// carryOutCopy writes or removes a file and says what is there then.
func (n *Node) carryOutCopy(ctx context.Context, o core.CopyOrder) state.SnapshotCopy {
	out := state.SnapshotCopy{UID: o.UID}
	path := n.copyPath(o.UID)
	if o.Remove {
		if err := removeSynced(path); err != nil {
			out.State, out.Message = state.CopyKept, fmt.Sprintf("the copy cannot be removed: %v", err)
		}
		return out
	}
	err := n.writeCopy(ctx, path, o)
	switch {
	case errors.Is(err, api.ErrNoRoom):
		out.State, out.Message = state.CopyRefused, strings.TrimPrefix(err.Error(), api.ErrNoRoom.Error()+": ")
	case err != nil:
		out.State, out.Message = state.CopyFailed, err.Error()
	default:
		return readCopy(path, o.UID)
	}
	return out
}

// writeCopy has the state of the cluster, as this node has it now, on its disk when it returns.
func (n *Node) writeCopy(ctx context.Context, path string, o core.CopyOrder) error {
	select {
	case n.copies <- struct{}{}:
		defer func() { <-n.copies }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	ack, err := n.ask(ctx, core.Copy{})
	if err != nil {
		return err
	}
	head := n.snapshotHeader()
	head.UID = o.UID.String()
	need := uint64(len(ack.Copied.Context))
	for _, r := range ack.Copied.Records {
		need += uint64(len(r.Key) + len(r.Value))
		head.Objects += usersObject(r)
	}
	room, err := n.cfg.DiskFree(filepath.Dir(path))
	if err != nil {
		return err
	}
	if room < need+copyReserve {
		return fmt.Errorf("%w: the copy may take %s, %s are free, and %s of them stay free",
			api.ErrNoRoom, image.Bytes(int64(need)), image.Bytes(int64(room)), image.Bytes(copyReserve))
	}
	return replaceFile(path, 0o600, func(f *os.File) error {
		out := bufio.NewWriterSize(f, 1<<20)
		if err := writeSnapshot(ctx, out, ack.Copied, head); err != nil {
			return err
		}
		return out.Flush()
	})
}

// usersObject is 1 for a record with an object that users have made.
func usersObject(r crdt.KV) int64 {
	if key := state.Key(r.Key); key.Internal() || key.Resource() == state.Nodes {
		return 0
	}
	if rec, err := crdt.View(r.Value); err != nil || rec.Live() == nil {
		return 0
	}
	return 1
}

// removeSynced removes a file for good; one that is not there is removed.
func removeSynced(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SnapshotData streams the copy for a Snapshot from the first of some nodes that can be asked,
// this one if it is among them.
func (n *Node) SnapshotData(ctx context.Context, q api.SnapshotQuery, w io.Writer) error {
	keepers := slices.Clone(q.Nodes)
	slices.SortStableFunc(keepers, func(a, b string) int { return n.farther(a) - n.farther(b) })
	out := &counted{w: w}
	var last error
	for _, node := range keepers {
		req := sessionRequest{Actor: q.Actor, Snapshot: q.Name, SnapshotUID: q.UID}
		_, err := n.session(ctx, node, req, api.Stream{Stdout: out})
		if err == nil || out.bytes > 0 || ctx.Err() != nil {
			return err
		}
		last = errors.Join(last, err)
	}
	return last
}

// farther is 0 for this node.
func (n *Node) farther(node string) int {
	if node == n.cfg.Identity.Name {
		return 0
	}
	return 1
}

// counted knows whether anything was written.
type counted struct {
	w     io.Writer
	bytes int64
}

func (c *counted) Write(p []byte) (int, error) {
	written, err := c.w.Write(p)
	c.bytes += int64(written)
	return written, err
}

// sendCopy streams the file of a Snapshot.
func (n *Node) sendCopy(req sessionRequest, w io.Writer) error {
	uid, err := crdt.ParseUID(req.SnapshotUID)
	if err != nil {
		return err
	}
	f, err := os.Open(n.copyPath(uid))
	if errors.Is(err, fs.ErrNotExist) {
		return &runtime.Error{Kind: runtime.NotFound, Op: "snapshot", Err: fmt.Errorf("%s keeps no copy for Snapshot %s", n.cfg.Identity.Name, req.Snapshot)}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
