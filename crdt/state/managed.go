package state

import (
	"encoding/json"
	"strings"
)

// metadata.managedFields is kept as a list by (manager, operation, apiVersion,
// subresource), the set of each as one register. So two sides of a partition may
// apply under different managers, and after the merge each still owns what it
// applied. What it owned and the other side removed is dropped when the object is
// read: dropManaged.

// dropManaged takes paths that are not in the object any more out of its
// managedFields, and entries that own nothing then. Entries of a status are left
// alone: a status is not stored. (KEP-555 has the form of fieldsV1.)
func dropManaged(obj map[string]any) {
	meta, _ := obj["metadata"].(map[string]any)
	list, ok := meta["managedFields"].([]any)
	if !ok {
		return
	}
	kept := []any{}
	for _, entry := range list {
		e, _ := entry.(map[string]any)
		fields, ok := e["fieldsV1"].(map[string]any)
		if ok && e["subresource"] != "status" && len(fields) > 0 {
			if dropFields(fields, obj); len(fields) == 0 {
				continue
			}
		}
		kept = append(kept, entry)
	}
	if meta["managedFields"] = kept; len(kept) == 0 && len(list) > 0 {
		delete(meta, "managedFields")
	}
}

// dropFields removes the names in a set of fields that value has nothing for.
func dropFields(fields map[string]any, value any) {
	for name, below := range fields {
		child, there := memberOf(value, name)
		if !there {
			delete(fields, name)
			continue
		}
		set, ok := below.(map[string]any)
		if !ok || len(set) == 0 {
			continue
		}
		if dropFields(set, child); len(set) == 0 {
			delete(fields, name)
		}
	}
}

// memberOf finds what a name in fieldsV1 stands for: f:<field>, k:<keys as JSON>,
// v:<value as JSON>, i:<index>, or the value itself, a dot.
func memberOf(value any, name string) (any, bool) {
	kind, text, ok := strings.Cut(name, ":")
	if name == "." {
		return nil, true
	}
	if !ok {
		return nil, false
	}
	list, _ := value.([]any)
	switch kind {
	case "f":
		obj, _ := value.(map[string]any)
		child, there := obj[text]
		return child, there
	case "k", "v":
		want, err := parse([]byte(text))
		if err != nil {
			return nil, false
		}
		for _, item := range list {
			if kind == "v" && equalJSON(item, want) || kind == "k" && hasKeys(item, want) {
				return item, true
			}
		}
	case "i":
		var i int
		if json.Unmarshal([]byte(text), &i) == nil && i >= 0 && i < len(list) {
			return list[i], true
		}
	}
	return nil, false
}

func equalJSON(a, b any) bool {
	x, err := appendJSON(nil, a, 0)
	if err != nil {
		return false
	}
	y, err := appendJSON(nil, b, 0)
	return err == nil && string(x) == string(y)
}

func hasKeys(item, keys any) bool {
	obj, ok := item.(map[string]any)
	wanted, isObj := keys.(map[string]any)
	if !ok || !isObj {
		return false
	}
	for name, want := range wanted {
		if have, there := obj[name]; !there || !equalJSON(have, want) {
			return false
		}
	}
	return true
}
