package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// selection says which objects a changing command works on: named ones, those
// of a label selector, or all.
type selection struct {
	selector      string
	all           bool
	allNamespaces bool
}

func (s *selection) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&s.selector, "selector", "l", "", "objects with these labels instead of names: app=web")
	f.BoolVar(&s.all, "all", false, "all objects of the kind")
	f.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "with -l or --all: in every namespace")
}

// picked is one object that a command works on.
type picked struct {
	resource
	object *unstructured.Unstructured
}

// pick reads the objects. missing holds the error for each name that is not there.
func (s *selection) pick(ctx context.Context, c *client, args []string) (found []picked, missing []error, err error) {
	targets, err := c.targets(ctx, args)
	if err != nil {
		return nil, nil, err
	}
	q := url.Values{}
	if s.selector != "" {
		q.Set("labelSelector", s.selector)
	}
	for _, t := range targets {
		if err := s.check(t); err != nil {
			return nil, nil, err
		}
		if s.allNamespaces {
			c.namespace = ""
		}
		answers, absent, err := c.fetch(ctx, t, q, acceptJSON)
		if err != nil {
			return nil, nil, err
		}
		missing = append(missing, absent...)
		for _, data := range answers {
			objects, err := c.decodeObjects(data)
			if err != nil {
				return nil, nil, err
			}
			for _, o := range objects {
				found = append(found, picked{t.resource, o})
			}
		}
	}
	return found, missing, nil
}

func (s *selection) check(t target) error {
	wide := s.selector != "" || s.all
	switch {
	case len(t.names) == 0 && !wide:
		return usagef("say which %s: a name, -l SELECTOR or --all", t.Plural)
	case len(t.names) > 0 && wide:
		return usagef("a name excludes -l and --all")
	case s.selector != "" && s.all:
		return usagef("-l and --all exclude each other")
	case s.allNamespaces && !wide:
		return usagef("-A needs -l or --all")
	}
	return nil
}

// path is where the object lives.
func (p picked) path() string { return p.resource.path(p.object.GetNamespace(), p.object.GetName()) }
