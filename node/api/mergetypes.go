package api

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"holon/crdt/state/schema"
)

// mergeTypes lets the library behind server-side apply read objects of one kind
// by holon's schema: the table that the store merges by. client-go's own copy of
// the schema would add 11 MB to the program and 17 MB to a node's memory.
type mergeTypes struct{ typed.ParseableType }

// ObjectToTyped implements managedfields.TypeConverter.
func (t mergeTypes) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return t.FromUnstructured(obj.(*unstructured.Unstructured).Object, opts...)
}

// TypedToObject implements managedfields.TypeConverter.
func (t mergeTypes) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	content, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T is not an object", v.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: content}, nil
}

func mergeTypesOf(resource string) (mergeTypes, error) {
	root := schema.Of(resource)
	if root == nil {
		return mergeTypes{}, fmt.Errorf("there is no schema of %s", resource)
	}
	t := translator{names: map[*schema.Type]string{}, out: &smd.Schema{}}
	t.untyped()
	ref := t.ref(root)
	return mergeTypes{typed.ParseableType{Schema: t.out, TypeRef: ref}}, nil
}

// translator writes holon's schema in the library's words.
type translator struct {
	names map[*schema.Type]string
	out   *smd.Schema
}

// anything is what has no inner structure: a scalar, or a value that changes as a
// whole whatever it looks like.
const anything = "anything"

func (t *translator) untyped() {
	name, scalar := anything, smd.Untyped
	self := smd.TypeRef{NamedType: &name}
	t.out.Types = append(t.out.Types, smd.TypeDef{Name: anything, Atom: smd.Atom{
		Scalar: &scalar,
		List:   &smd.List{ElementType: self, ElementRelationship: smd.Atomic},
		Map:    &smd.Map{ElementType: self, ElementRelationship: smd.Atomic},
	}})
}

// ref names a type and defines it the first time.
func (t *translator) ref(of *schema.Type) smd.TypeRef {
	name, known := t.names[of]
	if !known {
		name = anything
		if of != nil && of.Kind != schema.Scalar && of.Kind != schema.Atomic {
			name = fmt.Sprintf("t%d", len(t.names))
		}
		t.names[of] = name
		if name != anything {
			at := len(t.out.Types)
			t.out.Types = append(t.out.Types, smd.TypeDef{Name: name})
			atom := t.atom(of) // appends what it needs
			t.out.Types[at].Atom = atom
		}
	}
	return smd.TypeRef{NamedType: &name}
}

func (t *translator) atom(of *schema.Type) smd.Atom {
	switch of.Kind {
	case schema.Struct:
		m := &smd.Map{}
		for _, name := range of.Names() {
			m.Fields = append(m.Fields, smd.StructField{Name: name, Type: t.ref(of.Field(name))})
		}
		return smd.Atom{Map: m}
	case schema.Map:
		return smd.Atom{Map: &smd.Map{ElementType: t.ref(of.Field("")), ElementRelationship: smd.Separable}}
	}
	list := &smd.List{ElementType: t.ref(of.Elem()), ElementRelationship: smd.Associative, Keys: of.Keys()}
	t.defaultKeys(list)
	return smd.Atom{List: list}
}

// keyDefaults are what a key field is that an applied object leaves out, so that
// it names the element that holon has stored with its defaults.
var keyDefaults = map[string]any{"protocol": "TCP"}

func (t *translator) defaultKeys(list *smd.List) {
	for _, key := range list.Keys {
		preset, has := keyDefaults[key]
		if !has {
			continue
		}
		for _, def := range t.out.Types {
			if def.Name != *list.ElementType.NamedType || def.Map == nil {
				continue
			}
			for i := range def.Map.Fields {
				if def.Map.Fields[i].Name == key {
					def.Map.Fields[i].Default = preset
				}
			}
		}
	}
}
