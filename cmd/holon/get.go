package main

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// getOptions are the flags of `get`.
type getOptions struct {
	output         string
	selector       string
	fieldSelector  string
	allNamespaces  bool
	watch          bool
	watchOnly      bool
	showLabels     bool
	noHeaders      bool
	ignoreNotFound bool
}

func newGetCommand(a *app) *cobra.Command {
	var o getOptions
	c := &cobra.Command{
		Use:   "get KIND [NAME...] | KIND/NAME...",
		Short: "List objects",
		Long: `List objects as tables, or as they are with -o.

KIND is a plural, singular or short name (pods, pod, po), a comma list of them,
or all.`,
		Example: `  holon get pods                       # in this namespace
  holon get po,deploy -A               # in all namespaces
  holon get pods -l app=web -o wide    # with node and address
  holon get deploy/web -o yaml         # the whole object
  holon get pods -w                    # and follow the changes`,
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.watchOnly {
				o.watch = true
			}
			return a.get(cmd.Context(), o, args)
		},
	}
	addOutputFlag(c, &o.output, "wide", "json", "yaml", "name", "jsonpath")
	f := c.Flags()
	f.StringVarP(&o.selector, "selector", "l", "", "only objects with these labels: app=web,tier!=db")
	f.StringVar(&o.fieldSelector, "field-selector", "", "only objects with these fields: spec.nodeName=n1")
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "in every namespace")
	f.BoolVarP(&o.watch, "watch", "w", false, "go on printing what changes")
	f.BoolVar(&o.watchOnly, "watch-only", false, "print only what changes from now on")
	f.BoolVar(&o.showLabels, "show-labels", false, "add a column with the labels")
	f.BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	f.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "an object that is not there is not an error")
	return c
}

func (a *app) get(ctx context.Context, o getOptions, args []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	targets, err := c.targets(ctx, args)
	if err != nil {
		return err
	}
	if err := o.check(targets); err != nil {
		return err
	}
	if o.allNamespaces {
		c.namespace = ""
	}
	switch {
	case o.watch:
		return a.getWatch(ctx, c, o, targets[0])
	case o.output == "" || o.output == "wide":
		return a.getTables(ctx, c, o, targets)
	}
	return a.getObjects(ctx, c, o, targets)
}

func (o getOptions) check(targets []target) error {
	named := slices.ContainsFunc(targets, func(t target) bool { return len(t.names) > 0 })
	switch {
	case named && (o.selector != "" || o.fieldSelector != ""):
		return usagef("a selector and a name exclude each other")
	case named && o.allNamespaces:
		return usagef("a name needs one namespace: leave out -A, or leave out the name")
	case o.watch && (len(targets) > 1 || len(targets[0].names) > 1):
		return usagef("-w follows one kind, or one object, at a time")
	}
	return nil
}

// query holds the selectors of a list or watch.
func (o getOptions) query() url.Values {
	q := url.Values{}
	if o.selector != "" {
		q.Set("labelSelector", o.selector)
	}
	if o.fieldSelector != "" {
		q.Set("fieldSelector", o.fieldSelector)
	}
	return q
}

// fetch reads what a target names: each object, or the whole list. Objects
// that are missing are reported through the error after the others were read.
func (c *client) fetch(ctx context.Context, t target, q url.Values, accept string) (answers [][]byte, missing []error, err error) {
	if len(t.names) == 0 {
		data, err := c.do(ctx, request{path: t.path(c.namespaceOf(t.resource), ""), query: q, accept: accept})
		if err != nil {
			return nil, nil, err
		}
		return [][]byte{data}, nil, nil
	}
	for _, name := range t.names {
		data, err := c.do(ctx, request{path: t.path(c.namespaceOf(t.resource), name), accept: accept})
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, err)
		case err != nil:
			return nil, nil, err
		default:
			answers = append(answers, data)
		}
	}
	return answers, missing, nil
}

func (a *app) getObjects(ctx context.Context, c *client, o getOptions, targets []target) error {
	var all []*unstructured.Unstructured
	var absent []error
	for _, t := range targets {
		answers, missing, err := c.fetch(ctx, t, o.query(), acceptJSON)
		if err != nil {
			return err
		}
		absent = append(absent, missing...)
		for _, data := range answers {
			objects, err := c.decodeObjects(data)
			if err != nil {
				return err
			}
			if o.output == "name" {
				for _, obj := range objects {
					say(a.out, "%v\n", t.name(obj.GetName()))
				}
			}
			all = append(all, objects...)
		}
	}
	single := len(targets) == 1 && len(targets[0].names) == 1
	if o.output != "name" && (len(all) > 0 || !single) {
		if err := printObjects(a.out, o.output, all, single); err != nil {
			return err
		}
	}
	return a.complainAbsent(o, absent)
}

// decodeObjects reads one object or a list of them.
func (c *client) decodeObjects(data []byte) ([]*unstructured.Unstructured, error) {
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, c.decode(data, &json.RawMessage{})
	}
	if !u.IsList() {
		return []*unstructured.Unstructured{&u}, nil
	}
	list, err := u.ToList()
	if err != nil {
		return nil, err
	}
	kind := strings.TrimSuffix(u.GetKind(), "List")
	objects := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		item := &list.Items[i]
		if item.GetKind() == "" { // typed lists leave it out
			item.SetAPIVersion(u.GetAPIVersion())
			item.SetKind(kind)
		}
		objects[i] = item
	}
	return objects, nil
}

func (a *app) complainAbsent(o getOptions, absent []error) error {
	if o.ignoreNotFound || len(absent) == 0 {
		return nil
	}
	for _, err := range absent {
		a.complain(sentence(err))
	}
	return errPrinted
}

// saidNothingFound is kubectl's sentence for an empty answer.
func (a *app) saidNothingFound(c *client, targets []target) {
	namespaced := slices.ContainsFunc(targets, func(t target) bool { return t.Namespaced })
	if namespaced && c.namespace != "" {
		say(a.err, "No resources found in %s namespace.\n", c.namespace)
		return
	}
	say(a.err, "No resources found\n")
}
