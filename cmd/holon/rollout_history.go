package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holon/crdt/state"
)

// revision is a template that a workload has or had, and the patch that goes back to it.
type revision struct {
	Number int64  `json:"revision"`
	Name   string `json:"name"` // of the ReplicaSet or ControllerRevision
	Cause  string `json:"changeCause,omitempty"`

	kind  types.PatchType
	patch any
}

// revisions lists the templates of a workload, the newest last.
func (c *client) revisions(ctx context.Context, p picked) ([]revision, error) {
	var found []revision
	if p.Kind == "Deployment" {
		var list appsv1.ReplicaSetList
		if err := c.get(ctx, mustBuiltin("replicasets").path(p.object.GetNamespace(), ""), nil, &list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			set := &list.Items[i]
			if !metav1.IsControlledBy(set, p.object) {
				continue
			}
			number, _ := strconv.ParseInt(set.Annotations[state.RevisionAnnotation], 10, 64)
			template := set.Spec.Template.DeepCopy()
			delete(template.Labels, state.TemplateHashLabel)
			found = append(found, revision{
				Number: number, Name: set.Name, Cause: set.Annotations[state.CauseAnnotation], kind: types.JSONPatchType,
				patch: []any{map[string]any{"op": "replace", "path": "/spec/template", "value": template}},
			})
		}
	} else {
		var list appsv1.ControllerRevisionList
		if err := c.get(ctx, mustBuiltin("controllerrevisions").path(p.object.GetNamespace(), ""), nil, &list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			r := &list.Items[i]
			if metav1.IsControlledBy(r, p.object) {
				found = append(found, revision{
					Number: r.Revision, Name: r.Name, Cause: r.Annotations[state.CauseAnnotation],
					kind: types.StrategicMergePatchType, patch: json.RawMessage(r.Data.Raw),
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b revision) int { return cmp.Compare(a.Number, b.Number) })
	return found, nil
}

func rolloutHistoryCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:               "history KIND/NAME",
		Example:           `  holon rollout history deploy/web`,
		Short:             "List the templates that a workload can go back to",
		Args:              wantOneTarget,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, found, err := a.rolledOut(cmd.Context(), args)
			if err != nil {
				return err
			}
			list, err := c.revisions(cmd.Context(), found[0])
			if err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, list)
			}
			var rows [][]string
			for _, r := range list {
				rows = append(rows, []string{fmt.Sprint(r.Number), r.Name, orElse(r.Cause, "<none>")})
			}
			printTable(a.out, []string{"REVISION", "NAME", "CHANGE-CAUSE"}, rows)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func rolloutUndoCommand(a *app) *cobra.Command {
	var (
		output string
		to     int64
	)
	c := &cobra.Command{
		Use:               "undo KIND/NAME",
		Example:           "  holon rollout undo deploy/web\n  holon rollout undo deploy/web --to-revision 3",
		Short:             "Go back to a former template",
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachRolledOut(cmd.Context(), args, func(c *client, p picked) error {
				return a.undo(cmd.Context(), c, p, to, output)
			})
		},
	}
	c.Flags().Int64Var(&to, "to-revision", 0, "the number that `holon rollout history` shows; 0: the one before the present one")
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}

func (a *app) undo(ctx context.Context, c *client, p picked, to int64, output string) error {
	name := p.name(p.object.GetName())
	if paused, _, _ := unstructured.NestedBool(p.object.Object, "spec", "paused"); paused {
		return fmt.Errorf("the rollout of %s is paused: 'holon rollout resume %s' first", name, name)
	}
	list, err := c.revisions(ctx, p)
	if err != nil {
		return err
	}
	at := len(list) - 2
	if to != 0 {
		at = slices.IndexFunc(list, func(r revision) bool { return r.Number == to })
	}
	switch {
	case at < 0 && to != 0:
		return fmt.Errorf("%s has no revision %d; 'holon rollout history %s' lists them", name, to, name)
	case at < 0:
		return fmt.Errorf("%s has no former template to go back to", name)
	}
	return a.patchOne(ctx, c, p, list[at].kind, list[at].patch, output, fmt.Sprintf("rolled back to revision %d", list[at].Number))
}

// rolloutPausing is the command that pauses rollouts, or lets them go on.
func rolloutPausing(a *app, pause bool) *cobra.Command {
	use, short, did := "resume", "Let a paused rollout go on", "resumed"
	if pause {
		use, short, did = "pause", "Collect changes of a Deployment without rolling them out", "paused"
	}
	var output string
	c := &cobra.Command{
		Use: use + " KIND/NAME", Short: short, Example: "  holon rollout " + use + " deploy/web",
		Args: wantTargets, ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := map[string]any{"spec": map[string]any{"paused": pause}}
			return a.eachRolledOut(cmd.Context(), args, func(c *client, p picked) error {
				if p.Kind != "Deployment" {
					return usagef("only the rollout of a Deployment can be %s", did)
				}
				return a.patchOne(cmd.Context(), c, p, types.MergePatchType, patch, output, did)
			})
		},
	}
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}
