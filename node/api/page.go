package api

import (
	"slices"

	"github.com/tidwall/btree"
)

// Query names objects of one resource, in the order of the cache.
type Query struct {
	Resource, Namespace string // Namespace empty: all
	// At is the resourceVersion of the state that is asked for; 0: the present one.
	At uint64
	// After: only what comes after this namespace and name; zero: from the beginning.
	After Place
	Limit int               // 0: all
	Match func(Object) bool // nil: all
}

// Place is where an object stands in the order of the cache.
type Place struct{ Namespace, Name string }

// Page is what answers a Query.
type Page struct {
	Objects []Object
	RV      uint64 // of the state that they are of
	More    bool   // the Limit kept some from being here
	// Rest counts them, if nothing had to match.
	Rest int
}

// Page reads objects of one state. A past state is made of the present one by
// undoing the changes since, so it lasts as long as they are kept for watchers and
// costs nothing besides. It fails with ErrGone.
func (c *Cache) Page(q Query) (Page, error) {
	s := c.current.Load()
	tree, rv := s.trees[q.Resource], s.rv
	if q.At != 0 && q.At != rv {
		var err error
		if tree, err = c.past(q.Resource, q.Namespace, q.At); err != nil {
			return Page{}, err
		}
		rv = q.At
	}
	if tree == nil {
		return Page{RV: rv}, nil
	}
	return q.read(tree, rv), nil
}

// past is a tree as it was, in one namespace or in all.
func (c *Cache) past(resource, namespace string, at uint64) (*btree.BTreeG[*Object], error) {
	c.mu.Lock()
	since, err := c.history(resource, namespace, at)
	tree := c.current.Load().trees[resource]
	if err == nil && len(since) > 0 {
		tree = tree.Copy()
	}
	c.mu.Unlock()
	for _, change := range slices.Backward(since) {
		if change.Prev == nil {
			tree.Delete(&Object{Key: change.Object.Key})
		} else {
			tree.Set(change.Prev)
		}
	}
	return tree, err
}

func (q *Query) read(tree *btree.BTreeG[*Object], rv uint64) Page {
	p := Page{RV: rv}
	if q.Limit == 0 && q.Namespace == "" && q.Match == nil {
		p.Objects = make([]Object, 0, tree.Len())
	}
	from := &Object{Key: Key{Namespace: q.Namespace}}
	if q.After != (Place{}) {
		from.Key = Key{Namespace: q.After.Namespace, Name: q.After.Name}
	}
	tree.Ascend(from, func(o *Object) bool {
		switch {
		case q.Namespace != "" && o.Namespace != q.Namespace:
			return false
		case o.place() == q.After, q.Match != nil && !q.Match(*o):
		case q.Limit == 0 || len(p.Objects) < q.Limit:
			p.Objects = append(p.Objects, *o)
		case q.Match != nil:
			p.More = true
			return false
		default:
			p.More = true
			p.Rest++
		}
		return true
	})
	return p
}

func (o *Object) place() Place { return Place{o.Namespace, o.Name} }
