package state

import (
	"encoding/json"
	"strconv"
	"strings"

	"holon/crdt"
)

// IdentityPath is the hidden register of a workload that took the place of another
// object under the same name (see Compacted): the UID that its slots, revisions
// and runs go by. Without it that is the object's own.
const IdentityPath = "#identity"

// identity is the UID that a workload's slots go by.
func identity(o *crdt.Object) crdt.UID {
	var text string
	if json.Unmarshal(o.Registers[IdentityPath].Value, &text) != nil {
		return o.UID
	}
	uid, err := crdt.ParseUID(text)
	if err != nil {
		return o.UID
	}
	return uid
}

// Compacted gives the registers of a new object, under another UID, that takes
// the place of o: the same fields, the same slots, a generation that goes on, what
// depends on it, the conflicts that nobody has settled between whole objects, and no absent registers.
//
// Absent registers cannot be dropped inside a UID: a replica that has not heard
// of the removal would bring the old value back, and nothing tells who has heard
// of it. A new UID cannot be confused with what is written to the old one. What
// it costs: writes to the old UID that are under way on the other side of a
// partition are lost (and said to be, see LostEdits).
func Compacted(key Key, o *crdt.Object, replica crdt.ReplicaID) (map[string][]byte, error) {
	value, err := BuildObject(o)
	if err != nil {
		return nil, err
	}
	if meta, ok := value["metadata"].(map[string]any); ok {
		delete(meta, "generation")
	}
	values, err := FlattenAs(key.Resource(), value)
	if err != nil {
		return nil, err
	}
	if n, ok := generation(o); ok {
		values[GenerationPath(replica)] = strconv.AppendInt(nil, n, 10)
	}
	for path, g := range o.Registers {
		if g.Value != nil && (path == ValidPath || strings.HasPrefix(path, conflictPrefix) || strings.HasPrefix(path, formerPrefix) ||
			path == PodEnded || path == PodEvicted || hiddenOfJob(path)) {
			values[path] = g.Value
		}
	}
	values[formerPrefix+o.UID.String()] = present
	if Plans(key.Resource()) {
		values[IdentityPath] = EncodeRegister(identity(o).String())
	}
	return values, nil
}

// Absent counts an object's registers, and those of them that nothing can be
// read from: they stay as long as the UID.
func Absent(o *crdt.Object) (absent, all int) {
	for _, g := range o.Registers {
		if g.Value == nil {
			absent++
		}
	}
	return absent, len(o.Registers)
}
