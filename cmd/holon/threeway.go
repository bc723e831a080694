package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
)

// withLastApplied returns the object as JSON with its own text in the annotation
// from which the next apply learns what this one had set.
func withLastApplied(o *unstructured.Unstructured) ([]byte, error) {
	u := o.DeepCopy()
	annotations := u.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if annotations == nil {
		annotations = map[string]string{}
	}
	// An empty map, not none, as kubectl has it: then the two agree on what was applied.
	u.SetAnnotations(annotations)
	plain, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	annotations[corev1.LastAppliedConfigAnnotation] = string(plain)
	u.SetAnnotations(annotations)
	return u.MarshalJSON()
}

// lastApplied returns what the former apply had set, nil if there was none.
func lastApplied(current []byte) ([]byte, error) {
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(current, &o); err != nil {
		return nil, fmt.Errorf("the stored object cannot be read: %w", err)
	}
	text, ok := o.Metadata.Annotations[corev1.LastAppliedConfigAnnotation]
	if !ok || text == "" {
		return nil, nil
	}
	return []byte(text), nil
}

// threeWayPatch computes what turns current into modified: fields of modified
// are set, fields that the last apply had set and modified lacks are removed,
// all others stay. Kinds with a Go type are merged by their patch strategies
// (lists by key), others as plain JSON.
func threeWayPatch(r resource, modified, current []byte) (patch []byte, contentType string, err error) {
	original, err := lastApplied(current)
	if err != nil {
		return nil, "", err
	}
	if r.Type == nil {
		preconditions := []mergepatch.PreconditionFunc{
			mergepatch.RequireKeyUnchanged("apiVersion"), mergepatch.RequireKeyUnchanged("kind"),
			mergepatch.RequireMetadataKeyUnchanged("name"),
		}
		patch, err = jsonmergepatch.CreateThreeWayJSONMergePatch(original, modified, current, preconditions...)
		return patch, string(types.MergePatchType), err
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(r.Type)
	if err != nil {
		return nil, "", err
	}
	patch, err = strategicpatch.CreateThreeWayMergePatch(original, modified, current, meta, true)
	return patch, string(types.StrategicMergePatchType), err
}

// validateStrict refuses fields that the Go type of a kind does not know, all
// documents at once. The server checks again, with what it really honours.
func validateStrict(docs []document, resources []resource) error {
	var problems []error
	for i, d := range docs {
		if resources[i].Type == nil {
			continue
		}
		if err := unknownFields(resources[i].Type, d.object); err != nil {
			problems = append(problems, fmt.Errorf("%s: %s %q: %w", d.source, resources[i].Kind, d.object.GetName(), err))
		}
	}
	return errors.Join(problems...)
}

func unknownFields(empty any, o *unstructured.Unstructured) error {
	data, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	into := reflect.New(reflect.TypeOf(empty)).Interface()
	strict, err := kjson.UnmarshalStrict(bytes.TrimSpace(data), into)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if len(strict) > 0 {
		return fmt.Errorf("%w (--validate=warn sends it all the same)", errors.Join(strict...))
	}
	return nil
}
