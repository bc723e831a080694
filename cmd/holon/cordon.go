package main

import (
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holon/crdt/state"
)

// nodeChange is a wish that is written into a Node object.
type nodeChange struct {
	use, short, long, example string
	did                       string
	patch                     map[string]any
	done                      func(*unstructured.Unstructured) bool // is it so already?
}

func newCordonCommand(a *app) *cobra.Command {
	return newNodeChangeCommand(a, nodeChange{
		use: "cordon", short: "Let nothing new start on a node", did: "cordoned",
		long:    `Mark a node unschedulable: what runs there goes on, and nothing new is placed there.`,
		example: "  holon cordon n2",
		patch:   map[string]any{"spec": map[string]any{"unschedulable": true}},
		done:    cordoned,
	})
}

func newUncordonCommand(a *app) *cobra.Command {
	return newNodeChangeCommand(a, nodeChange{
		use: "uncordon", short: "Let a node take pods again", did: "uncordoned",
		long:    `Undo 'holon cordon' and 'holon drain'. Nothing moves back by itself.`,
		example: "  holon uncordon n2",
		patch: map[string]any{
			"spec":     map[string]any{"unschedulable": nil},
			"metadata": map[string]any{"annotations": map[string]any{state.DrainAnnotation: nil}},
		},
		done: func(o *unstructured.Unstructured) bool {
			return !cordoned(o) && o.GetAnnotations()[state.DrainAnnotation] == ""
		},
	})
}

func cordoned(o *unstructured.Unstructured) bool {
	on, _, _ := unstructured.NestedBool(o.Object, "spec", "unschedulable")
	return on
}

func newNodeChangeCommand(a *app, k nodeChange) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: k.use + " NODE...", Short: k.short, Long: k.long, Example: k.example,
		Args: wantArgs(1, -1, "the names of nodes"), ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var s selection
			found, missing, err := s.pick(cmd.Context(), c, nodeTargets(args))
			if err != nil {
				return err
			}
			for _, p := range found {
				if k.done(p.object) {
					err = a.report(output, p.resource, p.object, "already "+k.did)
				} else {
					err = a.patchOne(cmd.Context(), c, p, types.MergePatchType, k.patch, output, k.did)
				}
				if err != nil {
					return err
				}
			}
			return a.complainAbsent(getOptions{}, missing)
		},
	}
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}

// nodeTargets are names of nodes as targets; "node/n1" is fine as well.
func nodeTargets(args []string) []string {
	targets := []string{"nodes"}
	for _, arg := range args {
		targets = append(targets, strings.TrimPrefix(strings.TrimPrefix(arg, "node/"), "nodes/"))
	}
	return targets
}
