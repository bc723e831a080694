package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func newCreateCommand(a *app) *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "create -f FILE",
		Short: "Create objects that must not exist yet",
		Example: `  holon create -f web.yaml
  holon create namespace staging`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.eachManifest(cmd.Context(), &o, createOne)
		},
	}
	o.addFlags(c)
	c.AddCommand(createNamespaceCommand(a))
	return c
}

func createOne(ctx context.Context, c *client, o *applyOptions, r resource, obj *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	if o.dryRun == "client" {
		return obj, "created", nil
	}
	body, err := obj.MarshalJSON()
	if err != nil {
		return nil, "", err
	}
	q := o.query()
	q.Set("fieldManager", "kubectl-create")
	created, err := c.write(ctx, request{method: http.MethodPost, path: r.path(obj.GetNamespace(), ""), query: q, body: body})
	return created, "created", err
}

func createNamespaceCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "namespace NAME",
		Example: `  holon create namespace shop`,
		Aliases: []string{"ns"},
		Short:   "Create a namespace",
		Args:    wantArgs(1, 1, "the name of the new namespace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			obj := &unstructured.Unstructured{}
			obj.SetAPIVersion("v1")
			obj.SetKind("Namespace")
			obj.SetName(args[0])
			r := mustBuiltin("namespaces")
			created, verb, err := createOne(cmd.Context(), c, &applyOptions{validate: "strict"}, r, obj)
			if err != nil {
				return err
			}
			return a.report(output, r, created, verb)
		},
	}
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}
