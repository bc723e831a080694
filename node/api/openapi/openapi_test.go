package openapi_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"holon/node/api"
	"holon/node/api/openapi"
)

var info = openapi.Info{Title: "holon", Version: "1"}

// schemas3 are the schemas of every group as kube-openapi, which kubectl uses, reads them.
func schemas3(t *testing.T) map[string]*spec.Schema {
	t.Helper()
	groups := map[schema.GroupVersion]bool{}
	for gvk := range api.Served() {
		groups[gvk.GroupVersion()] = true
	}
	all := map[string]*spec.Schema{}
	for gv := range groups {
		d, err := openapi.V3(info, gv, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var read spec3.OpenAPI
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, read.Components.Schemas)
	}
	return all
}

// What the strategic merge of kubectl reads in the schemas is what it reads in the Go types.
func TestPatchesMergeAsTheTypesSay(t *testing.T) {
	all := schemas3(t)
	for gvk, obj := range api.Served() {
		types, err := strategicpatch.NewPatchMetaFromStruct(obj)
		if err != nil {
			t.Fatal(err)
		}
		root := findKind(all, gvk)
		if root == nil {
			t.Fatalf("no schema is of %s", gvk)
		}
		compareMerge(t, all, gvk.Kind, reflect.TypeOf(obj).Elem(), types,
			strategicpatch.PatchMetaFromOpenAPIV3{SchemaList: all, Schema: root}, 0)
	}
}

func findKind(all map[string]*spec.Schema, gvk schema.GroupVersionKind) *spec.Schema {
	for _, s := range all {
		var kinds []schema.GroupVersionKind
		if err := s.Extensions.GetObject("x-kubernetes-group-version-kind", &kinds); err == nil && slices.Contains(kinds, gvk) {
			return s
		}
	}
	return nil
}

// depthMax is below every list that merges, and above the JSONSchema-like types that hold themselves.
const depthMax = 9

func compareMerge(t *testing.T, all map[string]*spec.Schema, path string, typ reflect.Type, a, b strategicpatch.LookupPatchMeta, depth int) {
	if typ.Kind() != reflect.Struct || depth > depthMax {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := jsonName(f)
		if name == "" {
			if f.Anonymous {
				compareMerge(t, all, path, f.Type, a, b, depth)
			}
			continue
		}
		at, next := path+"."+name, f.Type
		if next.Kind() == reflect.Pointer {
			next = next.Elem()
		}
		lookA, lookB := a.LookupPatchMetadataForStruct, b.LookupPatchMetadataForStruct
		if next.Kind() == reflect.Slice {
			lookA, lookB = a.LookupPatchMetadataForSlice, b.LookupPatchMetadataForSlice
			next = next.Elem()
		} else if next.Kind() != reflect.Struct {
			continue
		}
		if _, opaque := reflect.New(next).Interface().(json.Marshaler); opaque || next.Kind() != reflect.Struct {
			continue // a value that only Go has as a struct
		}
		innerA, metaA, err := lookA(name)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		innerB, metaB, err := lookB(name)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		if have, want := words(metaB), words(metaA); have != want {
			t.Errorf("%s: the schema merges by %s, the type by %s", at, have, want)
		}
		compareMerge(t, all, at, next, innerA, innerB, depth+1)
	}
}

func words(m strategicpatch.PatchMeta) string {
	return strings.Join(m.GetPatchStrategies(), ",") + " " + m.GetPatchMergeKey()
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// The hand-written protobuf says to gnostic what the JSON says.
func TestProtoIsTheJSON(t *testing.T) {
	d, err := openapi.V2(info, []openapi.Patch{{Path: "/api/v1/pods/{name}", Kind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"}}})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := d.Proto()
	if err != nil {
		t.Fatal(err)
	}
	var read openapi_v2.Document
	if err := proto.Unmarshal(wire, &read); err != nil {
		t.Fatal(err)
	}
	if left := read.ProtoReflect().GetUnknown(); len(left) > 0 {
		t.Errorf("%d bytes are of no field", len(left))
	}
	var have, want any
	if err := read.ToRawInfo().Decode(&have); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	same(t, "", have, want)
}

func same(t *testing.T, path string, have, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s: have %v, want %v", path, have, want)
			return
		}
		for name := range want {
			same(t, path+"/"+name, have[name], want[name])
		}
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			t.Errorf("%s: have %v, want %v", path, have, want)
			return
		}
		for i := range want {
			same(t, path, have[i], want[i])
		}
	case float64:
		if n, ok := have.(int); !ok || float64(n) != want {
			t.Errorf("%s: have %v, want %v", path, have, want)
		}
	default:
		if have != want {
			t.Errorf("%s: have %v, want %v", path, have, want)
		}
	}
}
