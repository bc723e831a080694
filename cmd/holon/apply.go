package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// applyOptions are the flags of `apply` and `create`.
type applyOptions struct {
	files     []string
	recursive bool
	dryRun    string
	validate  string
	output    string
}

// conflictRetriesMax bounds how often apply starts over when somebody else
// changes the object at the same time.
const conflictRetriesMax = 5

const fieldManager = "kubectl-client-side-apply" // so that kubectl goes on where holon stopped

func (o *applyOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file, directory or URL with the objects; - for stdin")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "also the subdirectories of a directory")
	f.StringVar(&o.dryRun, "dry-run", "none", "none, client (change nothing) or server (let the node check, change nothing)")
	f.Lookup("dry-run").NoOptDefVal = "client"
	f.StringVar(&o.validate, "validate", "strict", "unknown fields: strict (refuse), warn or ignore")
	f.Lookup("validate").NoOptDefVal = "strict"
	addOutputFlag(c, &o.output, "name", "json", "yaml")
	_ = c.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = c.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "client", "server"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("validate", cobra.FixedCompletions([]string{"strict", "warn", "ignore"}, cobra.ShellCompDirectiveNoFileComp))
}

// normalize checks the values and maps kubectl's older spellings.
func (o *applyOptions) normalize() error {
	switch o.validate {
	case "true":
		o.validate = "strict"
	case "false":
		o.validate = "ignore"
	case "strict", "warn", "ignore":
	default:
		return usagef("--validate %q is not strict, warn or ignore", o.validate)
	}
	switch o.dryRun {
	case "none", "client", "server":
		return nil
	}
	return usagef("--dry-run %q is not none, client or server", o.dryRun)
}

// query are the parameters of a write.
func (o *applyOptions) query() url.Values {
	q := url.Values{"fieldManager": {fieldManager}}
	q.Set("fieldValidation", map[string]string{"strict": "Strict", "warn": "Warn", "ignore": "Ignore"}[o.validate])
	if o.dryRun == "server" {
		q.Set("dryRun", "All")
	}
	return q
}

// suffix follows the verb in the output of a dry run.
func (o *applyOptions) suffix() string {
	switch o.dryRun {
	case "client":
		return " (dry run)"
	case "server":
		return " (server dry run)"
	}
	return ""
}

func newApplyCommand(a *app) *cobra.Command {
	var o applyOptions
	var onServer serverSideOptions
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make the cluster as the files say",
		Long: `Create what is missing and change what differs, as the files say.

Fields that others have set stay as they are; fields that a former apply set and
that are gone from the file are removed. Everything is read and checked before
the first object is sent.

With --server-side the node merges and notes the owner of each field; a field
that somebody else owns is a conflict, not overwritten.`,
		Example: `  holon apply -f web.yaml
  holon apply -f manifests/ -R
  cat web.yaml | holon apply -f -
  holon apply -f web.yaml --dry-run=server   # what would it do?
  holon apply -f web.yaml --server-side --field-manager team`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := onServer.check(o.dryRun); err != nil {
				return err
			}
			if onServer.on {
				return a.eachManifest(cmd.Context(), &o, onServer.apply)
			}
			return a.eachManifest(cmd.Context(), &o, a.applyOne)
		},
	}
	o.addFlags(c)
	onServer.addFlags(c)
	return c
}

// writer writes one object of a manifest and says what it did.
type writer func(ctx context.Context, c *client, o *applyOptions, r resource, obj *unstructured.Unstructured) (*unstructured.Unstructured, string, error)

// eachManifest reads and checks all manifests, then writes one after the other.
// An object that fails does not keep the later ones from being tried.
func (a *app) eachManifest(ctx context.Context, o *applyOptions, write writer) error {
	if err := o.normalize(); err != nil {
		return err
	}
	docs, err := a.readManifests(ctx, o.files, o.recursive)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	resources, err := c.resolve(ctx, docs)
	if err != nil {
		return err
	}
	if o.validate == "strict" {
		if err := validateStrict(docs, resources); err != nil {
			return err
		}
	}
	var failed error
	for i, d := range docs {
		result, verb, err := write(ctx, c, o, resources[i], d.object)
		if err != nil {
			if errors.Is(err, errUnreachable) || ctx.Err() != nil {
				return err
			}
			a.complain(fmt.Sprintf("%s: %s", d.source, sentence(err)))
			failed = errPrinted
			continue
		}
		if err := a.report(o.output, resources[i], result, verb+o.suffix()); err != nil {
			return err
		}
	}
	return failed
}

// resolve looks up the kinds of all documents and settles their namespaces.
func (c *client) resolve(ctx context.Context, docs []document) ([]resource, error) {
	resources := make([]resource, len(docs))
	for i, d := range docs {
		r, err := c.resourceByKind(ctx, d.object.GetAPIVersion(), d.object.GetKind())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.source, err)
		}
		ns := d.object.GetNamespace()
		switch {
		case !r.Namespaced && ns != "":
			return nil, fmt.Errorf("%s: a %s has no namespace; remove metadata.namespace", d.source, r.Kind)
		case r.Namespaced && ns == "":
			d.object.SetNamespace(c.namespace)
		case r.Namespaced && c.explicit && ns != c.namespace:
			return nil, fmt.Errorf("%s: the object is in namespace %q but -n says %q; leave out one of them", d.source, ns, c.namespace)
		}
		resources[i] = r
	}
	return resources, nil
}

// applyOne creates or changes one object by a three-way merge.
func (a *app) applyOne(ctx context.Context, c *client, o *applyOptions, r resource, obj *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	if obj.GetName() == "" {
		return nil, "", errors.New("apply needs metadata.name; generateName works with 'holon create' only")
	}
	modified, err := withLastApplied(obj)
	if err != nil {
		return nil, "", err
	}
	for retry := 0; ; retry++ {
		result, verb, err := c.applyOnce(ctx, o, r, obj, modified)
		if (apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)) && retry < conflictRetriesMax {
			continue
		}
		return result, verb, err
	}
}

func (c *client) applyOnce(ctx context.Context, o *applyOptions, r resource, obj *unstructured.Unstructured, modified []byte) (*unstructured.Unstructured, string, error) {
	path := r.path(obj.GetNamespace(), obj.GetName())
	current, err := c.do(ctx, request{path: path})
	if apierrors.IsNotFound(err) {
		if o.dryRun == "client" {
			return obj, "created", nil
		}
		created, err := c.write(ctx, request{method: http.MethodPost, path: r.path(obj.GetNamespace(), ""), query: o.query(), body: modified})
		return created, "created", err
	}
	if err != nil {
		return nil, "", err
	}
	patch, contentType, err := threeWayPatch(r, modified, current)
	if err != nil {
		return nil, "", err
	}
	before := &unstructured.Unstructured{}
	if err := before.UnmarshalJSON(current); err != nil {
		return nil, "", err
	}
	if string(patch) == "{}" {
		return before, "unchanged", nil
	}
	if o.dryRun == "client" {
		return obj, "configured", nil
	}
	changed, err := c.write(ctx, request{method: http.MethodPatch, path: path, query: o.query(), contentType: contentType, body: patch})
	return changed, "configured", err
}

// write sends a request whose answer is an object.
func (c *client) write(ctx context.Context, r request) (*unstructured.Unstructured, error) {
	data, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("%s answered something that is not an object: %w", c.where, err)
	}
	return &u, nil
}
