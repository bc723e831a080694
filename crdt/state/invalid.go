package state

import (
	"maps"

	"holon/crdt"
	"holon/crdt/state/valid"
)

// ValidPath is the hidden register in which a workload keeps its last valid form,
// as JSON, once a merge of two valid edits has made it invalid. It is a register
// so that all nodes run the same form. It counts only as long as the object is
// invalid: whoever writes the object valid again takes it away.
const ValidPath = "#valid"

// Judge says what is wrong with an object as Kubernetes would see it.
func Judge(key Key, o *crdt.Object, value map[string]any) error {
	return valid.Object(key.Resource(), WithMeta(key, o.UID.String(), value))
}

// JudgeUpdate says also what may not change.
func JudgeUpdate(key Key, o *crdt.Object, value, old map[string]any) error {
	uid := o.UID.String()
	return valid.Update(key.Resource(), WithMeta(key, uid, value), WithMeta(key, uid, old))
}

// Preview is an object as it is and as it will be once delta is written.
func Preview(o *crdt.Object, delta map[string][]byte) (before, after map[string]any, err error) {
	if before, err = BuildObject(o); err != nil {
		return nil, nil, err
	}
	after, err = BuildObject(Written(o, delta))
	return before, after, err
}

// Written is an object as it will be once delta is written, but for who wrote it.
func Written(o *crdt.Object, delta map[string][]byte) *crdt.Object {
	next := &crdt.Object{UID: o.UID, Birth: o.Birth, Registers: maps.Clone(o.Registers)}
	for path, value := range delta {
		g := next.Registers[path]
		g.Value = value
		next.Registers[path] = g
	}
	return next
}

// KeepValid is the value of ValidPath for an object that is valid; nil for one
// that is not, or makes no sense.
func KeepValid(key Key, o *crdt.Object) []byte {
	if o == nil || o.Dead != nil {
		return nil
	}
	value, err := BuildObject(o)
	if err != nil || Judge(key, o, value) != nil {
		return nil
	}
	text, err := appendJSON(nil, value, 0)
	if err != nil {
		return nil
	}
	return text
}

// lastValid is what runs of an object that a merge has made invalid, and what is
// wrong with it; nil if the object itself runs.
func lastValid(key Key, o *crdt.Object, value map[string]any) (kept map[string]any, why error) {
	text := o.Registers[ValidPath].Value
	if text == nil {
		return nil, nil
	}
	if why = Judge(key, o, value); why == nil {
		return nil, nil
	}
	kept, err := ReadKept(text)
	if err != nil {
		return nil, nil // forged: nothing better is known
	}
	return kept, why
}
