package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"time"
)

// archive is the file of an image on its way here. It outlives the daemon.
type archive struct {
	s    *Store
	t    *Transfer
	path string
	file *os.File
	sum  hash.Hash // of all that is in it
	pos  int64
	came int64 // over the network, since it was opened
	size int64 // what it will have, as the first holder says
	room int64 // bytes until the free space is looked at again
}

// openArchive goes on with what is there, after making sure that the rest has room:
// once for the file and once for what the runtime unpacks.
func (s *Store) openArchive(t *Transfer, size int64) (*archive, error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.partialPath(t.id), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	a := &archive{s: s, t: t, path: f.Name(), file: f, sum: sha256.New(), size: size}
	if a.pos, err = io.Copy(a.sum, f); err == nil {
		err = a.checkRoom()
	}
	if err != nil {
		return nil, a.giveUp(err)
	}
	return a, nil
}

// checkRoom refuses to go on where that would eat into the reserve.
func (a *archive) checkRoom() error {
	return a.s.room(a.t.ref, uint64(max(2*a.size-a.pos, 0)), a.t.reserve())
}

// giveUp closes the file for another try, and removes it if the disk has no room.
func (a *archive) giveUp(err error) error {
	a.close()
	if _, full := errors.AsType[*SpaceError](err); full {
		err = errors.Join(err, os.Remove(a.path))
	}
	return err
}

func (t *Transfer) reserve() uint64 {
	if t.wanted.Keep {
		return KeepReserve
	}
	return Reserve
}

func (a *archive) close() { _ = a.file.Close() } // nothing depends on its being on disk

// restart forgets all that is there.
func (a *archive) restart() error {
	a.sum.Reset()
	a.pos = 0
	_, err := a.file.Seek(0, io.SeekStart)
	return errors.Join(err, a.file.Truncate(0))
}

// Errors of one stream that say whose fault it was. What is here is kept in any case:
// the next holder compares it with its own.
var (
	errBusy = errors.New("it is busy")
	errLied = errors.New("what arrived is not what it said that it sent") // it is not asked again
	errHere = errors.New("this node cannot go on")                        // comes with what no other holder can mend
)

// fetch fills the archive from one holder and, when that brings no more, from the
// next. It begins with one that depends on this node, so that many who want one
// image do not all ask the same, and gives up after triesMax streams in a row that
// brought it no further than it was before.
func (a *archive) fetch(ctx context.Context, holders []holder, r *Result) (from holder, err error) {
	turn, furthest := len(a.s.cfg.Self)+int(a.t.id[0]), a.pos
	for idle := 1; ; idle++ {
		from = holders[turn%len(holders)]
		came := a.came
		done, err := a.read(ctx, from)
		if a.came > came && !slices.Contains(r.From, from.peer.Name) {
			r.From = append(r.From, from.peer.Name)
		}
		r.Bytes += a.came - came
		switch {
		case done:
			return from, nil
		case ctx.Err() != nil:
			return from, ctx.Err()
		case errors.Is(err, errHere):
			return from, err
		case errors.Is(err, errLied):
			if holders = without(holders, from); len(holders) == 0 {
				return from, fmt.Errorf("%s: %w", from.peer.Name, err)
			}
		}
		if a.pos > furthest {
			furthest, idle = a.pos, 0
		} else {
			turn++
		}
		a.s.cfg.Log.Info("an image did not come through at once", "image", a.t.ref, "from", from.peer.Name, "bytes", a.pos, "error", err)
		if idle == triesMax {
			return from, fmt.Errorf("%d of %d bytes came, the last try with %s: %w", a.pos, a.size, from.peer.Name, err)
		}
		a.t.say("getting %s, %s of %s: %s: %v; trying again", a.t.ref, Bytes(a.pos), Bytes(a.size), from.peer.Name, err)
		pause(ctx, time.Duration(idle)*retryPause)
	}
}

func without(holders []holder, one holder) []holder {
	return slices.DeleteFunc(slices.Clone(holders), func(h holder) bool { return h.peer == one.peer })
}

const retryPause = 300 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// read takes what one holder sends behind what is here. whole says that the archive
// is whole and is what the holder said.
func (a *archive) read(ctx context.Context, from holder) (whole bool, err error) {
	ctx, heard, done := watched(ctx)
	defer done()
	a.sayComing(from)
	st, hangUp, err := a.s.dial(ctx, from.peer.ID, request{Op: opRead, ID: a.t.id, Offset: a.pos, Prefix: hex.EncodeToString(a.sum.Sum(nil))})
	if err != nil {
		return false, err
	}
	defer hangUp()
	in, buf := bufio.NewReaderSize(st, frameMax), make([]byte, frameMax)
	for began := false; ; heard() {
		kind, payload, err := readFrame(in, buf)
		switch {
		case err != nil:
			return false, errors.Join(err, context.Cause(ctx))
		case kind == frameHead && !began: // one more would let it begin anew for ever
			began, err = true, a.begin(payload)
		case kind == frameData && began:
			err = a.write(payload)
			a.sayComing(from)
		case kind == frameHead || kind == frameData:
			err = errLied
		case kind == frameWait:
			a.t.say("getting %s from %s, which is %.100s", a.t.ref, from.peer.Name, payload)
		case kind == frameEnd:
			err = a.finish(payload)
			return err == nil, err
		}
		if err != nil {
			return false, err
		}
	}
}

// sayComing says how much there is in steps: pods' statuses repeat it, and each change
// of a status goes to every node.
func (a *archive) sayComing(from holder) {
	step := max(a.size/sayParts, 1)
	a.t.say("getting %s from %s, %s of %s", a.t.ref, from.peer.Name, Bytes(a.pos/step*step), Bytes(a.size))
}

// sayParts is in how many steps a transfer is told of.
const sayParts = 20

// begin takes the offset at which the holder goes on: ours, or 0 for other bytes.
func (a *archive) begin(payload []byte) error {
	var h head
	if err := json.Unmarshal(payload, &h); err != nil {
		return errors.Join(errLied, err)
	}
	switch h.Offset {
	case a.pos:
		return nil
	case 0:
		return a.restart()
	}
	return fmt.Errorf("%w: it goes on at %d instead of %d", errLied, h.Offset, a.pos)
}

// finish compares what is here with what the holder says of the whole.
func (a *archive) finish(payload []byte) error {
	var e end
	if err := json.Unmarshal(payload, &e); err != nil {
		return errors.Join(errLied, err)
	}
	switch {
	case e.Busy:
		return errBusy
	case e.Error != "":
		return errors.New(e.Error)
	case e.Size != a.pos || e.SHA256 != hex.EncodeToString(a.sum.Sum(nil)):
		return fmt.Errorf("%w: %d bytes with another digest than the %d that it sent", errLied, a.pos, e.Size)
	}
	return nil
}

func (a *archive) write(p []byte) error {
	if a.pos+int64(len(p)) > min(2*a.size+archiveSlack, archiveBytesMax) {
		return fmt.Errorf("%w: it sends more than the %d bytes that it spoke of", errLied, a.size)
	}
	if a.room -= int64(len(p)); a.room < 0 {
		a.room = spaceEvery
		if err := a.checkRoom(); err != nil {
			return errors.Join(errHere, err)
		}
	}
	n, err := a.file.Write(p)
	a.sum.Write(p[:n])
	a.pos += int64(n)
	a.came += int64(n)
	if err != nil {
		return errors.Join(errHere, err)
	}
	return nil
}

// archiveSlack is what an archive may have beyond the unpacked size: headers.
const archiveSlack = 64 << 20
