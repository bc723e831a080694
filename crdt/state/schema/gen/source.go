package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// pkg is the types.go of one package.
type pkg struct {
	path    string
	types   map[string]*typeDecl
	imports map[string]string // by the name used in the file
}

type typeDecl struct {
	expr ast.Expr
	doc  markers
}

// markers are the "+name=value" lines of a comment.
type markers map[string][]string

var marker = regexp.MustCompile(`^\+(\w+)=(\S+)$`)

func markersOf(docs ...*ast.CommentGroup) markers {
	m := markers{}
	for _, doc := range docs {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			text := strings.TrimSpace(strings.TrimPrefix(c.Text, "//"))
			if found := marker.FindStringSubmatch(text); found != nil {
				m[found[1]] = append(m[found[1]], found[2])
			}
		}
	}
	return m
}

func (m markers) is(name, value string) bool { return slices.Contains(m[name], value) }

// load parses types.go of a package of one of the modules.
func load(modules map[string]string, importPath string) (*pkg, error) {
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		rest, ok := strings.CutPrefix(importPath, module+"/")
		if !ok {
			continue
		}
		name := filepath.Join(modules[module], filepath.FromSlash(rest), "types.go")
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		return read(importPath, f), nil
	}
	return nil, fmt.Errorf("package %s is in none of the modules", importPath)
}

func read(importPath string, f *ast.File) *pkg {
	p := &pkg{path: importPath, types: map[string]*typeDecl{}, imports: map[string]string{}}
	for _, im := range f.Imports {
		target := strings.Trim(im.Path.Value, `"`)
		name := path.Base(target)
		if im.Name != nil {
			name = im.Name.Name
		}
		p.imports[name] = target
	}
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.TypeSpec)
			p.types[spec.Name.Name] = &typeDecl{expr: spec.Type, doc: markersOf(decl.Doc, spec.Doc)}
		}
	}
	return p
}
