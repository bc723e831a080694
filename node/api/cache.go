package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// A resourceVersion is a decimal of 63 bits: a counter of 43 bits that only
// rises, and a tag of 20 bits that is random per node and boot. So a client that
// switches nodes, or meets a node again after a restart, is told to start over
// instead of silently resuming from somebody else's history.
const (
	rvTagBits = 20
	rvTagMask = 1<<rvTagBits - 1

	// rvBlock is how many counter values are reserved on disk at once.
	rvBlock = 1 << 20
	// ringMax is how many past changes are kept per resource for watchers that resume.
	ringMax = 2000
	// watchQueueMax is how many changes may wait for one watcher.
	watchQueueMax = 1000
)

// Errors of Watch and of a Watcher.
var (
	// ErrGone: the resourceVersion was not issued by this process or is too old.
	ErrGone = errors.New("resourceVersion is unknown here")
	// ErrSlow: the watcher did not take its changes fast enough and was dropped.
	ErrSlow = errors.New("watcher fell too far behind")
)

// ChangeType is what happened to an object, in the words of a Kubernetes watch.
type ChangeType string

// The kinds of change.
const (
	Added    ChangeType = "ADDED"
	Modified ChangeType = "MODIFIED"
	Deleted  ChangeType = "DELETED"
)

// Change is one step in the history of one object. For Deleted, Object is the
// last state under the resourceVersion of the deletion.
type Change struct {
	Type   ChangeType
	Object Object
	Prev   *Object // the state before; nil for Added

	frames *frames // nil: nobody shares it
}

// Cache is the versioned, watchable, in-memory projection of this node's state
// that all reads are served from. One owner applies changes; any number of
// goroutines read. Reads never wait for writes.
type Cache struct {
	tag     uint64
	reserve func(until uint64) error
	current atomic.Pointer[snapshot]

	mu       sync.Mutex // guards all below and orders writers
	counter  uint64
	reserved uint64
	rings    map[string]*ring
	watchers map[string]map[*Watcher]struct{} // by resource
	changed  chan struct{}                    // closed and replaced at every new snapshot
	gives    bool                             // see Give
	ca       []byte
}

// snapshot is one immutable state of everything.
type snapshot struct {
	rv    uint64
	trees map[string]*btree.BTreeG[*Object] // by resource, ordered by namespace and name
}

// NewCache makes an empty cache. Tag should be random per node and boot. Start
// is a counter value that no former process of this node has reached. Before the
// counter passes what is reserved, reserve is called to put the new bound on
// disk, so that the next boot can start there; nil reserves nothing.
func NewCache(tag uint32, start uint64, reserve func(until uint64) error) *Cache {
	c := &Cache{
		tag:      uint64(tag) & rvTagMask,
		reserve:  reserve,
		counter:  max(start, 1), // 0 means "any" to clients and is never issued
		rings:    map[string]*ring{},
		watchers: map[string]map[*Watcher]struct{}{},
		changed:  make(chan struct{}),
	}
	c.reserved = c.counter
	c.current.Store(&snapshot{rv: c.rv(c.counter), trees: map[string]*btree.BTreeG[*Object]{}})
	return c
}

func (c *Cache) rv(counter uint64) uint64 { return counter<<rvTagBits | c.tag }

// RV is the resourceVersion of the newest state.
func (c *Cache) RV() uint64 { return c.current.Load().rv }

// Get returns one object.
func (c *Cache) Get(k Key) (Object, bool) {
	if o := c.current.Load().find(k); o != nil {
		return *o, true
	}
	return Object{}, false
}

// List returns the objects of a resource in a namespace, or in all if it is
// empty, ordered by namespace and name, and the resourceVersion of that state.
func (c *Cache) List(resource, namespace string) ([]Object, uint64) {
	s := c.current.Load()
	return s.list(resource, namespace), s.rv
}

// find returns nil for what is not there.
func (s *snapshot) find(k Key) *Object {
	if t := s.trees[k.Resource]; t != nil {
		if o, ok := t.Get(&Object{Key: k}); ok {
			return o
		}
	}
	return nil
}

func (s *snapshot) list(resource, namespace string) []Object {
	tree, ok := s.trees[resource]
	if !ok {
		return nil
	}
	return (&Query{Namespace: namespace}).read(tree, s.rv).Objects
}

// Changed returns a channel that is closed when the next state is published.
// Take it before looking at the state that it guards.
func (c *Cache) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Apply publishes a new state in one step: first the deletes, then the objects.
// Each change gets a resourceVersion of its own. An object whose Value equals that of
// the old one is no change, even if its Token is new. An object whose uid differs
// from the old one's is a deletion followed by an addition.
//
// The state is always published; an error only says that the range of
// resourceVersions could not be reserved on disk.
func (c *Cache) Apply(objects []Object, deletes []Key) error {
	return c.change(func(w *writing) {
		for _, k := range deletes {
			w.remove(k)
		}
		for _, o := range objects {
			w.put(o)
		}
		if c.gives {
			w.complete()
		}
	})
}

// change publishes what write does to the state.
func (c *Cache) change(write func(*writing)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &writing{cache: c, trees: maps.Clone(c.current.Load().trees), own: map[string]bool{}}
	write(w)
	if !w.touched {
		return w.err
	}
	c.current.Store(&snapshot{rv: c.rv(c.counter), trees: w.trees})
	for _, change := range w.changes {
		c.publish(change)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return w.err
}

// publish remembers a change and hands it to the watchers. A watcher whose queue
// is full is dropped: it must not hold up the others, nor miss a change unseen.
func (c *Cache) publish(change Change) {
	r := c.rings[change.Object.Resource]
	if r == nil {
		// Everything before this cache's first change is unchanged, so any version
		// issued until now can resume.
		r = &ring{}
		c.rings[change.Object.Resource] = r
	}
	r.add(change)
	watchers := c.watchers[change.Object.Resource]
	if len(watchers) == 0 {
		return
	}
	handed := change.shared()
	for w := range watchers {
		if w.namespace != "" && w.namespace != change.Object.Namespace {
			continue
		}
		select {
		case w.queue <- handed:
		default:
			c.drop(w, ErrSlow)
		}
	}
}

// writing is a state in the making.
type writing struct {
	cache   *Cache
	trees   map[string]*btree.BTreeG[*Object]
	own     map[string]bool // trees that are already copies
	changes []Change
	touched bool
	err     error
}

func (w *writing) tree(resource string) *btree.BTreeG[*Object] {
	t := w.trees[resource]
	switch {
	case t == nil:
		t = btree.NewBTreeGOptions(before, btree.Options{NoLocks: true})
	case !w.own[resource]:
		t = t.Copy()
	default:
		return t
	}
	w.trees[resource], w.own[resource] = t, true
	return t
}

func before(a, b *Object) bool {
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

func (w *writing) find(k Key) *Object { return (&snapshot{trees: w.trees}).find(k) }

func (w *writing) remove(k Key) {
	old := w.find(k)
	if old == nil {
		return
	}
	w.tree(k.Resource).Delete(old)
	gone := *old
	gone.RV = w.next()
	w.changes = append(w.changes, Change{Type: Deleted, Object: gone, Prev: old})
}

func (w *writing) put(o Object) {
	old := w.find(o.Key)
	var was, is map[string]any
	if old != nil {
		was, is = old.Value(), o.Value()
	}
	if c, ok := o.Source.(Compact); ok {
		o.Source = c.Kept()
	}
	if old != nil && reflect.DeepEqual(was, is) {
		if old.Token != o.Token {
			o.RV = old.RV
			w.tree(o.Resource).Set(&o)
			w.touched = true
		}
		return
	}
	if old != nil && uidOf(was) != uidOf(is) {
		w.remove(o.Key)
		old = nil
	}
	o.RV = w.next()
	w.tree(o.Resource).Set(&o)
	if old == nil {
		w.changes = append(w.changes, Change{Type: Added, Object: o})
	} else {
		w.changes = append(w.changes, Change{Type: Modified, Object: o, Prev: old})
	}
}

func (w *writing) next() uint64 {
	c := w.cache
	c.counter++
	w.touched = true
	if c.counter > c.reserved && c.reserve != nil {
		if err := c.reserve(c.counter + rvBlock); err != nil {
			w.err = fmt.Errorf("reserve resourceVersions: %w", err)
		} else {
			c.reserved = c.counter + rvBlock
		}
	}
	return c.rv(c.counter)
}

// ring keeps the newest changes of one resource, oldest first from head on.
type ring struct {
	changes []Change
	head    int
	lost    uint64 // resourceVersion of the newest change that is no longer kept
}

func (r *ring) add(c Change) {
	if len(r.changes) < ringMax {
		r.changes = append(r.changes, c)
		return
	}
	r.lost = r.changes[r.head].Object.RV
	r.changes[r.head] = c
	r.head = (r.head + 1) % ringMax
}

func (r *ring) since(rv uint64, namespace string) []Change {
	var out []Change
	for i := range r.changes {
		c := r.changes[(r.head+i)%len(r.changes)]
		if c.Object.RV > rv && (namespace == "" || namespace == c.Object.Namespace) {
			out = append(out, c)
		}
	}
	return out
}

// Watcher receives the changes of one resource, in order, without gaps.
type Watcher struct {
	cache               *Cache
	resource, namespace string
	queue               chan *Change
	stop                func() bool // detaches it from its context
	err                 error       // why it was dropped; guarded by cache.mu

	// Start is the state or the changes that come before everything in C.
	Start []Change
	// From is the resourceVersion of the state that Start ends with.
	From uint64
	// C delivers what follows. It is closed when the watch ends; see Err. All watchers
	// are handed the same change: a queue has room for a pointer each, as most stay empty.
	C <-chan *Change
}

// Watch follows a resource in a namespace, or in all if it is empty, until ctx
// ends. From is the resourceVersion to resume after, or 0 for the whole present
// state as additions first. It fails with ErrGone.
func (c *Cache) Watch(ctx context.Context, resource, namespace string, from uint64) (*Watcher, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &Watcher{cache: c, resource: resource, namespace: namespace, queue: make(chan *Change, watchQueueMax)}
	w.C, w.From = w.queue, c.rv(c.counter)
	if from == 0 {
		for _, o := range c.current.Load().list(resource, namespace) {
			w.Start = append(w.Start, Change{Type: Added, Object: o})
		}
	} else {
		start, err := c.history(resource, namespace, from)
		if err != nil {
			return nil, err
		}
		w.Start = start
	}
	if c.watchers[resource] == nil {
		c.watchers[resource] = map[*Watcher]struct{}{}
	}
	c.watchers[resource][w] = struct{}{}
	w.stop = context.AfterFunc(ctx, w.Stop)
	return w, nil
}

func (c *Cache) history(resource, namespace string, from uint64) ([]Change, error) {
	if !c.issued(from) {
		return nil, fmt.Errorf("%w: %d was not issued by this process", ErrGone, from)
	}
	r := c.rings[resource]
	if r == nil {
		return nil, nil
	}
	if from < r.lost {
		return nil, fmt.Errorf("%w: %d is older than the last %d changes", ErrGone, from, ringMax)
	}
	return r.since(from, namespace), nil
}

// Issued tells whether this process has issued the resourceVersion.
func (c *Cache) Issued(rv uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issued(rv)
}

// The tag is random per boot, so a tag that fits means that this process made
// it; the bound rejects versions that are yet to come.
func (c *Cache) issued(rv uint64) bool {
	return rv&rvTagMask == c.tag && rv != 0 && rv>>rvTagBits <= c.counter
}

// Stop ends the watch. It may be called twice.
func (w *Watcher) Stop() {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	w.cache.drop(w, nil)
}

// Err tells why C was closed: ErrSlow, or nil if the watch was stopped.
func (w *Watcher) Err() error {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return w.err
}

// Idle returns the newest resourceVersion, and whether this watcher has taken
// every change up to it, so that it may be told to resume there.
func (w *Watcher) Idle() (rv uint64, ok bool) {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return w.cache.rv(w.cache.counter), len(w.queue) == 0
}

// drop forgets a watcher; the caller holds the lock.
func (c *Cache) drop(w *Watcher, err error) {
	if _, there := c.watchers[w.resource][w]; !there {
		return
	}
	delete(c.watchers[w.resource], w)
	if w.stop != nil {
		w.stop()
	}
	w.err = err
	close(w.queue)
}

func uidOf(value map[string]any) string {
	meta, _ := value["metadata"].(map[string]any)
	uid, _ := meta["uid"].(string)
	return uid
}

// formatRV writes a resourceVersion as the API shows it.
func formatRV(rv uint64) string { return strconv.FormatUint(rv, 10) }
