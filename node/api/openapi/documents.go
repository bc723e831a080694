package openapi

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Patch is a place where objects of a kind can be patched. Clients read from it that
// this server checks fields itself and tries writes without writing.
type Patch struct {
	Path string
	Kind schema.GroupVersionKind
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
	Patch operation[parameter3] `json:"patch"`
}

type pathItem2 struct {
	Patch operation[parameter2] `json:"patch"`
}

type operation[P any] struct {
	ID         string              `json:"operationId"`
	Parameters []P                 `json:"parameters"`
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

func patch[P any](p Patch, parameter func(name string) P) operation[P] {
	op := operation[P]{
		ID: "patch" + p.Kind.Kind, Responses: map[string]response{"200": {"OK"}}, Action: "patch", Kind: KindOf(p.Kind),
	}
	for _, name := range parameters {
		op.Parameters = append(op.Parameters, parameter(name))
	}
	return op
}

// V3 describes one group and version.
func V3(info Info, gv schema.GroupVersion, patches []Patch) (*Document3, error) {
	all, err := Schemas()
	if err != nil {
		return nil, err
	}
	d := &Document3{OpenAPI: "3.0.0", Info: info, Paths: map[string]pathItem3{}}
	d.Components.Schemas = of(all, gv)
	for _, p := range patches {
		if p.Kind.GroupVersion() == gv {
			d.Paths[p.Path] = pathItem3{patch(p, func(name string) parameter3 { return parameter3{name, "query", &Schema{Type: "string"}} })}
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

// V2 describes everything in the words that kubectl before 1.27 and Helm ask for.
func V2(info Info, patches []Patch) (*Document2, error) {
	all, err := Schemas()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		s.v2()
	}
	d := &Document2{Swagger: "2.0", Info: info, Paths: map[string]pathItem2{}, Definitions: all}
	for _, p := range patches {
		d.Paths[p.Path] = pathItem2{patch(p, func(name string) parameter2 { return parameter2{name, "query", "string"} })}
	}
	return d, nil
}

// Accepts2 says whether an Accept header asks for v2 in protobuf.
func Accepts2(accept string) bool {
	return strings.Contains(accept, "com.github.proto-openapi.spec.v2")
}
