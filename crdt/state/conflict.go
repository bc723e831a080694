package state

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"holon/crdt"
)

// Conflict is what several wrote in one place without knowing of each other. One
// won, the same one everywhere; the others are kept until somebody who has seen
// them writes there.
type Conflict struct {
	Path   string // the register; of a whole object ConflictPath
	Field  string // as people spell it
	Winner Version
	Losers []Version // greatest first
	// Gone: the list element that the field is in was removed on the winning side.
	Gone bool
}

// Version is one value that was written, canonical JSON; nil: the field was removed.
type Version struct {
	Value   []byte
	Replica crdt.ReplicaID
}

// conflictPrefix begins the hidden registers in which an object keeps what lost
// its name: <prefix><UID of the loser>, the loser as JSON.
const conflictPrefix = "#conflict/"

// ConflictPath is the register of one loser.
func ConflictPath(loser crdt.UID) string { return conflictPrefix + loser.String() }

// LoserOf reads the UID of the object that a conflict is with; ok is false if it
// is about a field.
func (c *Conflict) LoserOf() (uid crdt.UID, ok bool) {
	text, ok := strings.CutPrefix(c.Path, conflictPrefix)
	if !ok {
		return uid, false
	}
	uid, err := crdt.ParseUID(text)
	return uid, err == nil
}

// Conflicts lists what is in conflict in a record of an API object, sorted by
// path: fields that users write and whose values differ, and objects that were
// created under the same name and lost it. What holon or its clients keep for
// themselves is never in conflict: orders of lists, managedFields, generations,
// resourceVersions, status, claims to a Lease, kubectl's last-applied annotation.
func Conflicts(key Key, rec *crdt.Record) []Conflict {
	live := rec.Live()
	if _, kind := KindOf(key.Resource()); kind == "" || live == nil || !Decided(key) {
		return nil
	}
	var found []Conflict
	for path, g := range live.Registers {
		switch {
		case strings.HasPrefix(path, conflictPrefix) && g.Value != nil:
			found = append(found, objectConflict(path, live, g.Value, g.Stamp.Replica))
		case len(g.Siblings) > 0 && usersWrite(path):
			found = append(found, fieldConflict(live, path, g))
		}
	}
	for uid, o := range rec.Objects {
		if o == live || o.Dead != nil {
			continue
		}
		if spec := KeepLoser(rec, uid); spec != nil {
			found = append(found, objectConflict(ConflictPath(uid), live, spec, o.Birth.Stamp.Replica))
		}
	}
	slices.SortFunc(found, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(found, func(a, b Conflict) bool { return a.Path == b.Path })
}

// Decided reports whether somebody has to decide what two sides wrote under a key. Nobody
// does of a Lease: who renewed it last holds it, and whoever lost it asks again.
func Decided(key Key) bool { return key.Resource() != Leases }

// usersWrite reports whether a register is a field that users decide.
func usersWrite(path string) bool {
	if Hidden(path) || strings.HasSuffix(path, orderSuffix) {
		return false
	}
	for _, own := range []string{
		"/status", "/metadata/managedFields", "/metadata/generation", "/metadata/resourceVersion", "/metadata/uid",
		"/metadata/creationTimestamp", MarkPath, "/metadata/deletionGracePeriodSeconds", "/metadata/selfLink", "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
		"/metadata/annotations/deployment.kubernetes.io~1revision",
	} {
		if rest, ok := strings.CutPrefix(path, own); ok && (rest == "" || rest[0] == '/') {
			return false
		}
	}
	return true
}

func fieldConflict(o *crdt.Object, path string, g crdt.Register) Conflict {
	c := Conflict{Path: path, Field: FieldName(path), Winner: Version{g.Value, g.Stamp.Replica}}
	for _, s := range g.Siblings {
		c.Losers = append(c.Losers, Version{s.Value, s.Stamp.Replica})
	}
	below(path, func(parent string) bool {
		e, written := o.Registers[parent]
		c.Gone = written && e.Value == nil && isElement(parent[strings.LastIndexByte(parent, '/')+1:])
		if !c.Gone {
			return false
		}
		if c.Winner.Value != nil { // the register won, and yet the element is gone
			c.Losers = slices.Insert(c.Losers, 0, c.Winner)
		}
		c.Losers = slices.DeleteFunc(c.Losers, func(v Version) bool { return v.Value == nil })
		c.Winner = Version{Replica: e.Stamp.Replica}
		return true
	})
	return c
}

func objectConflict(path string, live *crdt.Object, loser []byte, by crdt.ReplicaID) Conflict {
	return Conflict{
		Path: path, Field: "object " + strings.TrimPrefix(path, conflictPrefix)[:8],
		Winner: Version{essence(live), live.Birth.Stamp.Replica}, Losers: []Version{{loser, by}},
	}
}

// KeepLoser is what is worth keeping of an object that lost its name: all that a
// user wrote, as JSON; nil if the winner says the same.
func KeepLoser(rec *crdt.Record, uid crdt.UID) []byte {
	live, loser := rec.Live(), rec.Objects[uid]
	if live == nil || loser == nil || loser == live || loser.Dead != nil {
		return nil
	}
	spec := essence(loser)
	if spec == nil || bytes.Equal(spec, essence(live)) {
		return nil
	}
	return spec
}

// OwnMeta are the fields of an object's metadata that another one of its name does not
// share.
var OwnMeta = []string{"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields"}

// essence is an object without what its birth alone decides, as canonical
// JSON; nil if it does not make sense.
func essence(o *crdt.Object) []byte {
	value, err := BuildObject(o)
	if err != nil {
		return nil
	}
	if meta, ok := value["metadata"].(map[string]any); ok {
		for _, own := range OwnMeta {
			delete(meta, own)
		}
		if len(meta) == 0 {
			delete(value, "metadata")
		}
	}
	text, err := appendJSON(nil, value, 0)
	if err != nil {
		return nil
	}
	return text
}

// ReadKept reads an object that a hidden register keeps.
func ReadKept(text []byte) (map[string]any, error) {
	value, err := parse(text)
	if err != nil {
		return nil, err
	}
	obj, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a %T is no object", value)
	}
	return obj, nil
}

// FieldName spells a register's path as people do:
// spec.template.spec.containers[name=web].image, metadata.labels[a.io/b].
func FieldName(path string) string {
	var b strings.Builder
	for _, segment := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		name, err := unescape(segment)
		switch {
		case err != nil:
			return path
		case isElement(segment):
			b.WriteString(strings.ReplaceAll(name, `"`, ""))
		case name == "" || strings.ContainsAny(name, "./[]= "):
			b.WriteString("[" + name + "]")
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(name)
		}
	}
	return b.String()
}

// shortMax bounds a value in a sentence.
const shortMax = 60

// Short spells a value for a sentence.
func Short(value []byte) string {
	text := string(value)
	switch {
	case value == nil:
		return "(removed)"
	case len(text) > shortMax:
		return strings.ToValidUTF8(text[:shortMax-3], "") + "..."
	}
	return text
}

// LostEdits lists the fields of an object that were written by somebody who did
// not know that it was deleted: live is a record in which it lives, dead one in
// which it does not.
func LostEdits(live, dead *crdt.Record, uid crdt.UID) []Conflict {
	o, tomb := live.Objects[uid], dead.Objects[uid]
	if o == nil || tomb == nil || o.Dead != nil || tomb.Dead == nil {
		return nil
	}
	var lost []Conflict
	for path, g := range o.Registers {
		if usersWrite(path) && g.Dot.Counter > dead.Vector[g.Dot.Replica] {
			lost = append(lost, Conflict{
				Path: path, Field: FieldName(path), Winner: Version{Replica: tomb.Dead.Stamp.Replica}, Losers: []Version{{g.Value, g.Stamp.Replica}},
			})
		}
	}
	slices.SortFunc(lost, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	return lost
}
