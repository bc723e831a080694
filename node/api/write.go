package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"holon/crdt/state/valid"
)

const (
	// showWait is how long a write waits for the cache to show it, so that the
	// client reads its own write and gets its resourceVersion. Later than that the
	// answer goes out without one.
	showWait = time.Second
	// generateTries is how many names generateName tries.
	generateTries = 8
)

// readObject reads the whole object that a create or an update sends.
func readObject(w http.ResponseWriter, r *http.Request, t *target, warn *warnings) (runtime.Object, writeOptions, error) {
	opts, err := writeOptionsOf(r)
	if err != nil {
		return nil, opts, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, opts, err
	}
	obj := t.kind.make()
	strict, err := decode(r, body, t.kind.GroupVersionKind, obj)
	if err != nil {
		return nil, opts, err
	}
	return obj, opts, opts.unknown(strict, warn)
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, t *target) error {
	warn := warningsTo(w)
	obj, opts, err := readObject(w, r, t, warn)
	if err != nil {
		return err
	}
	stored, err := s.createObject(r.Context(), t, obj, opts, warn)
	if err != nil {
		return err
	}
	return s.respond(w, r, http.StatusCreated, t.kind, stored)
}

func (s *Server) createObject(ctx context.Context, t *target, obj runtime.Object, opts writeOptions, warn *warnings) (Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return Object{}, apierrors.NewInternalError(err)
	}
	if err := s.placeNew(t, m); err != nil {
		return Object{}, err
	}
	generated := m.GetName() == "" && m.GetGenerateName() != ""
	for try := 1; ; try++ {
		if generated {
			m.SetName(generateName(m.GetGenerateName()))
		}
		stored, err := s.createNamed(ctx, t, obj, opts, warn)
		if !generated || try == generateTries || !apierrors.IsAlreadyExists(err) {
			return stored, err
		}
	}
}

// placeNew checks what the URL says about a new object against what it says itself.
func (s *Server) placeNew(t *target, m metav1.Object) error {
	if m.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if err := placeIn(t, m); err != nil {
		return err
	}
	if !t.kind.namespaced {
		return nil
	}
	return s.namespaceTakes(t.namespace)
}

// placeIn fills in the namespace of the URL, which the body may omit.
func placeIn(t *target, m metav1.Object) error {
	if m.GetNamespace() == "" {
		m.SetNamespace(t.namespace)
	}
	if m.GetNamespace() != t.namespace {
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the namespace of the provided object does not match the namespace sent on the request (%q and %q)",
			m.GetNamespace(), t.namespace))
	}
	return nil
}

func (s *Server) createNamed(ctx context.Context, t *target, obj runtime.Object, opts writeOptions, warn *warnings) (Object, error) {
	asSent, err := toMap(obj)
	if err != nil {
		return Object{}, err
	}
	value, err := s.prepare(t.kind, asSent, obj, nil, nil, warn)
	if err != nil {
		return Object{}, err
	}
	if err := s.mayGrant(ctx, t.kind, t.key(), obj); err != nil {
		return Object{}, err
	}
	entries := managedOf(value)
	value["metadata"] = clientMetadata(value, nil)
	if opts.applies {
		setManaged(value, entries)
	}
	delete(value, "status")
	named := *t
	named.name = metaString(value, "name")
	if _, taken := s.config.Cache.Get(named.key()); taken {
		return Object{}, apierrors.NewAlreadyExists(t.kind.groupResource(), named.name)
	}
	if opts.dryRun {
		m := value["metadata"].(map[string]any)
		m["uid"], m["creationTimestamp"] = randomUID(), time.Now().UTC().Format(time.RFC3339)
		return Object{Key: named.key(), Source: Decoded(value)}, nil
	}
	return s.mutate(ctx, &named, Mutation{Key: named.key(), New: value})
}

// prepare reviews an object as the client sent it, completes it, checks it and
// returns its canonical form. Old is what it replaces, if anything, and oldValue its
// form; a write that leaves the spec alone is not warned about it again.
func (s *Server) prepare(
	k *kind, asSent map[string]any, obj, old runtime.Object, oldValue map[string]any, warn *warnings,
) (map[string]any, error) {
	advice := &warnings{header: http.Header{}}
	errs := k.fields.review(asSent, advice)
	if len(errs) == 0 {
		errs = complete(k, obj, old)
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.GroupKind(), metaString(asSent, "name"), errs)
	}
	value := asSent
	if k.defaults != nil { // which may have changed it
		var err error
		if value, err = toMap(obj); err != nil {
			return nil, err
		}
	}
	if k.adviseCreate != "" && old == nil {
		warn.add("%s", k.adviseCreate)
	}
	if k.advise != nil {
		for _, text := range k.advise(obj) {
			advice.add("%s", text)
		}
	}
	for _, text := range append(s.advisePriority(obj), advisePodSpec(obj)...) {
		advice.add("%s", text)
	}
	if s.config.Review != nil {
		for _, text := range s.config.Review(k.key(), value) {
			advice.add("%s", text)
		}
	}
	if notes := annotations(value); old == nil || !maps.Equal(notes, annotations(oldValue)) {
		for _, text := range valid.AdviseAnnotations(k.Kind, notes) {
			warn.add("%s", text)
		}
	}
	if old != nil && reflect.DeepEqual(value["spec"], oldValue["spec"]) {
		return value, nil
	}
	for _, text := range advice.said {
		warn.add("%s", text)
	}
	return value, nil
}

func annotations(value map[string]any) map[string]string {
	notes, _, _ := unstructured.NestedStringMap(value, "metadata", "annotations")
	return notes
}

// complete fills in defaults and checks the result.
func complete(k *kind, obj, old runtime.Object) field.ErrorList {
	if k.defaults != nil {
		k.defaults(obj)
	}
	if k.carry != nil && old != nil {
		k.carry(obj, old)
	}
	errs := k.validate(obj)
	switch {
	case old == nil && k.validateCreate != nil:
		errs = append(errs, k.validateCreate(obj)...)
	case old != nil && k.validateUpdate != nil:
		errs = append(errs, k.validateUpdate(obj, old)...)
	}
	return append(errs, heldByNew(obj, old)...)
}

// heldByNew refuses finalizers that an object gets while it is being deleted.
func heldByNew(obj, old runtime.Object) field.ErrorList {
	if old == nil {
		return nil
	}
	next, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	was, err := meta.Accessor(old)
	if err != nil || was.GetDeletionTimestamp() == nil {
		return nil
	}
	return apivalidation.ValidateNoNewFinalizers(next.GetFinalizers(), was.GetFinalizers(), field.NewPath("metadata", "finalizers"))
}

// clientMetadata is what an object's metadata shall be: what clients decide from
// value, all else as it is in old.
func clientMetadata(value, old map[string]any) map[string]any {
	next, _ := value["metadata"].(map[string]any)
	out := map[string]any{}
	if old != nil {
		was, _ := old["metadata"].(map[string]any)
		out = maps.Clone(was)
	}
	for _, f := range []string{"name", "namespace", "generateName", "labels", "annotations", "ownerReferences", "finalizers"} {
		if v, there := next[f]; there {
			out[f] = v
		} else {
			delete(out, f)
		}
	}
	return out
}

func (s *Server) update(w http.ResponseWriter, r *http.Request, t *target) error {
	warn := warningsTo(w)
	obj, opts, err := readObject(w, r, t, warn)
	if err != nil {
		return err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if m.GetName() != t.name {
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the name of the object (%s) does not match the name on the URL (%s)", m.GetName(), t.name))
	}
	if err := placeIn(t, m); err != nil {
		return err
	}
	current, err := s.find(t)
	if err != nil {
		return err
	}
	stored, err := s.replace(r.Context(), t, current, obj, opts, warn)
	if err != nil {
		return err
	}
	return s.respond(w, r, http.StatusOK, t.kind, stored)
}

// replace writes obj over current. If obj names a resourceVersion it must be
// current's, and then the store too must still be where current was.
func (s *Server) replace(
	ctx context.Context, t *target, current Object, obj runtime.Object, opts writeOptions, warn *warnings,
) (Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return Object{}, apierrors.NewInternalError(err)
	}
	if err := s.sameObject(t, current, m.GetUID(), m.GetResourceVersion()); err != nil {
		return Object{}, err
	}
	opened, err := s.open(t.kind, current)
	if err != nil {
		return Object{}, err // what cannot be read is not overwritten
	}
	old := t.kind.make()
	if err := intoGo(opened.Value(), old); err != nil {
		return Object{}, apierrors.NewInternalError(err)
	}
	oldValue, err := toMap(old)
	if err != nil {
		return Object{}, err
	}
	asSent, err := toMap(obj)
	if err != nil {
		return Object{}, err
	}
	value, err := s.prepare(t.kind, asSent, obj, old, oldValue, warn)
	if err != nil {
		return Object{}, err
	}
	if err := s.mayGrant(ctx, t.kind, t.key(), obj); err != nil {
		return Object{}, err
	}
	entries := managedOf(value)
	value["metadata"] = clientMetadata(value, oldValue)
	keepStatus(value, oldValue)
	if opts.applies {
		setManaged(value, entries)
	} else if err := t.kind.updated(oldValue, value, opts.manager); err != nil {
		return Object{}, apierrors.NewInternalError(err)
	}
	if reflect.DeepEqual(value, oldValue) {
		return current, nil
	}
	if opts.dryRun {
		return Object{Key: current.Key, RV: current.RV, Source: Decoded(value)}, nil
	}
	if current.isGiven() { // whoever changes it makes it his own
		value["metadata"] = clientMetadata(value, nil)
		delete(value, "status")
		stored, err := s.mutate(ctx, t, Mutation{Key: current.Key, New: value})
		if apierrors.IsAlreadyExists(err) {
			err = apierrors.NewConflict(t.kind.groupResource(), t.name, ErrConflict)
		}
		return stored, err
	}
	mutation := Mutation{Key: current.Key, UID: uidOf(current.Value()), Old: oldValue, New: value}
	if m.GetResourceVersion() != "" {
		mutation.Token = current.Token
	}
	return s.mutate(ctx, t, mutation)
}

func keepStatus(value, old map[string]any) {
	if status, there := old["status"]; there {
		value["status"] = status
	} else {
		delete(value, "status")
	}
}

// sameObject refuses a write that was meant for another object or another state
// than current; empty arguments mean any. A resourceVersion of another node, or of
// this node before its last start, is never current.
func (s *Server) sameObject(t *target, current Object, uid types.UID, version string) error {
	if have := uidOf(current.Value()); uid != "" && string(uid) != have {
		return apierrors.NewConflict(t.kind.groupResource(), t.name,
			fmt.Errorf("precondition failed: UID in precondition: %s, UID in object meta: %s", uid, have))
	}
	if version == "" || version == "0" {
		return nil
	}
	rv, err := parseRV(version)
	switch {
	case err != nil:
		return err
	case rv == current.RV:
		return nil
	case !s.config.Cache.Issued(rv):
		return apierrors.NewConflict(t.kind.groupResource(), t.name, fmt.Errorf(
			"resourceVersion %s was not issued by this node; please read the object here and apply your changes again", version))
	}
	return apierrors.NewConflict(t.kind.groupResource(), t.name, fmt.Errorf(
		"the object has been modified; please apply your changes to the latest version and try again"))
}

// mutate performs a write and waits until this node's readers can see it.
func (s *Server) mutate(ctx context.Context, t *target, m Mutation) (Object, error) {
	m.Actor = actorOf(ctx)
	stored, err := s.config.Backend.Mutate(ctx, m)
	if err != nil {
		return Object{}, ofBackend(err, t.kind.groupResource(), m.Name)
	}
	shown, ok := s.awaitShown(ctx, m.Key, func(o Object, there bool) bool {
		if m.New == nil {
			return !there || uidOf(o.Value()) != m.UID || metaString(o.Value(), "deletionTimestamp") != ""
		}
		return there && o.Token == stored.Token
	})
	if ok {
		return shown, nil
	}
	return stored, nil
}

// awaitShown waits, at most showWait, until the cache shows what is looked for.
func (s *Server) awaitShown(ctx context.Context, k Key, shown func(Object, bool) bool) (Object, bool) {
	timeout := time.NewTimer(showWait)
	defer timeout.Stop()
	for {
		changed := s.config.Cache.Changed()
		o, there := s.config.Cache.Get(k)
		if shown(o, there) {
			return o, true
		}
		select {
		case <-changed:
		case <-timeout.C:
			return o, false
		case <-ctx.Done():
			return o, false
		}
	}
}

// generateName adds five random characters to a prefix, from Kubernetes'
// alphabet without vowels.
func generateName(prefix string) string {
	const alphabet, suffix, nameMax = "bcdfghjklmnpqrstvwxz2456789", 5, 63
	if len(prefix) > nameMax-suffix {
		prefix = prefix[:nameMax-suffix]
	}
	out := []byte(prefix)
	var random [suffix]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	for _, b := range random {
		out = append(out, alphabet[int(b)%len(alphabet)])
	}
	return string(out)
}

// randomUID is a version 4 UUID (RFC 9562 section 5.4).
func randomUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func metaString(value map[string]any, name string) string {
	m, _ := value["metadata"].(map[string]any)
	text, _ := m[name].(string)
	return text
}
