package api

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

func isApply(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && types.PatchType(media) == types.ApplyYAMLPatchType
}

// serverSideApply makes an object contain what the body says, and notes whose
// fields these are (KEP-555). Fields that this manager applied before and leaves
// out now go, unless somebody else owns them too; fields of others conflict.
func (s *Server) serverSideApply(w http.ResponseWriter, r *http.Request, t *target, opts writeOptions) error {
	config, err := readApplied(w, r, t)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("fieldManager") == "" {
		return apierrors.NewBadRequest("PATCH with application/apply-patch+yaml needs the parameter fieldManager: who applies")
	}
	force, err := forceOf(r)
	if err != nil {
		return err
	}
	opts.applies = true
	exact := metaString(config, "resourceVersion") != ""
	for try := 1; ; try++ {
		code, present := http.StatusOK, (*Object)(nil)
		current, err := s.find(t)
		switch {
		case err == nil:
			present = &current
		case apierrors.IsNotFound(err):
			code = http.StatusCreated
		default:
			return err
		}
		stored, err := s.applyOnce(r, t, present, config, force, opts, warningsTo(w))
		if isRace(err) && !exact && try < patchTries {
			w.Header().Del("Warning")
			s.awaitShown(r.Context(), t.key(), func(o Object, there bool) bool {
				return there != (present != nil) || o.Token != current.Token
			})
			continue
		}
		if err != nil {
			return err
		}
		return s.respond(w, r, code, t.kind, stored)
	}
}

// isRace tells a state that somebody else changed meanwhile from a conflict of
// managers, which trying again does not solve.
func isRace(err error) bool {
	if apierrors.IsAlreadyExists(err) {
		return true
	}
	_, ofFields := apierrors.StatusCause(err, metav1.CauseTypeFieldManagerConflict)
	return apierrors.IsConflict(err) && !ofFields
}

// applyOnce applies config to one state of the object, or makes it if there is none.
func (s *Server) applyOnce(
	r *http.Request, t *target, current *Object, config map[string]any, force bool, opts writeOptions, warn *warnings,
) (Object, error) {
	var live map[string]any
	if current != nil {
		opened, err := s.open(t.kind, *current)
		if err != nil {
			return Object{}, err
		}
		live = opened.versioned()
	}
	value, err := t.kind.applied(live, config, opts.manager, force)
	if err != nil {
		return Object{}, err
	}
	obj, err := t.kind.typed(value, "applied", opts, warn)
	if err != nil {
		return Object{}, err
	}
	if current == nil {
		return s.createObject(r.Context(), t, obj, opts, warn)
	}
	return s.replace(r.Context(), t, *current, obj, opts, warn)
}

// readApplied reads the body of an apply and checks that it speaks of the object
// that the URL names.
func readApplied(w http.ResponseWriter, r *http.Request, t *target) (map[string]any, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(body)
	if err != nil {
		return nil, apierrors.NewBadRequest("the body is not YAML or JSON: " + err.Error())
	}
	var config map[string]any
	if err := utiljson.Unmarshal(asJSON, &config); err != nil || config == nil {
		return nil, apierrors.NewBadRequest("the body is not one object")
	}
	if config["kind"] != t.kind.Kind || config["apiVersion"] != t.kind.GroupVersion().String() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the body is a %v of %v, but this is the place for a %s of %s",
			config["kind"], config["apiVersion"], t.kind.Kind, t.kind.GroupVersion()))
	}
	m, ok := config["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		config["metadata"] = m
	}
	for field, want := range map[string]string{"name": t.name, "namespace": t.namespace} {
		if have, _ := m[field].(string); have != "" && have != want {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("metadata.%s is %q, but the URL says %q", field, have, want))
		}
		if want != "" {
			m[field] = want
		}
	}
	return config, nil
}

func forceOf(r *http.Request) (bool, error) {
	text := r.URL.Query().Get("force")
	if text == "" {
		return false, nil
	}
	force, err := strconv.ParseBool(text)
	if err != nil {
		return false, apierrors.NewBadRequest(fmt.Sprintf("force %q is neither true nor false", text))
	}
	return force, nil
}
