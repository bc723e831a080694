package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selector decides which objects of a collection a client asked for.
type selector struct {
	kind   *kind
	labels labels.Selector
	fields fields.Selector
}

func selectorOf(r *http.Request, t *target) (*selector, error) {
	query := r.URL.Query()
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest("labelSelector: " + err.Error())
	}
	byField, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest("fieldSelector: " + err.Error())
	}
	for _, q := range byField.Requirements() {
		known := q.Field == "metadata.name" || q.Field == "metadata.namespace" && t.kind.namespaced ||
			slices.Contains(t.kind.selectable, q.Field)
		if !known {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("fieldSelector: field label not supported: %s", q.Field))
		}
	}
	if t.name != "" {
		byField = fields.AndSelectors(byField, fields.OneTermEqualSelector("metadata.name", t.name))
	}
	return &selector{kind: t.kind, labels: byLabel, fields: byField}, nil
}

func (s *selector) matches(o Object) bool {
	if !s.labels.Empty() {
		own, _, _ := unstructured.NestedStringMap(o.Value(), "metadata", "labels")
		if !s.labels.Matches(labels.Set(own)) {
			return false
		}
	}
	return s.fields.Empty() || s.fields.Matches(fieldsOf(o))
}

// all tells a selector that chooses nothing.
func (s *selector) all() bool { return s.labels.Empty() && s.fields.Empty() }

// fieldsOf shows an object's fields to a field selector, as text.
type fieldsOf Object

// Has implements fields.Fields. An absent field counts as empty or false.
func (o fieldsOf) Has(string) bool { return true }

// Get implements fields.Fields.
func (o fieldsOf) Get(path string) string {
	switch path {
	case "metadata.name":
		return o.Name
	case "metadata.namespace":
		return o.Namespace
	case "source": // of an Event: the component
		path = "source.component"
	}
	value, _, _ := unstructured.NestedFieldNoCopy(Object(o).Value(), strings.Split(path, ".")...)
	switch v := value.(type) {
	case nil:
		switch path {
		case "spec.unschedulable", "spec.hostNetwork":
			return "false"
		case "status.replicas":
			return "0"
		}
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(value)
}
