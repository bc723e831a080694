package main

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// objectView is an object with readers for what the CLI looks at.
type objectView struct{ *unstructured.Unstructured }

// number reads an integer field; 0 if it is not there.
func (o objectView) number(path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o.Object, path...)
	return n
}

// numberOr reads an integer field that has a default.
func (o objectView) numberOr(fallback int64, path ...string) int64 {
	if n, ok, _ := unstructured.NestedInt64(o.Object, path...); ok {
		return n
	}
	return fallback
}

// condition returns the status and the message of a condition.
func (o objectView) condition(kind string) (status, message string) {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		fields, _ := c.(map[string]any)
		if name, _ := fields["type"].(string); strings.EqualFold(name, kind) { // as kubectl wait does
			status, _ = fields["status"].(string)
			message, _ = fields["message"].(string)
			return status, message
		}
	}
	return "", ""
}

// into fills a typed object.
func (o objectView) into(typed any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed)
}
