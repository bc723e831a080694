package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// handling says what holon does with a field that a client sets. No field is
// dropped in silence: one that is not honoured is warned about, or refused where
// ignoring it would be dangerous or would start something else than was meant.
type handling uint8

const (
	_        handling = iota
	honoured          // as in Kubernetes
	filled            // decided by the server; what clients send means nothing, as in Kubernetes
	warned            // kept but without effect
	refused
)

// fieldRules classify the fields of one type by path: a.b[].c goes through the
// elements of a list, a.* stands for all other keys of a map. A struct that is
// honoured has each of its fields classified; one that is warned about or refused
// is judged as a whole.
type fieldRules struct {
	honoured, filled []string
	warned, refused  map[string]string // path -> why, and what to do instead
	// harmless are values that ask for what happens anyway, besides zero values.
	harmless map[string][]any
}

type fieldRule struct {
	handling handling
	why      string
	harmless []any
}

// fieldTable holds the rules of one kind by full path.
type fieldTable map[string]fieldRule

// at mounts rules at a path.
func (r fieldRules) at(prefix string) fieldTable {
	t := fieldTable{}
	add := func(path string, rule fieldRule) {
		rule.harmless = r.harmless[path]
		t[strings.TrimPrefix(prefix+"."+path, ".")] = rule
	}
	for _, p := range r.honoured {
		add(p, fieldRule{handling: honoured})
	}
	for _, p := range r.filled {
		add(p, fieldRule{handling: filled})
	}
	for p, why := range r.warned {
		add(p, fieldRule{handling: warned, why: why})
	}
	for p, why := range r.refused {
		add(p, fieldRule{handling: refused, why: why})
	}
	return t
}

// merged joins tables that do not overlap.
func merged(tables ...fieldTable) fieldTable {
	all := fieldTable{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// review compares an object as it was sent with the table.
func (t fieldTable) review(value map[string]any, warn *warnings) field.ErrorList {
	v := reviewer{table: t, warn: warn}
	v.children("", nil, value)
	return v.errs
}

type reviewer struct {
	table fieldTable
	warn  *warnings
	errs  field.ErrorList
}

func (v *reviewer) children(rule string, at *field.Path, value map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(value)) {
		path := strings.TrimPrefix(rule+"."+name, ".")
		child := field.NewPath(name)
		if at != nil {
			child = at.Child(name)
		}
		if _, known := v.table[path]; !known {
			if _, any := v.table[rule+".*"]; any {
				path, child = rule+".*", at.Key(name)
			}
		}
		v.value(path, child, value[name])
	}
}

func (v *reviewer) value(path string, at *field.Path, value any) {
	rule := v.table[path]
	// An empty struct asks for its default, unless its presence alone is the wish (secret: {}).
	_, isStruct := value.(map[string]any)
	if isZero(value) && (rule.handling != refused || !isStruct) || rule.isHarmless(value) {
		return
	}
	switch rule.handling {
	case filled:
	case warned:
		v.warn.add("%s: %s", at, rule.why)
	case honoured:
		switch inner := value.(type) {
		case map[string]any:
			if v.table.hasChildren(path) {
				v.children(path, at, inner)
			}
		case []any:
			for i, element := range inner {
				if m, ok := element.(map[string]any); ok && v.table.hasChildren(path+"[]") {
					v.children(path+"[]", at.Index(i), m)
				}
			}
		}
	case refused:
		v.errs = append(v.errs, field.Forbidden(at, rule.why))
	default:
		v.errs = append(v.errs, field.Forbidden(at, "this version of holon does not know the field"))
	}
}

func (t fieldTable) hasChildren(path string) bool {
	for p := range t {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

func (r fieldRule) isHarmless(value any) bool {
	for _, h := range r.harmless {
		if fmt.Sprint(h) == fmt.Sprint(value) {
			return true
		}
	}
	return false
}

// isZero tells values that ask for nothing: null, false, 0, "", and what holds only such.
func isZero(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case int64:
		return v == 0
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if !isZero(inner) {
				return false
			}
		}
		return true
	}
	return false
}
