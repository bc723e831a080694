package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"maps"
	"reflect"
	"slices"
	"strings"

	"holon/crdt/state/schema"
)

// opaque are the types outside types.go files: how their JSON merges.
var opaque = map[string]schema.Kind{
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":     schema.Scalar,
	"k8s.io/apimachinery/pkg/api/resource.Quantity":       schema.Scalar,
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":           schema.Scalar,
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":      schema.Scalar,
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":       schema.Atomic,
	"k8s.io/apimachinery/pkg/runtime.RawExtension":        schema.Atomic,
	"k8s.io/apimachinery/pkg/types.UID":                   schema.Scalar,
	"k8s.io/apimachinery/pkg/types.NodeName":              schema.Scalar,
	"k8s.io/apimachinery/pkg/types.NamespacedName":        schema.Atomic,
	"k8s.io/apimachinery/pkg/apis/meta/v1.DeletionPolicy": schema.Scalar,
}

// node is one type of the table.
type node struct {
	name  string // of the Go type, for the comment
	kind  schema.Kind
	whole bool
	elem  int
	keys  string
	named map[string]int
}

// walker numbers the types that the resources reach.
type walker struct {
	modules map[string]string
	pkgs    map[string]*pkg
	nodes   []*node
	known   map[string]int // what was numbered, by a name that says all
	root    map[string]int
}

func newWalker(modules map[string]string) *walker {
	return &walker{modules: modules, pkgs: map[string]*pkg{}, known: map[string]int{}, root: map[string]int{}}
}

func (w *walker) roots() error {
	for _, kind := range []schema.Kind{schema.Scalar, schema.Atomic} {
		w.add(kind.String(), &node{kind: kind})
	}
	for _, resource := range slices.Sorted(maps.Keys(schema.Resources)) {
		i, err := w.named(schema.Resources[resource], nil)
		if err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		w.root[resource] = i
	}
	return w.own()
}

// own adds the kinds that k8s.io/api knows nothing of.
func (w *walker) own() error {
	metadata, err := w.named("k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta", nil)
	if err != nil {
		return err
	}
	scalar, atomic := w.known[schema.Scalar.String()], w.known[schema.Atomic.String()]
	for _, resource := range schema.Own {
		w.root[resource] = w.add(resource, &node{name: resource, kind: schema.Struct, named: map[string]int{
			"apiVersion": scalar, "kind": scalar, "metadata": metadata, "spec": atomic,
		}})
	}
	return nil
}

func (w *walker) add(id string, n *node) int {
	w.nodes = append(w.nodes, n)
	w.known[id] = len(w.nodes) - 1
	return len(w.nodes) - 1
}

func (w *walker) pkg(path string) (*pkg, error) {
	if p, ok := w.pkgs[path]; ok {
		return p, nil
	}
	p, err := load(w.modules, path)
	if err != nil {
		return nil, err
	}
	w.pkgs[path] = p
	return p, nil
}

// named is the number of a declared type, "path.Name", with the markers of the
// field that uses it.
func (w *walker) named(name string, field markers) (int, error) {
	if kind, ok := opaque[name]; ok {
		return w.known[kind.String()], nil
	}
	cut := strings.LastIndexByte(name, '.')
	p, err := w.pkg(name[:cut])
	if err != nil {
		return 0, err
	}
	decl, ok := p.types[name[cut+1:]]
	if !ok {
		return 0, fmt.Errorf("type %s is not in types.go", name)
	}
	all := maps.Clone(decl.doc)
	maps.Copy(all, field)
	structure, ok := decl.expr.(*ast.StructType)
	if !ok {
		return w.expr(p, decl.expr, all)
	}
	if all.is("structType", "atomic") || all.is("mapType", "atomic") {
		return w.known[schema.Atomic.String()], nil
	}
	if i, ok := w.known[name]; ok {
		return i, nil
	}
	_, whole := schema.Groups[name]
	n := &node{name: name, kind: schema.Struct, whole: whole, named: map[string]int{}}
	i := w.add(name, n)
	return i, w.fields(p, name, structure, n.named)
}

// fields numbers the types of a struct's fields; what is inlined is its own.
func (w *walker) fields(p *pkg, owner string, s *ast.StructType, into map[string]int) error {
	for _, f := range s.Fields.List {
		tag := ""
		if f.Tag != nil {
			tag = reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" || name == "status" && slices.Contains(slices.Collect(maps.Values(schema.Resources)), owner) {
			continue // how things are is derived and never stored
		}
		if name == "" && strings.Contains(options, "inline") {
			inlined, err := w.inlined(p, f.Type)
			if err != nil {
				return fmt.Errorf("%s: %w", owner, err)
			}
			if err := w.fields(inlined.pkg, inlined.name, inlined.structure, into); err != nil {
				return err
			}
			continue
		}
		var i int
		var err error
		if list, ok := schema.Lists[owner+"."+name]; ok {
			i, err = w.keyed(p, f.Type, list)
		} else {
			i, err = w.expr(p, f.Type, markersOf(f.Doc))
		}
		if err != nil {
			return fmt.Errorf("%s.%s: %w", owner, name, err)
		}
		into[name] = i
	}
	return nil
}

type inlined struct {
	pkg       *pkg
	name      string
	structure *ast.StructType
}

func (w *walker) inlined(p *pkg, e ast.Expr) (inlined, error) {
	name, err := p.nameOf(e)
	if err != nil {
		return inlined{}, err
	}
	cut := strings.LastIndexByte(name, '.')
	q, err := w.pkg(name[:cut])
	if err != nil {
		return inlined{}, err
	}
	decl := q.types[name[cut+1:]]
	if decl == nil {
		return inlined{}, fmt.Errorf("type %s is not in types.go", name)
	}
	s, ok := decl.expr.(*ast.StructType)
	if !ok {
		return inlined{}, fmt.Errorf("%s is inlined and no struct", name)
	}
	return inlined{q, name, s}, nil
}

// nameOf is "path.Name" of a type expression that names one.
func (p *pkg) nameOf(e ast.Expr) (string, error) {
	switch e := e.(type) {
	case *ast.Ident:
		return p.path + "." + e.Name, nil
	case *ast.SelectorExpr:
		if path, ok := p.imports[e.X.(*ast.Ident).Name]; ok {
			return path + "." + e.Sel.Name, nil
		}
	}
	return "", fmt.Errorf("%T names no type", e)
}

var basic = []string{"bool", "string", "byte", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}

// expr is the number of a type expression under the markers of its field.
func (w *walker) expr(p *pkg, e ast.Expr, m markers) (int, error) {
	atomic, scalar := w.known[schema.Atomic.String()], w.known[schema.Scalar.String()]
	switch e := e.(type) {
	case *ast.StarExpr:
		return w.expr(p, e.X, m)
	case *ast.Ident:
		if slices.Contains(basic, e.Name) {
			return scalar, nil
		}
	case *ast.ArrayType:
		if id, ok := e.Elt.(*ast.Ident); ok && id.Name == "byte" {
			return scalar, nil
		}
		switch {
		case m.is("listType", "map"):
			return w.keyed(p, e, schema.List{Keys: strings.Join(m["listMapKey"], ",")})
		case m.is("listType", "set"):
			return w.container(schema.Set, "", p, e.Elt)
		}
		return atomic, nil
	case *ast.MapType:
		if m.is("mapType", "atomic") {
			return atomic, nil
		}
		return w.container(schema.Map, "", p, e.Value)
	}
	name, err := p.nameOf(e)
	if err != nil {
		return 0, err
	}
	return w.named(name, m)
}

func (w *walker) keyed(p *pkg, e ast.Expr, list schema.List) (int, error) {
	array, ok := e.(*ast.ArrayType)
	if !ok {
		return 0, fmt.Errorf("%T is no list", e)
	}
	if list.Whole {
		return w.containerOf(schema.ListMap, list.Keys, w.known[schema.Atomic.String()]), nil
	}
	return w.container(schema.ListMap, list.Keys, p, array.Elt)
}

func (w *walker) container(kind schema.Kind, keys string, p *pkg, elem ast.Expr) (int, error) {
	i, err := w.expr(p, elem, nil)
	if err != nil {
		return 0, err
	}
	return w.containerOf(kind, keys, i), nil
}

func (w *walker) containerOf(kind schema.Kind, keys string, elem int) int {
	id := fmt.Sprint(kind, " of ", elem, " ", keys)
	if i, ok := w.known[id]; ok {
		return i
	}
	return w.add(id, &node{kind: kind, keys: keys, elem: elem})
}

var kindNames = map[schema.Kind]string{
	schema.Scalar: "Scalar", schema.Atomic: "Atomic", schema.Struct: "Struct",
	schema.Map: "Map", schema.ListMap: "ListMap", schema.Set: "Set",
}

// print writes the table as Go source.
func (w *walker) print() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("// Code generated by holon/crdt/state/schema/gen. DO NOT EDIT.\n\npackage schema\n\nvar types = [...]Type{\n")
	for i, n := range w.nodes {
		if n.name != "" {
			fmt.Fprintf(&b, "\t// %s\n", n.name[strings.LastIndexByte(n.name, '/')+1:])
		}
		fmt.Fprintf(&b, "\t%d: {Kind: %s", i, kindNames[n.kind])
		if n.whole {
			b.WriteString(", Whole: true")
		}
		if n.kind == schema.Map || n.kind == schema.ListMap || n.kind == schema.Set {
			fmt.Fprintf(&b, ", elem: %d", n.elem)
		}
		if n.keys != "" {
			fmt.Fprintf(&b, ", keys: %q", n.keys)
		}
		if n.kind == schema.Struct {
			b.WriteString(", named: []field{")
			for _, name := range slices.SortedFunc(maps.Keys(n.named), cmp.Compare) {
				fmt.Fprintf(&b, "{%q, %d}, ", name, n.named[name])
			}
			b.WriteString("}")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\nvar roots = [...]root{\n")
	for _, resource := range slices.Sorted(maps.Keys(w.root)) {
		fmt.Fprintf(&b, "\t{%q, %d},\n", resource, w.root[resource])
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}
