package state

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"holon/crdt/state/schema"
)

// orderSuffix follows the path of a list: the register of its order.
const orderSuffix = "/#order"

// Hidden reports whether a register is holon's own and no field of the object.
func Hidden(path string) bool { return strings.HasPrefix(path, "#") }

// segmentOf names an element of a list: [name="web"], or [="x"] in a set. A key
// that is missing is null.
func segmentOf(t *schema.Type, item any) (string, error) {
	return segmentBy(t.Keys(), item)
}

// segmentBy is segmentOf by the names of the key fields, none for a set.
func segmentBy(keys []string, item any) (string, error) {
	b := []byte{'['}
	var err error
	if len(keys) == 0 {
		if b, err = appendKey(append(b, '='), item); err != nil {
			return "", err
		}
		return string(append(b, ']')), nil
	}
	obj, ok := item.(map[string]any)
	if !ok {
		return "", fmt.Errorf("a %T is no object", item)
	}
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, key...), '=')
		if b, err = appendKey(b, obj[key]); err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
	}
	return string(append(b, ']')), nil
}

func appendKey(b []byte, value any) ([]byte, error) {
	switch value.(type) {
	case map[string]any, []any:
		return nil, fmt.Errorf("a %T cannot tell elements of a list apart", value)
	}
	return appendJSON(b, value, 0)
}

// element is a parsed segment of a list.
type element struct {
	keys   []string // none: of a set
	values []any
}

// isElement reports whether a segment names an element of a list; no escaped name
// begins so.
func isElement(segment string) bool { return strings.HasPrefix(segment, "[") }

// parseElement is the inverse of segmentOf. The segment is not escaped any more.
func parseElement(segment string) (element, error) {
	var e element
	rest := segment[1:]
	for {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		end := valueEnd(after)
		if end < 0 {
			break
		}
		value, err := parseKey(after[:end])
		if err != nil {
			return e, fmt.Errorf("%q: %w", segment, err)
		}
		e.values = append(e.values, value)
		if name != "" {
			e.keys = append(e.keys, name)
		}
		switch rest = after[end:]; {
		case rest[0] == ',' && name != "":
			rest = rest[1:]
			continue
		case rest == "]" || nth(rest[1:]):
			return e, nil
		}
		break
	}
	return e, fmt.Errorf("%q is not a list element: [key=value,...]", segment)
}

// nth reports whether text tells elements of equal keys apart: #2 and so on.
func nth(text string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	return err == nil && n >= 2 && text == fmt.Sprint("#", n)
}

// valueEnd is where a JSON scalar that begins text ends before , or ]; -1: nowhere.
func valueEnd(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ']'):
			return i
		}
	}
	return -1
}

func parseKey(text string) (any, error) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' && !strings.ContainsAny(text[1:n-1], `\"`) {
		return text[1 : n-1], nil
	}
	value, err := parse([]byte(text))
	switch value.(type) {
	case map[string]any, []any:
		return nil, fmt.Errorf("%s is no scalar", text)
	}
	return value, err
}

// parseOrder reads an order register; what is wrong with it orders nothing.
func parseOrder(text []byte) map[string]int {
	var segments []string
	if json.Unmarshal(text, &segments) != nil {
		return nil
	}
	order := make(map[string]int, len(segments))
	for i, s := range segments {
		order[s] = i
	}
	return order
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// escape spells a field's name as a segment: as JSON Pointers do, and what would
// look like an element or an order begins with ~2 or ~3 instead.
func escape(name string) string {
	if name == "" {
		return name
	}
	escaped := name
	if strings.ContainsAny(name, "~/") {
		escaped = escaper.Replace(name)
	}
	switch name[0] {
	case '[':
		return "~2" + escaped[1:]
	case '#':
		return "~3" + escaped[1:]
	}
	return escaped
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
		case i+1 < len(name) && (name[i+1] == '0' || name[i+1] == '1' || i == 0 && (name[i+1] == '2' || name[i+1] == '3')):
			i++
			out.WriteByte("~/[#"[name[i]-'0'])
		default:
			return "", fmt.Errorf("%q: after ~ a path has 0 or 1, or 2 or 3 at the beginning of a name", name)
		}
	}
	return out.String(), nil
}
