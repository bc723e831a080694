package main

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// object reads a manifest of one object.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return &u
}

const webManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
`

// stored is what a server holds after an apply: the object with its annotation,
// with a default and somebody else's changes.
func stored(t *testing.T, manifest string, change func(*unstructured.Unstructured)) []byte {
	t.Helper()
	data, err := withLastApplied(object(t, manifest))
	if err != nil {
		t.Fatal(err)
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&u)
	}
	out, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func patchFor(t *testing.T, manifest string, current []byte) string {
	t.Helper()
	modified, err := withLastApplied(object(t, manifest))
	if err != nil {
		t.Fatal(err)
	}
	patch, kind, err := threeWayPatch(mustBuiltin("deploy"), modified, current)
	if err != nil {
		t.Fatal(err)
	}
	if kind != string(types.StrategicMergePatchType) {
		t.Fatalf("the patch is a %s", kind)
	}
	return string(patch)
}

func TestApplyOfTheSameChangesNothing(t *testing.T) {
	current := stored(t, webManifest, func(u *unstructured.Unstructured) {
		// A default of the server and another user's label.
		_ = unstructured.SetNestedField(u.Object, int64(600), "spec", "progressDeadlineSeconds")
		u.SetLabels(map[string]string{"owner": "somebody"})
	})
	if got := patchFor(t, webManifest, current); got != "{}" {
		t.Errorf("patch = %s", got)
	}
}

func TestApplyKeepsOthersAndRemovesOwn(t *testing.T) {
	current := stored(t, webManifest, func(u *unstructured.Unstructured) {
		u.SetLabels(map[string]string{"owner": "somebody"})
		containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		containers = append(containers, map[string]any{"name": "sidecar", "image": "side:1"})
		_ = unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
	})
	next := strings.Replace(webManifest, "web:1", "web:2", 1)
	next = strings.Replace(next, `{name: A, value: "1"}, `, "", 1)
	patch := patchFor(t, next, current)
	meta, err := strategicpatch.NewPatchMetaFromStruct(mustBuiltin("deploy").Type)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, []byte(patch), meta)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`"owner":"somebody"`: true, // another user's label stays
		`"image":"side:1"`:   true, // and the container that somebody added
		`"image":"web:2"`:    true,
		`{"name":"A"`:        false, // ours, and gone from the file
		`{"name":"B"`:        true,
	} {
		// The annotation quotes its quotes, so it cannot match.
		if strings.Contains(string(merged), text) != want {
			t.Errorf("merged object has %s: %v, want %v\n%s", text, !want, want, merged)
		}
	}
}

func TestApplyOverAnObjectThatWasCreatedOtherwise(t *testing.T) {
	current, err := object(t, webManifest).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var patch struct {
		Metadata struct{ Annotations map[string]string }
		Spec     any
	}
	if err := json.Unmarshal([]byte(patchFor(t, webManifest, current)), &patch); err != nil {
		t.Fatal(err)
	}
	if len(patch.Metadata.Annotations) != 1 || patch.Spec != nil {
		t.Errorf("the patch should add the annotation only: %+v", patch)
	}
}

func TestKindsWithoutATypeMergeAsJSON(t *testing.T) {
	r := resource{Group: "example.org", Version: "v1", Plural: "things", Singular: "thing", Kind: "Thing"}
	thing := "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\nspec: {a: 1, b: 2}\n"
	modified, err := withLastApplied(object(t, strings.Replace(thing, ", b: 2", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	patch, kind, err := threeWayPatch(r, modified, stored(t, thing, nil))
	if err != nil {
		t.Fatal(err)
	}
	if kind != string(types.MergePatchType) || !strings.Contains(string(patch), `"spec":{"b":null}`) {
		t.Errorf("%s patch %s", kind, patch)
	}
}

func TestUnknownFieldsAreNamedByPath(t *testing.T) {
	bad := strings.Replace(webManifest, "image: web:1", "imag: web:1", 1)
	err := unknownFields(mustBuiltin("deploy").Type, object(t, bad))
	if err == nil || !strings.Contains(err.Error(), `"spec.template.spec.containers[0].imag"`) {
		t.Errorf("err = %v", err)
	}
	if err := unknownFields(mustBuiltin("deploy").Type, object(t, webManifest)); err != nil {
		t.Error(err)
	}
	wrong := strings.Replace(webManifest, "replicas: 2", "replicas: many", 1)
	if err := unknownFields(mustBuiltin("deploy").Type, object(t, wrong)); err == nil {
		t.Error("a text was taken for a number")
	}
}
