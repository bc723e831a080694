// Package openapi has the schemas of the kinds that are served, as the sources of
// k8s.io/api document them, and speaks them as OpenAPI v3 and v2. They are kept packed
// and unpacked for each request: clients ask once in a while, and holon itself never.
package openapi

//go:generate go run ./gen

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"io"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

//go:embed schemas.json.gz
var packed []byte

// unpackedMax bounds the schemas. It is checked where they are made, by their test.
const unpackedMax = 8 << 20

const (
	prefix3 = "#/components/schemas/"
	prefix2 = "#/definitions/"
)

// Schema describes one type as OpenAPI v3 does, with the words that Kubernetes adds.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Description          string             `json:"description,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Format               string             `json:"format,omitempty"`
	Default              json.RawMessage    `json:"default,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Required             []string           `json:"required,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	AdditionalProperties *Schema            `json:"additionalProperties,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	AllOf                []*Schema          `json:"allOf,omitempty"`
	OneOf                []*Schema          `json:"oneOf,omitempty"`

	Words
}

// Words are Kubernetes' own.
type Words struct {
	Kinds         []Kind   `json:"x-kubernetes-group-version-kind,omitempty"`
	ListType      string   `json:"x-kubernetes-list-type,omitempty"`
	ListMapKeys   []string `json:"x-kubernetes-list-map-keys,omitempty"`
	MapType       string   `json:"x-kubernetes-map-type,omitempty"`
	PatchStrategy string   `json:"x-kubernetes-patch-strategy,omitempty"`
	PatchMergeKey string   `json:"x-kubernetes-patch-merge-key,omitempty"`
}

// Kind is a schema.GroupVersionKind as JSON has it here.
type Kind struct {
	Group   string `json:"group"`
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

// KindOf spells a kind.
func KindOf(gvk schema.GroupVersionKind) Kind { return Kind{gvk.Group, gvk.Kind, gvk.Version} }

// Ref is a schema that is another one, by name.
func Ref(name string) *Schema { return &Schema{Ref: prefix3 + name} }

// Schemas are all of them by name.
func Schemas() (map[string]*Schema, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	all := map[string]*Schema{}
	return all, json.NewDecoder(io.LimitReader(r, unpackedMax)).Decode(&all)
}

// of leaves those of one group and version, with what they refer to.
func of(all map[string]*Schema, gv schema.GroupVersion) map[string]*Schema {
	reached := map[string]*Schema{}
	for name, s := range all {
		for _, k := range s.Kinds {
			if k.Group == gv.Group && k.Version == gv.Version {
				reach(all, reached, Ref(name))
			}
		}
	}
	return reached
}

// reach ends because what is reached is not walked again.
func reach(all, reached map[string]*Schema, s *Schema) {
	name := strings.TrimPrefix(s.Ref, prefix3)
	if to := all[name]; to != nil && reached[name] == nil {
		reached[name] = to
		reach(all, reached, to)
	}
	s.each(func(part *Schema) { reach(all, reached, part) })
}

// each visits the parts of a schema.
func (s *Schema) each(f func(*Schema)) {
	for part := range maps.Values(s.Properties) {
		f(part)
	}
	for _, part := range append([]*Schema{s.AdditionalProperties, s.Items}, append(s.AllOf, s.OneOf...)...) {
		if part != nil {
			f(part)
		}
	}
}

// v2 rewrites a schema in place: a reference stands alone there, and what is one of
// several types is a string.
func (s *Schema) v2() {
	s.each((*Schema).v2)
	if len(s.AllOf) == 1 {
		s.Ref, s.AllOf = s.AllOf[0].Ref, nil
	}
	if name, ok := strings.CutPrefix(s.Ref, prefix3); ok {
		s.Ref = prefix2 + name
	}
	if s.OneOf != nil {
		s.Type, s.OneOf = "string", nil
	}
}
