package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holon/crdt/state"
)

const (
	// deletesAtOnce is how many objects of a collection are deleted side by side,
	// so that they share syncs of the disk.
	deletesAtOnce = 16
	// contentRounds is how often a namespace is emptied anew because something
	// appeared in it meanwhile (from another node).
	contentRounds = 5
)

// protectedNamespaces are always there.
var protectedNamespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem}

// namespaceTakes refuses new objects in a namespace that is not there or is going away.
func (s *Server) namespaceTakes(name string) error {
	o, ok := s.config.Cache.Get(Key{Resource: Namespaces, Name: name})
	if !ok {
		return apierrors.NewNotFound(corev1.Resource("namespaces"), name)
	}
	s.terminating.mu.Lock()
	going := s.terminating.names[name] > 0
	s.terminating.mu.Unlock()
	value := o.Value()
	phase, _, _ := unstructured.NestedString(value, "status", "phase")
	if !going && phase != string(corev1.NamespaceTerminating) && metaString(value, "deletionTimestamp") == "" {
		return nil
	}
	err := statusError(http.StatusForbidden, metav1.StatusReasonForbidden,
		"unable to create new content in namespace %s because it is being terminated", name)
	err.(*apierrors.StatusError).ErrStatus.Details = &metav1.StatusDetails{Name: name, Kind: "namespaces", Causes: []metav1.StatusCause{{
		Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", name), Field: "metadata.namespace",
	}}}
	return err
}

// terminating counts the requests that are deleting each namespace right now.
type terminating struct {
	mu    sync.Mutex
	names map[string]int
}

func (t *terminating) begin(name string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names == nil {
		t.names = map[string]int{}
	}
	t.names[name]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.names[name]--; t.names[name] == 0 {
			delete(t.names, name)
		}
	}
}

// deleteNamespace deletes what is in a namespace and then the namespace, within
// the request. What finalizers hold in it holds the namespace, too, which the nodes
// delete once it is gone. It may be interrupted anywhere: content goes first, so the
// namespace is still there to be deleted again. While it runs this node takes no
// new content; content that another node takes meanwhile and that arrives after
// the namespace is gone stays listed by NamespaceContent.
func (s *Server) deleteNamespace(ctx context.Context, t *target, o Object) (held Object, err error) {
	for _, name := range protectedNamespaces {
		if o.Name == name {
			return held, apierrors.NewForbidden(t.kind.groupResource(), name, errors.New("this namespace may not be deleted"))
		}
	}
	defer s.terminating.begin(o.Name)()
	for range contentRounds {
		content := NamespaceContent(s.config.Cache, o.Name)
		if len(content) == 0 {
			return s.remove(ctx, t, Mutation{Key: o.Key, UID: uidOf(o.Value()), Old: o.Value()})
		}
		err := eachOf(ctx, content, func(ctx context.Context, o Object) error {
			one := &target{kind: kindNamed(o.Resource), namespace: o.Namespace, name: o.Name}
			_, err := s.remove(ctx, one, Mutation{Key: o.Key, UID: uidOf(o.Value()), Old: o.Value(), Cascade: state.Background})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			return nil
		})
		if err != nil {
			return held, err
		}
		s.awaitShown(ctx, t.key(), func(Object, bool) bool { return len(NamespaceContent(s.config.Cache, o.Name)) == 0 })
	}
	return held, apierrors.NewConflict(t.kind.groupResource(), o.Name, errors.New(
		"objects keep appearing in this namespace: delete it again once nothing creates them"))
}

// NamespaceContent lists the stored objects of a namespace: those that are not
// derived from others or given, do not stop by themselves, and are not asked from nodes.
func NamespaceContent(c *Cache, namespace string) []Object {
	var out []Object
	for _, k := range kinds {
		if !k.namespaced || k.asked || !k.can("delete") {
			continue
		}
		objects, _ := c.List(k.key(), namespace)
		for _, o := range objects {
			if !derivedPod(o) && !o.isGiven() && metaString(o.Value(), "deletionTimestamp") == "" {
				out = append(out, o)
			}
		}
	}
	return out
}

// eachOf calls f for every object, deletesAtOnce at a time, and returns all that failed.
func eachOf(ctx context.Context, objects []Object, f func(context.Context, Object) error) error {
	errs := make([]error, len(objects))
	slots := make(chan struct{}, deletesAtOnce)
	var wg sync.WaitGroup
	for i, o := range objects {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(ctx, o)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
