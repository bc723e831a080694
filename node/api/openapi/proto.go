package openapi

import (
	"encoding/json"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// TypeProto2 is the content type of Document2.Proto.
const TypeProto2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

// message is the wire form of one message of gnostic's OpenAPIv2.proto. The numbers
// are its; a library for it is larger than everything that is said with it here.
type message []byte

func (m *message) bytes(number protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, number, protowire.BytesType), b)
}

func (m *message) text(number protowire.Number, text string) {
	if text != "" {
		m.bytes(number, []byte(text))
	}
}

// named puts a pair of a name and a message.
func (m *message) named(number protowire.Number, name string, value message) {
	var pair message
	pair.text(1, name)
	pair.bytes(2, value)
	m.bytes(number, pair)
}

// anyOf is a value as YAML, which JSON is.
func anyOf(value any) (m message, err error) {
	text, err := json.Marshal(value)
	m.text(2, string(text))
	return m, err
}

// extensions puts the words of a value that has only such.
func (m *message) extensions(number protowire.Number, words any) error {
	text, err := json.Marshal(words)
	if err != nil {
		return err
	}
	byName := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &byName); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		value, err := anyOf(byName[name])
		if err != nil {
			return err
		}
		m.named(number, name, value)
	}
	return nil
}

// Proto is the document as protobuf.
func (d *Document2) Proto() ([]byte, error) {
	var m, info, paths, definitions message
	m.text(1, d.Swagger)
	info.text(1, d.Info.Title)
	info.text(2, d.Info.Version)
	m.bytes(2, info)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		op, err := protoOperation(d.Paths[path].Patch)
		if err != nil {
			return nil, err
		}
		var item message
		item.bytes(8, op)
		paths.named(2, path, item)
	}
	m.bytes(8, paths)
	if err := protoSchemas(&definitions, d.Definitions); err != nil {
		return nil, err
	}
	m.bytes(9, definitions)
	return m, nil
}

func protoOperation(op operation[parameter2]) (m message, err error) {
	m.text(5, op.ID)
	for _, p := range op.Parameters {
		m.bytes(8, nested(p.proto(), 3, 2, 1)) // a query parameter, which has no body, is a parameter
	}
	var responses message
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		var r message
		r.text(1, op.Responses[code].Description)
		responses.named(1, code, nested(r, 1))
	}
	m.bytes(9, responses)
	return m, m.extensions(13, struct {
		Action string `json:"x-kubernetes-action"`
		Kind   Kind   `json:"x-kubernetes-group-version-kind"`
	}{op.Action, op.Kind})
}

func (p parameter2) proto() (m message) {
	m.text(2, p.In)
	m.text(4, p.Name)
	m.text(6, p.Type)
	return m
}

// nested wraps a message into messages that have nothing else, inside out.
func nested(m message, numbers ...protowire.Number) message {
	for _, number := range numbers {
		var outer message
		outer.bytes(number, m)
		m = outer
	}
	return m
}

func protoSchemas(m *message, schemas map[string]*Schema) error {
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		s, err := schemas[name].proto()
		if err != nil {
			return err
		}
		m.named(1, name, s)
	}
	return nil
}

// proto is a schema that v2 has rewritten. Its depth is that of a type as written; what
// a type refers to is not entered.
func (s *Schema) proto() (m message, err error) {
	m.text(1, s.Ref)
	m.text(2, s.Format)
	m.text(4, s.Description)
	if s.Default != nil {
		value, err := anyOf(s.Default)
		if err != nil {
			return nil, err
		}
		m.bytes(5, value)
	}
	for _, name := range s.Required {
		m.text(19, name)
	}
	for _, word := range s.Enum {
		value, err := anyOf(word)
		if err != nil {
			return nil, err
		}
		m.bytes(20, value)
	}
	for number, part := range map[protowire.Number]*Schema{21: s.AdditionalProperties, 23: s.Items} {
		if part == nil {
			continue
		}
		inner, err := part.proto()
		if err != nil {
			return nil, err
		}
		m.bytes(number, nested(inner, 1))
	}
	if s.Type != "" {
		var types message
		types.text(1, s.Type)
		m.bytes(22, types)
	}
	if s.Properties != nil {
		var properties message
		if err := protoSchemas(&properties, s.Properties); err != nil {
			return nil, err
		}
		m.bytes(25, properties)
	}
	return m, m.extensions(31, s.Words)
}
