package state

import (
	"cmp"
	"fmt"
	"slices"

	"holon/crdt"
)

// Snapshot asks nodes to keep a copy of what they hold, each on its own disk. Which of them
// do is said by themselves, in their statuses; the object only asks, and never changes.
type Snapshot struct {
	Key       Key
	UID       crdt.UID
	Born      crdt.Stamp
	Nodes     []string // empty: every member
	Object    map[string]any
	Conflicts []Conflict
	// Losers are the objects that bore this name, too, and were deleted by a merge and not
	// by a user: their copies go with this object.
	Losers map[crdt.UID]bool
}

// SnapshotsMax is how many copies a node keeps. Nothing is removed to make room.
const SnapshotsMax = 16

// CopyState is how far a node has come with a copy.
type CopyState string

// The states of a copy. Waiting is of a node that has not said anything of it.
const (
	CopyKept    CopyState = "Kept" // durable, on the node's own disk
	CopyWriting CopyState = "Writing"
	CopyFailed  CopyState = "Failed"  // to be tried again
	CopyRefused CopyState = "Refused" // no room; to be tried again
	CopyWaiting CopyState = "Waiting"
)

// SnapshotCopy is what a node says of its copy for one Snapshot.
type SnapshotCopy struct {
	UID     crdt.UID  `cbor:"1,keyasint"` // of the Snapshot
	State   CopyState `cbor:"2,keyasint"`
	Bytes   int64     `cbor:"3,keyasint,omitempty"` // of the file
	Objects int64     `cbor:"4,keyasint,omitempty"`
	Taken   string    `cbor:"5,keyasint,omitempty"` // RFC 3339 by that node's clock, display only
	Sum     [32]byte  `cbor:"6,keyasint,omitzero"`  // SHA-256, with which the file ends
	Message string    `cbor:"7,keyasint,omitempty"`
}

// CopyMessageMax bounds what a copy's message says, in bytes.
const CopyMessageMax = 256

// DecodeSnapshot reads a Snapshot from its record; nil if it is gone.
func DecodeSnapshot(key Key, rec *crdt.Record) (*Snapshot, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	var typed struct {
		Spec struct {
			Nodes []string `json:"nodes"`
		} `json:"spec"`
	}
	if err := Convert(obj.Value, &typed); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	live := rec.Live()
	return &Snapshot{
		Key: key, UID: obj.UID, Born: live.Birth.Stamp, Nodes: typed.Spec.Nodes,
		Object: obj.Value, Conflicts: Conflicts(key, rec), Losers: losersIn(live),
	}, nil
}

// losersIn are the objects that lost their name to this one, as its marks tell.
func losersIn(live *crdt.Object) map[crdt.UID]bool {
	losers := map[crdt.UID]bool{}
	for path := range live.Registers {
		if uid, ok := (&Conflict{Path: path}).LoserOf(); ok {
			losers[uid] = true
		}
	}
	return losers
}

// Asks reports whether the Snapshot wants a copy of a member.
func (s *Snapshot) Asks(node string) bool { return len(s.Nodes) == 0 || slices.Contains(s.Nodes, node) }

// NodeCopy is a copy as others see it.
type NodeCopy struct {
	Node    string
	InReach bool
	SnapshotCopy
	Also []crdt.UID // that lost the name to the Snapshot, and of which the node keeps copies, too
}

// SnapshotPhase sums the copies of the nodes up that are asked for some. A node that is out of
// reach and has said nothing, or that it writes, is not waited for.
func SnapshotPhase(copies []NodeCopy) string {
	var kept, coming, failed int
	for i := range copies {
		switch c := &copies[i]; c.State {
		case CopyKept:
			kept++
		case CopyFailed, CopyRefused:
			failed++
		default:
			if c.InReach {
				coming++
			}
		}
	}
	switch {
	case kept == len(copies) && kept > 0:
		return "Kept"
	case coming > 0 || kept+failed == 0:
		return "Pending"
	case kept > 0:
		return "Partial"
	}
	return "Failed"
}

// SnapshotFace adds the derived status to a stored Snapshot.
func SnapshotFace(s *Snapshot, copies []NodeCopy) map[string]any {
	v := WithMeta(s.Key, s.UID.String(), copyObject(s.Object))
	list := make([]any, len(copies))
	for i := range copies {
		c := &copies[i]
		item := map[string]any{"node": c.Node, "state": string(c.State)}
		if c.State == CopyKept {
			item["bytes"], item["objects"], item["sha256"] = c.Bytes, c.Objects, fmt.Sprintf("%x", c.Sum)
			timestamp(item, "takenAt", c.Taken)
		}
		if c.Message != "" {
			item["message"] = c.Message
		}
		if len(c.Also) > 0 {
			also := make([]any, len(c.Also))
			for j, uid := range c.Also {
				also[j] = uid.String()
			}
			item["also"] = also
		}
		list[i] = item
	}
	v["status"] = map[string]any{"phase": SnapshotPhase(copies), "copies": list}
	return v
}

// SnapshotOrder is the order in which copies are made and shown: the oldest object first.
func SnapshotOrder(a, b *Snapshot) int { return cmp.Or(a.Born.Compare(b.Born), a.UID.Compare(b.UID)) }
