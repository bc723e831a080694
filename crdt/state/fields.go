package state

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"holon/crdt"
	"holon/crdt/state/schema"
)

// FieldDepthMax bounds the nesting of objects that Flatten and Build accept.
// The deepest Kubernetes type, a CRD's schema, stays far below.
const FieldDepthMax = 128

// Flatten is FlattenAs without a schema: objects are descended into, lists are
// atomic. It is for what Kubernetes' types do not describe.
func Flatten(obj map[string]any) (map[string][]byte, error) { return FlattenAs("", obj) }

// FlattenAs turns a Kubernetes-shaped JSON object of a resource into registers:
// from path to canonical JSON value (keys sorted, no spaces). The path is a JSON
// Pointer (RFC 6901) with two segments that no pointer has:
//
//	/spec/containers/[name="web"]/image   an element of a list by its key fields
//	/metadata/finalizers/[="a.io/b"]      an element of a set
//	/spec/containers/#order               the elements in order; none if there is one
//
// Package schema says which lists have keys and which objects are kept together
// as one register; what it does not know is descended into if it is an object,
// and atomic if it is a list. Every element has a register of its own path: its
// whole value, or {} beside those of its fields; it is there as long as that one
// is. The second element of equal keys is [name="web"]#2: nothing is lost of
// lists that Kubernetes would merge away. An empty list or object is [] or {}.
//
// It accepts what encoding/json decodes to, and Go's other integers. It fails on
// other types, NaN and infinities, strings that are not UTF-8, elements without
// the shape that their keys need, and objects deeper than FieldDepthMax, naming
// the path.
func FlattenAs(resource string, obj map[string]any) (map[string][]byte, error) {
	out := make(map[string][]byte)
	if err := flatten(out, "", obj, schema.Of(resource), 0); err != nil {
		return nil, err
	}
	return out, nil
}

// together reports whether a value of type t is one register whatever it holds.
func together(t *schema.Type) bool {
	return t != nil && (t.Whole || t.Kind == schema.Atomic || t.Kind == schema.Scalar)
}

func flatten(out map[string][]byte, path string, value any, t *schema.Type, depth int) error {
	if !utf8.ValidString(path) {
		return fmt.Errorf("field %q: its name is not UTF-8", path)
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 0 && !together(t) {
			return flattenObject(out, path, v, t, nil, depth)
		}
	case []any:
		if len(v) > 0 && t.Elem() != nil {
			return flattenList(out, path, v, t, depth)
		}
	}
	return leaf(out, path, value, depth)
}

func leaf(out map[string][]byte, path string, value any, depth int) error {
	text, err := appendJSON(nil, value, depth)
	if err != nil {
		return fmt.Errorf("field %q: %w", path, err)
	}
	out[path] = text
	return nil
}

// flattenObject flattens the fields of an object but for those that its path says.
func flattenObject(out map[string][]byte, path string, obj map[string]any, t *schema.Type, said []string, depth int) error {
	if depth >= FieldDepthMax {
		return fmt.Errorf("field %.200q: nested deeper than %d objects", path, FieldDepthMax)
	}
	for name, child := range obj {
		if slices.Contains(said, name) {
			continue
		}
		if err := flatten(out, path+"/"+escape(name), child, t.Field(name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func flattenList(out map[string][]byte, path string, list []any, t *schema.Type, depth int) error {
	order := make([]any, len(list))
	times := map[string]int{}
	for i, item := range list {
		segment, err := segmentOf(t, item)
		if err != nil {
			return fmt.Errorf("field %q, element %d: %w", path, i, err)
		}
		if times[segment]++; times[segment] > 1 {
			segment += fmt.Sprint("#", times[segment])
		}
		order[i] = segment
		at := path + "/" + escaper.Replace(segment)
		if t.Kind == schema.Set || together(t.Elem()) {
			if err := leaf(out, at, item, depth+1); err != nil {
				return err
			}
			continue
		}
		out[at] = present
		if err := flattenObject(out, at, item.(map[string]any), t.Elem(), t.Keys(), depth+1); err != nil {
			return err
		}
	}
	if len(list) < 2 {
		return nil
	}
	return leaf(out, path+orderSuffix, order, depth+1)
}

// present is the value that only says that something is there.
var present = []byte("{}")

// Diff returns the registers to write so that old becomes new: values that
// differ or are new, and nil for those that are gone.
func Diff(old, new map[string][]byte) map[string][]byte {
	out := make(map[string][]byte)
	for path, value := range new {
		before, had := old[path]
		if value == nil {
			if before != nil {
				out[path] = nil
			}
		} else if !had || before == nil || !bytes.Equal(before, value) {
			out[path] = value
		}
	}
	for path, before := range old {
		if _, stays := new[path]; !stays && before != nil {
			out[path] = nil
		}
	}
	return out
}

// Changes is what is to be written so that what a client saw as old becomes new:
// Diff, without what the registers say already, and with what earlier versions
// of holon wrote in another form and would show through:
//
//   - the fields below an object that is one register now
//   - the elements of a list that was one register, where they are taken away
func Changes(have map[string]crdt.Register, old, new map[string][]byte) map[string][]byte {
	delta := Diff(old, new)
	whole := map[string]bool{} // what is written or taken away as a whole
	for path, value := range delta {
		if content(value) || content(old[path]) {
			whole[path] = true
		}
		g, there := have[path]
		switch {
		case Hidden(path):
			delete(delta, path)
		case there && (g.Value == nil) == (value == nil) && bytes.Equal(g.Value, value):
			delete(delta, path)
		case !there && value == nil && !seeded(have, path):
			delete(delta, path)
		}
	}
	if len(whole) == 0 {
		return delta
	}
	for path, g := range have {
		if g.Value == nil {
			continue
		}
		if _, written := delta[path]; !written && below(path, func(p string) bool { return whole[p] }) {
			delta[path] = nil
		}
	}
	return delta
}

// content reports whether a value is an object or list with something in it.
func content(value []byte) bool { return len(value) > 2 && (value[0] == '{' || value[0] == '[') }

// seeded reports whether a path is below a list that is one register, as all
// lists were once.
func seeded(have map[string]crdt.Register, path string) bool {
	return below(path, func(p string) bool { v := have[p].Value; return len(v) > 2 && v[0] == '[' })
}

// below reports whether f holds for a path that is a proper prefix of path.
func below(path string, f func(string) bool) bool {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if f(path[:i]) {
			return true
		}
	}
	return false
}
