package state

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"holon/crdt"
)

// Slot is one replica of a workload: where it lives and what it shall run.
//
//	Home     the node it belongs to; ordered by Term, which rises only in a view
//	         that holds more than half of the counted members
//	StandIn  who runs it while the home is out of reach; valid iff Basis == Home.Term
//	Run      what is to be executed; never orders homes
type Slot struct {
	ID        SlotID
	Namespace string
	Owner     Key // of the workload
	Home      Home
	StandIn   StandIn
	Run       Run
	// Born orders admission on a node: older slots first.
	Born crdt.Stamp
	UID  crdt.UID
	// OwnerBirth is the birth of the workload's object. Who has it in the context
	// and has no such object knows that the workload was deleted.
	OwnerBirth crdt.Dot
	// Rivals are the other live objects under the key, made on the other side of a
	// partition; they are to be deleted.
	Rivals []crdt.UID
}

// Home is the node that a slot belongs to. An empty Node: not placed yet.
type Home struct {
	Node string `json:"node"`
	Term uint64 `json:"term"`
}

// StandIn is the node that runs a slot while its home is unreachable.
type StandIn struct {
	Node  string `json:"node"`
	Basis uint64 `json:"basis"`
}

// Run is what a slot shall execute. Prev, if not empty, is the revision that
// goes on until the new one is ready (make before break).
type Run struct {
	Revision string `json:"revision"`
	Nonce    uint64 `json:"nonce,omitempty"`
	Prev     string `json:"prev,omitempty"`
}

// The registers of a slot record.
const (
	SlotOwner      = "/owner"
	SlotOwnerBirth = "/ownerBirth"
	SlotHome       = "/home"
	SlotStandIn    = "/standIn"
	SlotRun        = "/run"
)

// SlotKey is the key of a slot's record.
func SlotKey(namespace string, id SlotID) Key {
	return MakeKey(Slots, namespace, id.String())
}

// SlotUID is the UID of a slot's object made by the write of a dot. Slots are
// deleted with their workload, and whatever may be deleted has one birth
// (crdt.Record.Purge): one UID for both sides of a partition was tried, and came
// back to life when the delete was purged before the second birth arrived.
func SlotUID(id SlotID, birth crdt.Dot) crdt.UID {
	return DerivedUID("slot", id.String(), hex.EncodeToString(birth.Replica[:]), strconv.FormatUint(birth.Counter, 10))
}

// liveSlot is the object that a slot's key stands for: of the live ones that
// with the highest term, so that no minority undoes a home move, then the first
// born. The others are its rivals, in order.
func liveSlot(rec *crdt.Record) (best *crdt.Object, rivals []crdt.UID) {
	if rec == nil {
		return nil, nil
	}
	var live []*crdt.Object
	for _, o := range rec.Objects {
		if o.Dead == nil {
			live = append(live, o)
		}
	}
	slices.SortFunc(live, func(a, b *crdt.Object) int {
		return cmp.Or(cmp.Compare(b.Registers[SlotHome].Stamp.Rank, a.Registers[SlotHome].Stamp.Rank), a.Birth.Stamp.Compare(b.Birth.Stamp), a.UID.Compare(b.UID))
	})
	for i, o := range live {
		if i == 0 {
			best = o
		} else {
			rivals = append(rivals, o.UID)
		}
	}
	return best, rivals
}

// DecodeSlot reads a slot from its record. ok is false for a record without a live
// object; an error says what is malformed.
func DecodeSlot(key Key, rec *crdt.Record) (s Slot, ok bool, err error) {
	obj, rivals := liveSlot(rec)
	if obj == nil {
		return Slot{}, false, nil
	}
	_, namespace, name := key.Split()
	id, err := ParseSlotID(name)
	if err != nil {
		return Slot{}, false, err
	}
	s = Slot{ID: id, Namespace: namespace, Born: obj.Birth.Stamp, UID: obj.UID, Rivals: rivals}
	err = DecodeRegisters(key, obj, map[string]any{SlotOwner: &s.Owner, SlotOwnerBirth: &s.OwnerBirth, SlotHome: &s.Home, SlotStandIn: &s.StandIn, SlotRun: &s.Run})
	if err != nil {
		return Slot{}, false, err
	}
	return s, true, nil
}

// DecodeRegisters reads registers of holon's own records, each into the value
// that its path is given with; one that is absent leaves its value alone.
func DecodeRegisters(key Key, obj *crdt.Object, into map[string]any) error {
	for path, v := range into {
		value := obj.Registers[path].Value
		if value == nil {
			continue
		}
		if err := json.Unmarshal(value, v); err != nil {
			return fmt.Errorf("%s: register %s: %w", key, path, err)
		}
	}
	return nil
}

// EncodeRegister gives the value of one register of holon's own records.
func EncodeRegister(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("state: %T does not encode: %v", v, err)) // plain data
	}
	return text
}

// Assigned is the node that runs the slot in a view: the home if it can serve,
// else the stand-in if it was chosen for this home and can serve, else "".
// serves must be the same function for all questions of one view.
func (s Slot) Assigned(serves func(node string) bool) string {
	switch {
	case s.Home.Node == "":
		return ""
	case serves(s.Home.Node):
		return s.Home.Node
	case s.HasStandIn() && serves(s.StandIn.Node):
		return s.StandIn.Node
	}
	return ""
}

// HasStandIn reports whether a stand-in was named for the present home. A node
// does not stand in for itself: where two sides gave a slot two homes of one term,
// one of them may have named the home that wins; that name does not count.
func (s Slot) HasStandIn() bool {
	return s.StandIn.Node != "" && s.StandIn.Node != s.Home.Node && s.StandIn.Basis == s.Home.Term
}
