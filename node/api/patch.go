package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const (
	// patchTries is how often a patch is computed anew because the object changed meanwhile.
	patchTries = 5
	// jsonPatchOpsMax bounds the operations of one JSON patch, as Kubernetes does.
	jsonPatchOpsMax = 10000
)

// patcher computes a new object from a present one.
type patcher struct {
	media string
	body  []byte
	gvk   schema.GroupVersionKind
	make  func() runtime.Object
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := writeOptionsOf(r)
	if err != nil {
		return err
	}
	if isApply(r) {
		return s.serverSideApply(w, r, t, opts)
	}
	p, err := patcherOf(w, r, t.kind.GroupVersionKind, t.kind.make)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		current, err := s.find(t)
		if err != nil {
			return err
		}
		warn := warningsTo(w)
		stored, fresh, err := s.patchOnce(r, t, current, p, opts, warn)
		if apierrors.IsConflict(err) && fresh && try < patchTries {
			w.Header().Del("Warning")
			s.awaitShown(r.Context(), t.key(), func(o Object, there bool) bool { return !there || o.Token != current.Token })
			continue
		}
		if err != nil {
			return err
		}
		return s.respond(w, r, http.StatusOK, t.kind, stored)
	}
}

// patchOnce applies the patch to one state. Fresh says that the client did not
// insist on a resourceVersion, so that a conflict may be tried again.
func (s *Server) patchOnce(
	r *http.Request, t *target, current Object, p *patcher, opts writeOptions, warn *warnings,
) (stored Object, fresh bool, err error) {
	opened, err := s.open(t.kind, current)
	if err != nil {
		return Object{}, false, err
	}
	original := opened.versioned()
	patched, err := p.apply(original)
	if err != nil {
		return Object{}, false, err
	}
	if metaString(patched, "name") != t.name || metaString(patched, "namespace") != t.namespace {
		return Object{}, false, apierrors.NewBadRequest("a patch cannot change metadata.name or metadata.namespace")
	}
	obj, err := t.kind.typed(patched, "patched", opts, warn)
	if err != nil {
		return Object{}, false, err
	}
	fresh = metaString(patched, "resourceVersion") == metaString(original, "resourceVersion")
	stored, err = s.replace(r.Context(), t, current, obj, opts, warn)
	return stored, fresh, err
}

// typed reads an object that a request has made in part; how says by what.
func (k *kind) typed(value map[string]any, how string, opts writeOptions, warn *warnings) (runtime.Object, error) {
	obj := k.make()
	strict, err := fromMap(value, obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the %s object is not a %s: %v", how, k.Kind, err))
	}
	if err := opts.unknown(strict, warn); err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	return obj, nil
}

func patcherOf(w http.ResponseWriter, r *http.Request, gvk schema.GroupVersionKind, make func() runtime.Object) (*patcher, error) {
	media, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	supported := []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType)}
	switch types.PatchType(media) {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType:
	default:
		return nil, unsupportedMedia(media, supported...)
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return &patcher{media: media, body: body, gvk: gvk, make: make}, nil
}

// apply returns the patched object; original is not changed.
func (p *patcher) apply(original map[string]any) (map[string]any, error) {
	var patched map[string]any
	var err error
	switch types.PatchType(p.media) {
	case types.JSONPatchType:
		patched, err = p.viaJSON(original, p.jsonPatch)
	case types.MergePatchType:
		patched, err = p.viaJSON(original, func(doc []byte) ([]byte, error) { return jsonpatch.MergePatch(doc, p.body) })
	default:
		patched, err = p.strategic(original)
	}
	if err != nil {
		if errors.As(err, new(apierrors.APIStatus)) {
			return nil, err
		}
		return nil, apierrors.NewBadRequest("the patch cannot be applied: " + err.Error())
	}
	if patched == nil {
		return nil, apierrors.NewBadRequest("the patch leaves no object")
	}
	// These name what is patched; a patch that changes them means another object.
	if kind, _ := patched["kind"].(string); kind != p.gvk.Kind || patched["apiVersion"] != p.gvk.GroupVersion().String() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("a patch cannot change kind or apiVersion (%s of %s)", p.gvk.Kind, p.gvk.GroupVersion()))
	}
	return patched, nil
}

func (p *patcher) viaJSON(original map[string]any, change func([]byte) ([]byte, error)) (map[string]any, error) {
	doc, err := json.Marshal(original)
	if err != nil {
		return nil, err
	}
	doc, err = change(doc)
	if err != nil {
		return nil, err
	}
	var patched map[string]any
	return patched, utiljson.Unmarshal(doc, &patched)
}

func (p *patcher) jsonPatch(doc []byte) ([]byte, error) {
	operations, err := jsonpatch.DecodePatch(p.body)
	if err != nil {
		return nil, err
	}
	if len(operations) > jsonPatchOpsMax {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the allowed maximum operations in a JSON patch is %d, got %d", jsonPatchOpsMax, len(operations)))
	}
	doc, err = operations.Apply(doc)
	if err != nil { // a test that failed, a path that is not there: the request makes sense but not for this object
		return nil, statusError(http.StatusUnprocessableEntity, "Invalid", "the server rejected our request due to an error in our request: %v", err)
	}
	return doc, nil
}

func (p *patcher) strategic(original map[string]any) (map[string]any, error) {
	var patch map[string]any
	if err := utiljson.Unmarshal(p.body, &patch); err != nil {
		return nil, err
	}
	// The library changes the object it is given.
	return strategicpatch.StrategicMergeMapPatch(runtime.DeepCopyJSON(original), patch, p.make())
}
