package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// source is what reflection cannot see of a package's types: the marker comments, and
// the constants of string types.
type source struct {
	markers   map[string]markers  // by "Type" and "Type.Field"
	constants map[string][]string // by "Type"
}

// markers are the "+name" and "+name=value" lines of a comment.
type markers map[string][]string

var marker = regexp.MustCompile(`^\+([\w:]+)(?:=(.*))?$`)

func (m markers) read(docs ...*ast.CommentGroup) {
	for _, doc := range docs {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if found := marker.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(c.Text, "//"))); found != nil {
				m[found[1]] = append(m[found[1]], found[2])
			}
		}
	}
}

func (m markers) has(name string) bool { return m[name] != nil }

func (m markers) first(name string) string {
	if m.has(name) {
		return m[name][0]
	}
	return ""
}

func load(importPath string) (*source, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", importPath).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", importPath, err)
	}
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{map[string]markers{}, map[string][]string{}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if decl, ok := d.(*ast.GenDecl); ok {
				s.read(decl)
			}
		}
	}
	return s, nil
}

func (s *source) read(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			name := spec.Name.Name
			s.markers[name] = markers{}
			s.markers[name].read(decl.Doc, spec.Doc)
			if body, ok := spec.Type.(*ast.StructType); ok {
				s.readFields(name, body)
			}
		case *ast.ValueSpec:
			id, ok := spec.Type.(*ast.Ident)
			if decl.Tok != token.CONST || !ok {
				continue
			}
			for _, value := range spec.Values {
				if lit, ok := value.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					s.constants[id.Name] = append(s.constants[id.Name], strings.Trim(lit.Value, `"`))
				}
			}
		}
	}
}

func (s *source) readFields(of string, body *ast.StructType) {
	for _, f := range body.Fields.List {
		for _, name := range f.Names {
			m := markers{}
			m.read(f.Doc)
			s.markers[of+"."+name.Name] = m
		}
	}
}
