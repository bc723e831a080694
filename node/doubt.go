package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holon/crdt"
	"holon/node/core"
)

// onDisk is what a database says of itself.
type onDisk struct {
	db      string
	replica crdt.ReplicaID
	epoch   uint64
	counter uint64 // reserved by the core
	seq     uint64
	damage  string // a pair that was set aside, and nobody has drawn the consequences
}

// used says whether a node has had this database.
func (d *onDisk) used() bool {
	return d.replica != crdt.ReplicaID{} || d.db != "" || d.damage != ""
}

// readDisk reads what bootStore wants to know. Damaged pairs are set aside by
// the store, which leaves a note of that.
func readDisk(s Store) (d onDisk, err error) {
	for _, prefix := range []string{"m/", "n/"} {
		for range 2 { // again, if there was damage: then with its note
			if err = s.Load(prefix, d.read); !damaged(err) {
				break
			}
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *onDisk) read(key string, value []byte) error {
	switch {
	case key == diskReplica && len(value) == len(d.replica):
		copy(d.replica[:], value)
	case key == diskEpoch && len(value) == 8:
		d.epoch = binary.BigEndian.Uint64(value)
	case key == diskSeq && len(value) == 8:
		d.seq = binary.BigEndian.Uint64(value)
	case key == diskDB:
		d.db = string(value)
	case key == diskDamage:
		d.damage = string(value)
	default:
		if counter, reserves := core.Reserved([]crdt.KV{{Key: key, Value: value}}); reserves {
			d.counter = counter
		}
	}
	return nil
}

// damaged tells whether Load met pairs that it has set aside.
func damaged(err error) bool {
	var e interface{ CorruptKeys() []string }
	return errors.As(err, &e)
}

// doubt says why a used database may lack what it once had, or be one of two; an
// empty string if nothing speaks for that. It cannot see a copy of the whole data
// directory that keeps every inode number, on the same machine, such as a
// snapshot of a disk that was put back: then the peers' contexts tell.
func (d *onDisk) doubt(m *mark, inode uint64, machine Machine, err error) string {
	switch other := m.Machine.differs(machine); {
	case d.damage != "":
		return fmt.Sprintf("damaged pairs of it were set aside, %.100q for one", d.damage)
	case errors.Is(err, fs.ErrNotExist):
		return "its mark is gone (the file '" + MarkFile + "' beside '" + StateDir + "')"
	case err != nil:
		return fmt.Sprintf("its mark (the file '%s' beside '%s') does not read: %v", MarkFile, StateDir, err)
	case d.db != m.DB:
		return "its mark belongs to another database: one of the two was copied here"
	case d.counter < m.Committed || d.seq < m.seq:
		return "it is older than its mark says: an old copy of '" + StateDir + "' was put back, or the disk lost synced writes"
	case d.counter > m.Reserved:
		return "its mark is older than itself: an old copy of the mark was put back"
	case len(other) > 0:
		return fmt.Sprintf("it was last used on another machine (%s differs)", strings.Join(other, ", "))
	case m.Inode != 0 && inode != 0 && m.Inode != inode:
		return "the data directory is a copy: its mark is not the file that was written"
	}
	return ""
}
