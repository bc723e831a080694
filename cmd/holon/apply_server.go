package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// serverSideOptions are the flags of a server-side apply (KEP-555), with
// kubectl's names and defaults.
type serverSideOptions struct {
	on      bool
	manager string
	force   bool
}

func (o *serverSideOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.on, "server-side", false, "let the node merge, and note who owns which field")
	f.StringVar(&o.manager, "field-manager", "kubectl", "with --server-side: who owns the fields of the files")
	f.BoolVar(&o.force, "force-conflicts", false, "with --server-side: take over fields that others own")
}

func (o *serverSideOptions) check(dryRun string) error {
	switch {
	case !o.on && o.force:
		return usagef("--force-conflicts works with --server-side only")
	case o.on && dryRun == "client":
		return usagef("--dry-run=client does not work with --server-side; use --dry-run=server")
	}
	return nil
}

// applyServerSide lets the node merge one object.
func (o *serverSideOptions) apply(ctx context.Context, c *client, opts *applyOptions, r resource, obj *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	if obj.GetName() == "" {
		return nil, "", errors.New("apply needs metadata.name; generateName works with 'holon create' only")
	}
	body, err := obj.MarshalJSON()
	if err != nil {
		return nil, "", err
	}
	query := opts.query()
	query.Set("fieldManager", o.manager)
	if o.force {
		query.Set("force", "true")
	}
	result, err := c.write(ctx, request{
		method: http.MethodPatch, path: r.path(obj.GetNamespace(), obj.GetName()), query: query,
		contentType: string(types.ApplyYAMLPatchType), body: body,
	})
	if _, owned := apierrors.StatusCause(err, metav1.CauseTypeFieldManagerConflict); owned {
		err = conflictOfOwners{err}
	}
	return result, "serverside-applied", err
}

// conflictOfOwners adds the ways out to the node's answer.
type conflictOfOwners struct{ error }

func (e conflictOfOwners) Error() string {
	return e.error.Error() + "; leave these fields out of the file, give them the value they have, " +
		"or take them over with --force-conflicts"
}

func (e conflictOfOwners) Unwrap() error { return e.error }
