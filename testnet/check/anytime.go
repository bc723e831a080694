package check

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// Ledger follows the writes of a whole cluster and notices what must never
// happen, whatever the faults:
//
//   - a dot is issued twice, for different contents
//   - something that is not on the node's disk is sent, shown or acknowledged
//   - an acknowledged write is not on a disk that survived
type Ledger struct {
	dots  map[crdt.Dot]issue
	acked map[string]map[state.Key]*crdt.Record // node -> what it acknowledged
	dead  map[crdt.UID]bool                     // objects that were ever seen deleted on a disk
	// forgotten: a disk was rolled back in secret, and what this replica wrote beyond
	// the counter may be lost, or issued again before a peer tells.
	forgotten map[crdt.ReplicaID]uint64
	bad       []string
}

type issue struct {
	node  string
	key   state.Key
	parts map[string][32]byte
}

// violationsMax bounds what is kept of a broken history: the first ones matter.
const violationsMax = 20

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{dots: map[crdt.Dot]issue{}, acked: map[string]map[state.Key]*crdt.Record{}, dead: map[crdt.UID]bool{}, forgotten: map[crdt.ReplicaID]uint64{}}
}

// Violations lists what was noticed.
func (l *Ledger) Violations() []string { return l.bad }

func (l *Ledger) violate(format string, args ...any) {
	if len(l.bad) < violationsMax {
		l.bad = append(l.bad, fmt.Sprintf(format, args...))
	}
}

// Issued takes every record that a node persists: of each dot of its own replica
// that is new on this record, the contents must be the only ones ever.
func (l *Ledger) Issued(node string, own crdt.ReplicaID, key state.Key, old, rec *crdt.Record) {
	if rec == nil {
		return // purged
	}
	for uid, o := range rec.Objects {
		if o.Dead != nil {
			l.dead[uid] = true
		}
	}
	counter := rec.Vector[own]
	if old != nil && counter <= old.Vector[own] || counter == 0 {
		return
	}
	dot := crdt.Dot{Replica: own, Counter: counter}
	now := issue{node, key, writesOf(rec, dot)}
	before, ok := l.dots[dot]
	if !ok {
		l.dots[dot] = now
		return
	}
	twice := before.key != key
	for part, sum := range now.parts { // some may have been overwritten since, or purged
		was, both := before.parts[part]
		twice = twice || both && was != sum
	}
	if twice && !l.lost(dot) {
		l.violate("anytime: %s issued dot %s twice (before by %s for %s) for %s", node, dot, before.node, before.key, key)
	}
}

// writesOf says what one dot wrote in a record, by object and path.
func writesOf(rec *crdt.Record, dot crdt.Dot) map[string][32]byte {
	parts := map[string][32]byte{}
	for uid, o := range rec.Objects {
		one := func(part string, w crdt.Write, value []byte) {
			if w.Dot == dot {
				parts[uid.String()+part] = sha256.Sum256(fmt.Appendf(nil, "%d %d %q", w.Stamp.Rank, w.Stamp.Time, value))
			}
		}
		one("birth", o.Birth, nil)
		if o.Dead != nil {
			one("death", *o.Dead, nil)
		}
		for path, r := range o.Registers {
			one(path, r.Write, r.Value)
		}
	}
	return parts
}

// Written says what of a key a node's disk has ever held: a vector.
type Written func(key state.Key) crdt.Vector

// Durable says what a node's disk holds of a key; nil if nothing.
type Durable func(key state.Key) *crdt.Record

// Released takes every record that leaves a node's inside: by a frame, to
// readers, with an acknowledgement.
func (l *Ledger) Released(node, how string, key state.Key, rec *crdt.Record, disk Written) {
	if rec != nil && !disk(key).Covers(rec.Vector) {
		l.violate("anytime: %s %s %s before it was on its disk (%v)", node, how, key, rec.Vector)
	}
}

// Acked remembers what a node has acknowledged: a record as its disk held it.
func (l *Ledger) Acked(node string, key state.Key, rec *crdt.Record) {
	if l.acked[node] == nil {
		l.acked[node] = map[state.Key]*crdt.Record{}
	}
	l.acked[node][key] = rec
}

// RolledBack says that a disk was rolled back in secret to a state in which the
// replica had issued no more than last.
func (l *Ledger) RolledBack(replica crdt.ReplicaID, last uint64) {
	if before, ok := l.forgotten[replica]; !ok || last < before {
		l.forgotten[replica] = last
	}
}

func (l *Ledger) lost(d crdt.Dot) bool {
	last, ok := l.forgotten[d.Replica]
	return ok && d.Counter > last
}

// renamed reports whether a register shows the same write under another replica,
// as a node gives it to its writes when its disk was rolled back in secret.
func (l *Ledger) renamed(was, now crdt.Register) bool {
	_, forked := l.forgotten[was.Dot.Replica]
	return forked && now.Stamp.Time == was.Stamp.Time && bytes.Equal(now.Value, was.Value)
}

// reborn reports whether an object that was deleted has come back under another
// replica. A node whose disk was rolled back in secret to before it met anybody
// cannot tell whether its peers have had the object and purged it: it keeps it.
func (l *Ledger) reborn(was, now *crdt.Object) bool {
	_, forked := l.forgotten[was.Birth.Dot.Replica]
	return forked && l.dead[was.UID] && now.Birth.Dot.Replica != was.Birth.Dot.Replica
}

// Claims compares a node's context with its records: by I2, a dot in the context
// and not under the floor is of a write that the record of its key contains.
func (l *Ledger) Claims(node string, context *crdt.Context, floor crdt.Floor, records map[state.Key]*crdt.Record) {
	for dot, issue := range l.dots {
		if !context.Has(dot) || floor.Has(dot) || l.lost(dot) {
			continue
		}
		if rec := records[issue.key]; rec == nil || rec.Vector[dot.Replica] < dot.Counter {
			l.violate("anytime: %s claims %s and its record of %s does not contain it (I2)", node, dot, issue.key)
		}
	}
}

// DiskLost says that what a node acknowledged may be gone.
func (l *Ledger) DiskLost(node string) { delete(l.acked, node) }

// Survived compares a disk with what its node acknowledged.
func (l *Ledger) Survived(node string, disk Durable) { l.held(node, node, disk) }

// Everywhere compares a disk with what every node acknowledged: after the calm,
// an acknowledged value has won or was superseded by a later one, on all.
func (l *Ledger) Everywhere(node string, disk Durable) {
	for _, writer := range slices.Sorted(maps.Keys(l.acked)) {
		l.held(writer, node, disk)
	}
}

func (l *Ledger) held(writer, holder string, disk Durable) {
	for _, key := range slices.Sorted(maps.Keys(l.acked[writer])) {
		if why := l.lacks(disk(key), l.acked[writer][key]); why != "" {
			l.violate("anytime: %s acknowledged a write to %s that the disk of %s does not hold: %s", writer, key, holder, why)
		}
	}
}

// lacks says what of a record another one has neither kept nor superseded. A
// deleted object may have been purged.
func (l *Ledger) lacks(have, acked *crdt.Record) string {
	have = crdt.Join(have, nil)
	for uid, o := range acked.Objects {
		now := have.Objects[uid]
		switch {
		case now == nil && (l.dead[uid] || l.lost(o.Birth.Dot)):
			continue
		case now == nil:
			return fmt.Sprintf("object %s is missing", uid)
		case now.Dead != nil || l.reborn(o, now):
			continue
		case o.Dead != nil:
			return fmt.Sprintf("object %s was deleted and lives", uid)
		}
		for path, r := range o.Registers {
			got := now.Registers[path]
			if l.lost(r.Dot) || l.renamed(r, got) {
				continue
			}
			if c := got.Stamp.Compare(r.Stamp); c < 0 || c == 0 && !bytes.Equal(got.Value, r.Value) {
				return fmt.Sprintf("%s is %q, acknowledged was %q", path, got.Value, r.Value)
			}
		}
	}
	return ""
}

// Allocatable reports a node whose running containers ask for more than it has.
func Allocatable(node string, room state.Resources, pods []runtime.Status, request func(runtime.RunID) state.Resources) []string {
	var sum state.Resources
	for _, p := range pods {
		alive := false
		for _, c := range p.Containers {
			alive = alive || c.State == runtime.Running
		}
		if alive {
			sum = sum.Add(request(p.ID))
		}
	}
	if sum.CPU > room.CPU || sum.Memory > room.Memory || sum.Pods > room.Pods {
		return []string{fmt.Sprintf("anytime: %s runs %+v with room for %+v", node, sum, room)}
	}
	return nil
}

// HomeMoves reports a home whose term was raised by a node that could reach no
// more than half of the counted members.
func HomeMoves(node string, key state.Key, before, after *crdt.Record, reachable, counted int) []string {
	old, had, err := state.DecodeSlot(key, before)
	now, has, err2 := state.DecodeSlot(key, after)
	if err != nil || err2 != nil || !had || !has {
		return nil
	}
	if old.Home.Term > 0 && now.Home.Term > old.Home.Term && 2*reachable <= counted {
		return []string{fmt.Sprintf("anytime: %s moved the home of %s from %+v to %+v while it reached %d of %d members", node, key, old.Home, now.Home, reachable, counted)}
	}
	return nil
}
