// Package schema says how the fields of Kubernetes' types merge: the markers of
// k8s.io/api (+listType, +listMapKey, +mapType, +structType) as one table that
// needs no work at start, and the groups of fields that holon keeps together.
//
// The vocabulary is that of structured-merge-diff (KEP-555, KEP-2155).
package schema

//go:generate go run ./gen

import "sort"

// Kind is how a value merges.
type Kind uint8

// The kinds. A list without a marker is Atomic, as in Kubernetes.
const (
	Scalar  Kind = iota // one value, whatever its JSON looks like
	Atomic              // a list, map or struct that changes as a whole
	Struct              // fields by name, each with a type of its own
	Map                 // names to values of one type
	ListMap             // a list whose elements are told apart by key fields
	Set                 // a list of scalars, each in it at most once
)

func (k Kind) String() string {
	return [...]string{"scalar", "atomic", "struct", "map", "list by keys", "set"}[k]
}

// Type is one node of a schema. All of them are static data.
type Type struct {
	Kind  Kind    // as Kubernetes has it
	Whole bool    // holon keeps it together, see Groups
	elem  uint16  // of Map, ListMap, Set
	keys  string  // of ListMap, separated by commas
	named []field // of Struct, sorted by name
}

type field struct {
	name string
	typ  uint16
}

// root is the type of a stored resource.
type root struct {
	resource string
	typ      uint16
}

// Of is the type of a resource, "<plural>.<group>"; nil for one that Kubernetes'
// types do not describe.
func Of(resource string) *Type {
	for i := range roots {
		if roots[i].resource == resource {
			return &types[roots[i].typ]
		}
	}
	return nil
}

// Field is the type of what is called name in a Struct or Map; nil if t knows
// nothing of it. A nil Type knows nothing.
func (t *Type) Field(name string) *Type {
	if t == nil {
		return nil
	}
	switch t.Kind {
	case Map:
		return &types[t.elem]
	case Struct:
		i := sort.Search(len(t.named), func(i int) bool { return t.named[i].name >= name })
		if i < len(t.named) && t.named[i].name == name {
			return &types[t.named[i].typ]
		}
	}
	return nil
}

// Elem is the type of the elements of a ListMap or Set; else nil.
func (t *Type) Elem() *Type {
	if t == nil || t.Kind != ListMap && t.Kind != Set {
		return nil
	}
	return &types[t.elem]
}

// Keys lists the key fields of a ListMap; nil for every other kind.
func (t *Type) Keys() []string {
	if t == nil || t.Kind != ListMap {
		return nil
	}
	return splitKeys(t.keys)
}

// Names lists the fields of a Struct, sorted.
func (t *Type) Names() []string {
	names := make([]string, len(t.named))
	for i := range t.named {
		names[i] = t.named[i].name
	}
	return names
}
