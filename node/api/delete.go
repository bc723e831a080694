package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"holon/crdt/state"
)

func (s *Server) delete(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := deleteOptionsOf(w, r)
	if err != nil {
		return err
	}
	o, err := s.find(t)
	if err != nil {
		return err
	}
	gone, err := s.deleteObject(r.Context(), t, o, opts, warningsTo(w))
	if err != nil {
		return err
	}
	if gone.Source != nil {
		return s.respond(w, r, http.StatusOK, t.kind, gone)
	}
	status := successStatus()
	status.Details = &metav1.StatusDetails{Name: t.name, Group: t.kind.Group, Kind: t.kind.plural, UID: types.UID(uidOf(o.Value()))}
	writeObject(w, r, http.StatusOK, &status)
	return nil
}

// deleteOptionsOf reads the options from the body and the query; the query wins.
func deleteOptionsOf(w http.ResponseWriter, r *http.Request) (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if err := decodeDeleteOptions(r, body, opts); err != nil {
			return nil, err
		}
	}
	query := r.URL.Query()
	if text := query.Get("gracePeriodSeconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("gracePeriodSeconds %q is not a number", text))
		}
		opts.GracePeriodSeconds = &seconds
	}
	if text := query.Get("propagationPolicy"); text != "" {
		policy := metav1.DeletionPropagation(text)
		opts.PropagationPolicy = &policy
	}
	opts.DryRun = append(opts.DryRun, query["dryRun"]...)
	if _, err := dryRunOf(opts.DryRun); err != nil {
		return nil, err
	}
	if p := opts.PropagationPolicy; p != nil {
		switch *p {
		case metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan:
		default:
			return nil, apierrors.NewBadRequest(fmt.Sprintf("propagationPolicy %q is none of Background, Foreground, Orphan", *p))
		}
	}
	return opts, nil
}

// decodeDeleteOptions takes DeleteOptions under any of the groups that clients name.
func decodeDeleteOptions(r *http.Request, body []byte, opts *metav1.DeleteOptions) error {
	media, err := mediaType(r)
	if err != nil {
		return err
	}
	switch media {
	case typeProtobuf:
		_, _, err = decoders[typeProtobuf].Decode(body, nil, opts)
	case typeJSON, typeYAML:
		err = yaml.Unmarshal(body, opts)
	default:
		return unsupportedMedia(media, typeJSON, typeYAML, typeProtobuf)
	}
	if err != nil {
		return apierrors.NewBadRequest("the body cannot be read as DeleteOptions: " + err.Error())
	}
	return nil
}

// deleteObject deletes what o is. A Pod is answered as it is while it stops, and what
// finalizers hold as it is now; other objects are gone at once and the result is empty.
func (s *Server) deleteObject(
	ctx context.Context, t *target, o Object, opts *metav1.DeleteOptions, warn *warnings,
) (Object, error) {
	if p := opts.Preconditions; p != nil {
		uid, version := deref(p.UID), deref(p.ResourceVersion)
		if err := s.sameObject(t, o, uid, version); err != nil {
			return Object{}, err
		}
	}
	warnDelete(t, o, opts, warn)
	result := Object{}
	if t.kind.key() == Pods {
		result = stopping(o)
	}
	if len(opts.DryRun) > 0 {
		return result, nil
	}
	var held Object
	var err error
	switch {
	case t.kind.key() == Namespaces:
		held, err = s.deleteNamespace(ctx, t, o)
	case o.isGiven():
		err = s.config.Cache.Apply(nil, []Key{o.Key}) // and another one takes its place
	case derivedPod(o):
		err = ofBackend(s.config.Backend.DeletePod(ctx, o.Namespace, o.Name), t.kind.groupResource(), o.Name)
	default:
		m := Mutation{Key: o.Key, UID: uidOf(o.Value()), Old: o.Value(), Cascade: state.Cascade(deref(opts.PropagationPolicy))}
		if opts.Preconditions != nil && opts.Preconditions.ResourceVersion != nil {
			m.Token = o.Token
		}
		held, err = s.remove(ctx, t, m)
	}
	if held.Source != nil {
		result = held
	}
	return result, err
}

// remove deletes one stored object. The result is the object if something holds it.
func (s *Server) remove(ctx context.Context, t *target, m Mutation) (held Object, err error) {
	shown, err := s.mutate(ctx, t, m)
	if err != nil || shown.Source == nil {
		return Object{}, err
	}
	if value := shown.Value(); uidOf(value) == m.UID && metaString(value, "deletionTimestamp") != "" {
		return shown, nil
	}
	return Object{}, nil
}

func warnDelete(t *target, o Object, opts *metav1.DeleteOptions, warn *warnings) {
	if p := opts.PropagationPolicy; p != nil && *p == metav1.DeletePropagationOrphan {
		switch {
		case slices.Contains([]string{Deployments, StatefulSets, DaemonSets, Jobs}, t.kind.key()):
			warn.add("propagationPolicy Orphan is not honoured for pods: those of a %s are derived from it and stop with it", t.kind.Kind)
		}
	}
	if g := opts.GracePeriodSeconds; g != nil && t.kind.key() == Pods {
		own, there, _ := unstructured.NestedInt64(o.Value(), "spec", "terminationGracePeriodSeconds")
		if !there || own != *g {
			warn.add("gracePeriodSeconds is not honoured: the pod stops within its own spec.terminationGracePeriodSeconds")
		}
	}
}

// derivedPod tells a pod that holon made for a workload from one that somebody created.
func derivedPod(o Object) bool {
	if o.Resource != Pods {
		return false
	}
	m, _ := o.Value()["metadata"].(map[string]any)
	owners, _ := m["ownerReferences"].([]any)
	for _, owner := range owners {
		if ref, _ := owner.(map[string]any); slices.Contains([]string{"ReplicaSet", "StatefulSet", "DaemonSet", "Job"}, fmt.Sprint(ref["kind"])) {
			return true
		}
	}
	return false
}

// stopping shows a pod that has been told to stop.
func stopping(o Object) Object {
	value := maps.Clone(o.Value())
	m, _ := value["metadata"].(map[string]any)
	m = maps.Clone(m)
	if _, there := m["deletionTimestamp"]; !there {
		grace, _, _ := unstructured.NestedInt64(value, "spec", "terminationGracePeriodSeconds")
		m["deletionTimestamp"] = time.Now().UTC().Add(time.Duration(grace) * time.Second).Format(time.RFC3339)
		m["deletionGracePeriodSeconds"] = grace
	}
	value["metadata"] = m
	o.Source = Decoded(value)
	return o
}

func (s *Server) deleteCollection(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := deleteOptionsOf(w, r)
	if err != nil {
		return err
	}
	p, meta, err := s.page(r, t)
	if err != nil {
		return err
	}
	warn := warningsTo(w)
	err = eachOf(r.Context(), p.Objects, func(ctx context.Context, o Object) error {
		one := &target{kind: t.kind, namespace: o.Namespace, name: o.Name}
		_, err := s.deleteObject(ctx, one, o, opts, &warnings{header: http.Header{}})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if policy := opts.PropagationPolicy; policy != nil && len(p.Objects) > 0 {
		warnDelete(t, p.Objects[0], &metav1.DeleteOptions{PropagationPolicy: policy}, warn)
	}
	if t.kind.sealed { // deleting needs no key, so its answer shows nothing that does
		status := successStatus()
		writeObject(w, r, http.StatusOK, &status)
		return nil
	}
	return s.respondList(w, r, t.kind, p.Objects, meta)
}

func deref[T any](p *T) (zero T) {
	if p != nil {
		return *p
	}
	return zero
}
