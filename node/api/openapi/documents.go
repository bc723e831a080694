package openapi

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Place is where objects of a kind are. From one that can be patched clients read that this
// server checks fields itself and tries writes without writing; from any, of what kind the
// objects there are, to explain it.
type Place struct {
	Path     string
	Kind     schema.GroupVersionKind
	ReadOnly bool
}

// parameters of every patch.
var parameters = []string{"dryRun", "fieldValidation"}

// Document3 is OpenAPI v3 of one group and version.
type Document3 struct {
	OpenAPI    string               `json:"openapi"`
	Info       Info                 `json:"info"`
	Paths      map[string]pathItem3 `json:"paths"`
	Components struct {
		Schemas map[string]*Schema `json:"schemas"`
	} `json:"components"`
}

// Info says whose document it is.
type Info struct {
	Title   string `json:"title"`
	Version string `json:"version"`
}

type pathItem3 struct {
	Get   *operation[parameter3] `json:"get,omitempty"`
	Patch *operation[parameter3] `json:"patch,omitempty"`
}

type pathItem2 struct {
	Patch operation[parameter2] `json:"patch"`
}

type operation[P any] struct {
	ID         string              `json:"operationId"`
	Parameters []P                 `json:"parameters,omitempty"`
	Responses  map[string]response `json:"responses"`
	Action     string              `json:"x-kubernetes-action"`
	Kind       Kind                `json:"x-kubernetes-group-version-kind"`
}

type response struct {
	Description string `json:"description"`
}

type parameter3 struct {
	Name   string  `json:"name"`
	In     string  `json:"in"`
	Schema *Schema `json:"schema"`
}

type parameter2 struct {
	Name string `json:"name"`
	In   string `json:"in"`
	Type string `json:"type"`
}

func operate[P any](action string, p Place) operation[P] {
	return operation[P]{ID: action + p.Kind.Kind, Responses: map[string]response{"200": {"OK"}}, Action: action, Kind: KindOf(p.Kind)}
}

func patch[P any](p Place, parameter func(name string) P) operation[P] {
	op := operate[P]("patch", p)
	for _, name := range parameters {
		op.Parameters = append(op.Parameters, parameter(name))
	}
	return op
}

// V3 describes one group and version.
func V3(info Info, gv schema.GroupVersion, places []Place) (*Document3, error) {
	all, err := Schemas()
	if err != nil {
		return nil, err
	}
	d := &Document3{OpenAPI: "3.0.0", Info: info, Paths: map[string]pathItem3{}}
	d.Components.Schemas = of(all, gv)
	for _, p := range places {
		switch {
		case p.Kind.GroupVersion() != gv:
		case p.ReadOnly:
			op := operate[parameter3]("get", p)
			d.Paths[p.Path] = pathItem3{Get: &op}
		default:
			op := patch(p, func(name string) parameter3 { return parameter3{name, "query", &Schema{Type: "string"}} })
			d.Paths[p.Path] = pathItem3{Patch: &op}
		}
	}
	return d, nil
}

// Document2 is OpenAPI v2 of everything.
type Document2 struct {
	Swagger     string               `json:"swagger"`
	Info        Info                 `json:"info"`
	Paths       map[string]pathItem2 `json:"paths"`
	Definitions map[string]*Schema   `json:"definitions"`
}

// V2 describes everything in the words that kubectl before 1.27 and Helm ask for, who look
// for no other places than those that can be patched.
func V2(info Info, places []Place) (*Document2, error) {
	all, err := Schemas()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		s.v2()
	}
	d := &Document2{Swagger: "2.0", Info: info, Paths: map[string]pathItem2{}, Definitions: all}
	for _, p := range places {
		if p.ReadOnly {
			continue
		}
		d.Paths[p.Path] = pathItem2{patch(p, func(name string) parameter2 { return parameter2{name, "query", "string"} })}
	}
	return d, nil
}

// Accepts2 says whether an Accept header asks for v2 in protobuf.
func Accepts2(accept string) bool {
	return strings.Contains(accept, "com.github.proto-openapi.spec.v2")
}
