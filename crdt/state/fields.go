package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FieldDepthMax bounds the nesting of objects that Flatten and Build accept.
// The deepest Kubernetes type, a CRD's schema, stays far below.
const FieldDepthMax = 128

// Flatten turns a Kubernetes-shaped JSON object into registers: from JSON
// Pointer (RFC 6901) to canonical JSON value (keys sorted, no spaces). Objects
// are descended into; scalars, lists and null are leaves, and so is the empty
// object, `{}`. Lists are atomic.
//
// It accepts what encoding/json decodes to, and Go's other integers. It fails on
// other types, NaN and infinities, strings that are not UTF-8, and objects
// deeper than FieldDepthMax, naming the path.
func Flatten(obj map[string]any) (map[string][]byte, error) {
	out := make(map[string][]byte)
	if err := flatten(out, "", obj, 0); err != nil {
		return nil, err
	}
	return out, nil
}

func flatten(out map[string][]byte, path string, value any, depth int) error {
	if !utf8.ValidString(path) {
		return fmt.Errorf("field %q: its name is not UTF-8", path)
	}
	obj, ok := value.(map[string]any)
	if !ok || len(obj) == 0 {
		leaf, err := appendJSON(nil, value, depth)
		if err != nil {
			return fmt.Errorf("field %q: %w", path, err)
		}
		out[path] = leaf
		return nil
	}
	if depth >= FieldDepthMax {
		return fmt.Errorf("field %.200q: nested deeper than %d objects", path, FieldDepthMax)
	}
	for name, child := range obj {
		if err := flatten(out, path+"/"+escape(name), child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// appendJSON is canonical JSON for the values that Flatten accepts.
func appendJSON(b []byte, value any, depth int) ([]byte, error) {
	if depth > FieldDepthMax {
		return nil, fmt.Errorf("nested deeper than %d", FieldDepthMax)
	}
	switch v := value.(type) {
	case map[string]any:
		return appendObject(b, v, depth)
	case []any:
		return appendList(b, v, depth)
	case string:
		return appendString(b, v)
	case json.Number: // "1.50" and "1.5" are one value
		n, err := number(v)
		if err != nil {
			return nil, err
		}
		return appendJSON(b, n, depth)
	case nil, bool, float64, float32,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		text, err := json.Marshal(v)
		return append(b, text...), err
	}
	return nil, fmt.Errorf("a %T has no JSON form here; convert it to maps, lists and scalars first", value)
}

func appendObject(b []byte, obj map[string]any, depth int) ([]byte, error) {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(obj)) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, name); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = appendJSON(b, obj[name], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList(b []byte, list []any, depth int) ([]byte, error) {
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, item, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendString refuses what json.Marshal would replace in silence.
func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("string %.40q is not UTF-8", s)
	}
	text, err := json.Marshal(s)
	return append(b, text...), err
}

// Build is the inverse of Flatten. Numbers become int64 where their text is an
// integer of that range, else float64, as in Kubernetes' unstructured objects;
// nil values are absent fields.
//
// Registers of one object written on both sides of a partition may disagree on
// a field's shape. Where a path is both a leaf and a prefix of others, the
// children win; `{}` only ensures that the object is there.
func Build(values map[string][]byte) (map[string]any, error) {
	root := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(values)) { // parents before children
		if values[path] == nil {
			continue
		}
		value, err := parse(values[path])
		if err != nil {
			return nil, fmt.Errorf("field %.200q: %w", path, err)
		}
		if err := insert(root, path, value); err != nil {
			return nil, fmt.Errorf("field %.200q: %w", path, err)
		}
	}
	return root, nil
}

// insert puts value at path, replacing by an object whatever else is on the way.
func insert(root map[string]any, path string, value any) error {
	if path == "" {
		obj, ok := value.(map[string]any)
		if !ok {
			return errors.New("the whole object is not a JSON object")
		}
		maps.Copy(root, obj)
		return nil
	}
	names := strings.Split(path, "/")
	if names[0] != "" {
		return errors.New(`a JSON Pointer begins with "/"`)
	}
	if len(names)-1 > FieldDepthMax {
		return fmt.Errorf("nested deeper than %d objects", FieldDepthMax)
	}
	at := root
	for i, escaped := range names[1:] {
		name, err := unescape(escaped)
		if err != nil {
			return err
		}
		if i == len(names)-2 {
			at[name] = value
			return nil
		}
		child, ok := at[name].(map[string]any)
		if !ok {
			child = map[string]any{}
			at[name] = child
		}
		at = child
	}
	return nil
}

// parse reads one JSON value and nothing after it.
func parse(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("not a JSON value: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("not one JSON value: more text after it")
	}
	return number(value)
}

// number replaces every json.Number inside value, in place.
func number(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = number(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = number(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

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

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

func escape(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return escaper.Replace(name)
}

func unescape(name string) (string, error) {
	if !strings.Contains(name, "~") {
		return name, nil
	}
	var out strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] != '~':
			out.WriteByte(name[i])
		case i+1 < len(name) && (name[i+1] == '0' || name[i+1] == '1'):
			i++
			out.WriteByte("~/"[name[i]-'0'])
		default:
			return "", fmt.Errorf("%q: after ~ a JSON Pointer has 0 or 1", name)
		}
	}
	return out.String(), nil
}
