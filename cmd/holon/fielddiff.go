package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// fieldChange is one field that differs between two objects.
type fieldChange struct {
	path     string // .spec.template.spec.containers[0].image
	old, new any    // nil: not there
}

// valueShownMax is how much of a value a change shows.
const valueShownMax = 60

// text says what changes; values are shown if they may be.
func (f fieldChange) text(values bool) string {
	switch {
	case !values:
		return f.path
	case f.old == nil:
		return fmt.Sprintf("%s: + %s", f.path, shownValue(f.new))
	case f.new == nil:
		return fmt.Sprintf("%s: - %s", f.path, shownValue(f.old))
	}
	return fmt.Sprintf("%s: %s -> %s", f.path, shownValue(f.old), shownValue(f.new))
}

func shownValue(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) <= valueShownMax {
		return string(text)
	}
	return fmt.Sprintf("%.*s... (%d bytes)", valueShownMax, text, len(text))
}

// diffFields lists the fields in which two values of JSON differ, in the order of
// their names. Lists of one length are compared item by item. A field that is not
// there is as good as an empty object.
func diffFields(old, new any) []fieldChange { return appendDiff(nil, "", old, new) }

func appendDiff(out []fieldChange, path string, old, new any) []fieldChange {
	a, aMap := old.(map[string]any)
	b, bMap := new.(map[string]any)
	x, xList := old.([]any)
	y, yList := new.([]any)
	switch {
	case aMap && bMap, aMap && new == nil && len(a) == 0, bMap && old == nil && len(b) == 0:
		names := maps.Clone(a)
		if names == nil {
			names = map[string]any{}
		}
		maps.Copy(names, b)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			out = appendDiff(out, path+"."+quotedName(name), a[name], b[name])
		}
		return out
	case xList && yList && len(x) == len(y):
		for i := range x {
			out = appendDiff(out, path+"["+strconv.Itoa(i)+"]", x[i], y[i])
		}
		return out
	case reflect.DeepEqual(old, new):
		return out
	}
	return append(out, fieldChange{path, old, new})
}

// quotedName sets off a name that is no plain word, as that of a label.
func quotedName(name string) string {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return strconv.Quote(name)
		}
	}
	return name
}
