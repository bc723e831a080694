package check

import (
	"fmt"
	"reflect"

	"holon/crdt"
	"holon/crdt/state"
)

// Settled reports a conflict that a node still shows although it has acknowledged
// that it is settled.
func Settled(node string, key state.Key, path string, shown *crdt.Record) []string {
	for _, c := range state.Conflicts(key, shown) {
		if c.Path == path {
			return []string{fmt.Sprintf("anytime: %s acknowledged that %s of %s is settled and shows %d losers", node, c.Field, key, len(c.Losers))}
		}
	}
	return nil
}

// Compacted reports a compaction that its node acknowledged and that did not
// leave one object, of the UID asked for, which says what the one before it said,
// has its slots, and holds nothing of removed fields.
func Compacted(node string, key state.Key, uid crdt.UID, before, shown *crdt.Record) []string {
	bad := func(format string, args ...any) []string {
		return []string{fmt.Sprintf("anytime: %s compacted %s and ", node, key) + fmt.Sprintf(format, args...)}
	}
	old, now := before.Live(), shown.Live()
	if old == nil || now == nil || now.UID != uid {
		return bad("shows another object than %s", uid)
	}
	if absent, _ := state.Absent(now); absent > 0 {
		return bad("%d removed fields are left", absent)
	}
	said, err := state.BuildObject(old)
	says, err2 := state.BuildObject(now)
	if err != nil || err2 != nil || !reflect.DeepEqual(said, says) {
		return bad("it said %v and says %v (%v, %v)", said, says, err, err2)
	}
	if slotsOf(key, before) != slotsOf(key, shown) {
		return bad("its slots go by another UID than before")
	}
	return nil
}

// slotsOf is the UID that the slots of what lives under a key go by, zero if it
// has none.
func slotsOf(key state.Key, rec *crdt.Record) crdt.UID {
	if !state.IsWorkload(key.Resource()) {
		return crdt.UID{}
	}
	w, err := state.DecodeWorkload(key, rec)
	if err != nil || w == nil {
		return crdt.UID{}
	}
	return w.UID
}
