package state

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holon/crdt"
)

// Build is the inverse of Flatten and FlattenAs: paths say by themselves which
// lists have keys, so it needs no schema. Numbers become int64 where their text
// is an integer of that range, else float64, as in Kubernetes' unstructured
// objects; nil values are absent fields. Hidden paths are left out.
//
// Registers of one object written on both sides of a partition, or by different
// versions of holon, may disagree on a field's shape:
//
//   - Where a path is both a leaf and a prefix of others, the children win; {}
//     only ensures that the object is there.
//   - A list that is one register seeds the elements whose registers are beside
//     it, field by field; an absent register takes the field or element away.
//   - An element whose own register is absent is gone, whatever its fields say.
//   - Elements that the order does not name come last, by birth.
func Build(values map[string][]byte) (map[string]any, error) {
	root := &part{}
	for _, path := range slices.Sorted(maps.Keys(values)) { // parents before children
		if err := root.insert(path, values[path], crdt.Stamp{}); err != nil {
			return nil, fmt.Errorf("field %.200q: %w", path, err)
		}
	}
	return root.object()
}

// BuildObject is Build of an object's registers, with its generation, and without
// what nobody manages any more.
func BuildObject(o *crdt.Object) (map[string]any, error) {
	root := &part{}
	for _, path := range slices.Sorted(maps.Keys(o.Registers)) {
		g := o.Registers[path]
		if err := root.insert(path, g.Value, g.Stamp); err != nil {
			return nil, fmt.Errorf("field %.200q: %w", path, err)
		}
	}
	value, err := root.object()
	dropManaged(value)
	if n, ok := generation(o); ok && err == nil {
		object(value, "metadata")["generation"] = n
	}
	return value, err
}

// part is one path of an object that is being built.
type part struct {
	segment string // not escaped in elements, escaped in names
	value   []byte // nil: none, or absent
	written bool   // there is a register, maybe an absent one
	live    bool   // there is a value here or below
	born    crdt.Stamp
	kids    []*part // by segment
}

func (p *part) insert(path string, value []byte, born crdt.Stamp) error {
	if Hidden(path) {
		return nil
	}
	if path != "" && path[0] != '/' {
		return errors.New(`a path begins with "/"`)
	}
	for depth := 0; path != ""; depth++ {
		if depth >= FieldDepthMax {
			return fmt.Errorf("nested deeper than %d objects", FieldDepthMax)
		}
		p.live = p.live || value != nil
		var segment string
		segment, path = path[1:], ""
		if i := strings.IndexByte(segment, '/'); i >= 0 {
			segment, path = segment[:i], segment[i:]
		}
		p = p.kid(segment)
	}
	p.value, p.written, p.live, p.born = value, true, p.live || value != nil, born
	return nil
}

// kid finds or makes the child of a segment. Paths come sorted, so it is mostly
// the last one or a new last one.
func (p *part) kid(segment string) *part {
	n := len(p.kids)
	if n > 0 && p.kids[n-1].segment == segment {
		return p.kids[n-1]
	}
	i := n
	if n > 0 && p.kids[n-1].segment > segment {
		var found bool
		if i, found = slices.BinarySearchFunc(p.kids, segment, func(k *part, s string) int { return strings.Compare(k.segment, s) }); found {
			return p.kids[i]
		}
	}
	p.kids = slices.Insert(p.kids, i, &part{segment: segment})
	return p.kids[i]
}

func (p *part) object() (map[string]any, error) {
	value, there, err := p.render(nil, false, false)
	if err != nil || !there {
		return map[string]any{}, err
	}
	obj, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the whole object is not a JSON object")
	}
	return obj, nil
}

// render gives the value of a part. Seed is what an atomic list above says of it;
// masks says that there is such a list, so that absent registers count.
func (p *part) render(seed any, there, masks bool) (any, bool, error) {
	base := seed
	switch {
	case p.value != nil:
		value, err := parse(p.value)
		if err != nil {
			return nil, false, fmt.Errorf("field %.200q: %w", p.segment, err)
		}
		if obj, ok := value.(map[string]any); !ok || len(obj) > 0 || !isObject(seed) {
			base = value
		}
		there = true
	case p.written && masks:
		base, there = nil, false
	}
	elements, named := false, false
	for _, k := range p.kids {
		elements = elements || k.live && isElement(k.segment)
		named = named || k.live && !isElement(k.segment) && k.segment != orderSuffix[1:]
	}
	if elements || !named && isList(base) && len(p.kids) > 0 {
		return p.list(base)
	}
	obj, ok := base.(map[string]any)
	if !named && !ok {
		return base, there, nil
	}
	if !ok {
		obj = map[string]any{}
	}
	return p.fields(obj, there, masks)
}

func isObject(value any) bool { _, ok := value.(map[string]any); return ok }

func isList(value any) bool { _, ok := value.([]any); return ok }

// fields puts the children of an object over what is there of it.
func (p *part) fields(obj map[string]any, there, masks bool) (any, bool, error) {
	for _, k := range p.kids {
		if isElement(k.segment) || k.segment == orderSuffix[1:] {
			continue
		}
		name, err := unescape(k.segment)
		if err != nil {
			return nil, false, fmt.Errorf("field %.200q: %w", k.segment, err)
		}
		before, had := obj[name]
		value, is, err := k.render(before, had, masks)
		if err != nil {
			return nil, false, err
		}
		if is {
			obj[name], there = value, true
		} else if had {
			delete(obj, name)
		}
	}
	return obj, there, nil
}

// item is an element of a list that is being built.
type item struct {
	segment string
	value   any
	rank    int // 0: the order names it; 1: of an atomic list; 2: by birth
	place   int
	born    crdt.Stamp
}

// list puts the elements over those of an atomic list, in order.
func (p *part) list(base any) (any, bool, error) {
	seeds, _ := base.([]any)
	var order map[string]int
	items, keys := []item{}, []string(nil)
	kids := map[string]*part{}
	parsed := map[string]element{}
	for _, k := range p.kids {
		if k.segment == orderSuffix[1:] {
			order = parseOrder(k.value)
		}
		if !isElement(k.segment) {
			continue
		}
		segment, err := unescape(k.segment)
		if err != nil {
			return nil, false, err
		}
		e, err := parseElement(segment)
		if err != nil {
			return nil, false, err
		}
		keys = e.keys
		kids[segment], parsed[segment] = k, e
	}
	seeded := map[string]item{}
	for _, s := range seedsBySegment(seeds, keys) {
		if seeded[s.segment] = s; kids[s.segment] == nil {
			items = append(items, s)
		}
	}
	for segment, k := range kids {
		it := item{segment: segment, rank: 2, born: k.born}
		seed, had := seeded[segment]
		if had {
			it.rank, it.place = 1, seed.place
		}
		value, there, err := k.element(parsed[segment], seed.value, had)
		if err != nil {
			return nil, false, err
		}
		if there {
			it.value = value
			items = append(items, it)
		}
	}
	for i := range items {
		if place, ok := order[items[i].segment]; ok {
			items[i].rank, items[i].place = 0, place
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.place, b.place), a.born.Compare(b.born), cmp.Compare(a.segment, b.segment))
	})
	list := make([]any, len(items))
	for i := range items {
		list[i] = items[i].value
	}
	return list, len(list) > 0 || base != nil && len(seeds) == 0, nil
}

// element renders an element: gone if its own register is absent.
func (p *part) element(e element, seed any, there bool) (any, bool, error) {
	if p.written && p.value == nil || !there && !p.live {
		return nil, false, nil
	}
	value, there, err := p.render(seed, there, there)
	if err != nil || !there {
		return nil, false, err
	}
	obj, ok := value.(map[string]any)
	if len(e.keys) == 0 || !ok {
		return value, true, nil
	}
	for i, key := range e.keys {
		if e.values[i] != nil {
			obj[key] = e.values[i]
		}
	}
	return obj, true, nil
}

// seedsBySegment names the elements of an atomic list as FlattenAs would.
func seedsBySegment(list []any, keys []string) []item {
	out := make([]item, len(list))
	times := map[string]int{}
	for i, value := range list {
		segment, err := segmentBy(keys, value)
		if err != nil {
			segment = fmt.Sprint("[", i, "]") // no register can name it
		}
		if times[segment]++; times[segment] > 1 {
			segment += fmt.Sprint("#", times[segment])
		}
		out[i] = item{segment: segment, value: value, rank: 1, place: i}
	}
	return out
}
