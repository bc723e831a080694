package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/node/api/openapi"
)

// What types say of themselves.
type (
	modelNamed interface{ OpenAPIModelName() string }
	documented interface{ SwaggerDoc() map[string]string }
	typed      interface {
		OpenAPISchemaType() []string
		OpenAPISchemaFormat() string
	}
	oneOf interface{ OpenAPIV3OneOfTypes() []string }
)

// walker collects the schemas of the named structs that the roots reach.
type walker struct {
	schemas map[string]*openapi.Schema
	sources map[string]*source
}

func newWalker() *walker {
	return &walker{map[string]*openapi.Schema{}, map[string]*source{}}
}

func (w *walker) root(gvk schema.GroupVersionKind, obj runtime.Object) error {
	t := reflect.TypeOf(obj).Elem()
	if _, err := w.reference(t); err != nil {
		return err
	}
	s := w.schemas[nameOf(t)]
	s.Kinds = append(s.Kinds, openapi.KindOf(gvk))
	return nil
}

func nameOf(t reflect.Type) string {
	if named, ok := reflect.New(t).Interface().(modelNamed); ok {
		return named.OpenAPIModelName()
	}
	return "dev.holon." + t.Name()
}

// reference is a reference to a named struct, whose schema it sees to.
func (w *walker) reference(t reflect.Type) (*openapi.Schema, error) {
	name := nameOf(t)
	if w.schemas[name] != nil {
		return openapi.Ref(name), nil
	}
	s := &openapi.Schema{Description: docs(t)[""]}
	w.schemas[name] = s // before its fields, which may refer to it
	if said, ok := reflect.New(t).Interface().(typed); ok {
		s.Type, s.Format = said.OpenAPISchemaType()[0], said.OpenAPISchemaFormat()
		if several, ok := reflect.New(t).Interface().(oneOf); ok {
			s.Type = ""
			for _, one := range several.OpenAPIV3OneOfTypes() {
				s.OneOf = append(s.OneOf, &openapi.Schema{Type: one})
			}
		}
		return openapi.Ref(name), nil
	}
	s.Type = "object"
	if strings.HasSuffix(name, ".FieldsV1") || strings.HasSuffix(name, ".RawExtension") {
		return openapi.Ref(name), nil // whatever JSON
	}
	m, err := w.markers(t, "")
	if err != nil {
		return nil, err
	}
	s.MapType = m.first("structType")
	if err := w.fields(s, t); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	slices.Sort(s.Required)
	return openapi.Ref(name), nil
}

func (w *walker) fields(s *openapi.Schema, t reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" { // inlined
			if err := w.fields(s, f.Type); err != nil {
				return err
			}
			continue
		}
		m, err := w.markers(t, f.Name)
		if err != nil {
			return err
		}
		part, err := w.field(f, m, docs(t)[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s.Properties == nil {
			s.Properties = map[string]*openapi.Schema{}
		}
		s.Properties[name] = part
		if !strings.Contains(options, "omit") && !m.has("optional") {
			s.Required = append(s.Required, name)
		}
	}
	return nil
}

func (w *walker) field(f reflect.StructField, m markers, doc string) (*openapi.Schema, error) {
	s, err := w.schema(f.Type)
	if err != nil {
		return nil, err
	}
	words := openapi.Words{
		ListType: m.first("listType"), ListMapKeys: m["listMapKey"], MapType: or(m.first("mapType"), m.first("structType")),
		PatchStrategy: f.Tag.Get("patchStrategy"), PatchMergeKey: f.Tag.Get("patchMergeKey"),
	}
	if s.Ref != "" { // nothing may stand beside a reference
		s = &openapi.Schema{AllOf: []*openapi.Schema{s}}
	}
	s.Description, s.Words = doc, words
	if value := m.first("default"); json.Valid([]byte(value)) {
		s.Default = json.RawMessage(value)
	}
	return s, nil
}

var formats = map[reflect.Kind]openapi.Schema{
	reflect.Bool: {Type: "boolean"}, reflect.String: {Type: "string"},
	reflect.Int: {Type: "integer", Format: "int32"}, reflect.Int32: {Type: "integer", Format: "int32"}, reflect.Int64: {Type: "integer", Format: "int64"},
	reflect.Float64: {Type: "number", Format: "double"},
}

func (w *walker) schema(t reflect.Type) (*openapi.Schema, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return w.schema(t.Elem())
	case reflect.Struct:
		return w.reference(t)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &openapi.Schema{Type: "string", Format: "byte"}, nil
		}
		items, err := w.schema(t.Elem())
		return &openapi.Schema{Type: "array", Items: items}, err
	case reflect.Map:
		values, err := w.schema(t.Elem())
		return &openapi.Schema{Type: "object", AdditionalProperties: values}, err
	}
	s, ok := formats[t.Kind()]
	if !ok {
		return nil, fmt.Errorf("no schema for %s", t)
	}
	if t.PkgPath() != "" {
		m, err := w.markers(t, "")
		if err != nil {
			return nil, err
		}
		if m.has("enum") {
			s.Enum = slices.Compact(slices.Sorted(slices.Values(w.sources[t.PkgPath()].constants[t.Name()])))
		}
	}
	return &s, nil
}

// markers of a type, or of one of its fields.
func (w *walker) markers(t reflect.Type, field string) (markers, error) {
	path := t.PkgPath()
	if w.sources[path] == nil {
		s, err := load(path)
		if err != nil {
			return nil, err
		}
		w.sources[path] = s
	}
	name := t.Name()
	if field != "" {
		name += "." + field
	}
	return w.sources[path].markers[name], nil
}

func docs(t reflect.Type) map[string]string {
	if d, ok := reflect.New(t).Interface().(documented); ok {
		return d.SwaggerDoc()
	}
	return nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
