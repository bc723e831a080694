package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holon/node/api"
)

const (
	conflictsPath = ownGroup + "/conflicts"
	compactPath   = ownGroup + "/compact"
)

func newConflictsCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "conflicts",
		Short: "Show and settle what two sides of a partition wrote differently",
		Long: `List the fields, and the objects, that were written on two sides of a partition
with different values. One value won, the same on every node; the others are kept
until somebody writes the field. Every node answers from what it has itself.`,
		Example: `  holon conflicts
  holon conflicts show deploy/web
  holon conflicts take deploy/web spec.replicas     # the other value
  holon conflicts drop deploy/web                   # what won is right`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, _, err := a.conflicts(cmd.Context(), nil)
			if err != nil {
				return err
			}
			switch {
			case output != "":
				return printStructured(a.out, output, conflictList{found})
			case len(found) == 0:
				say(a.err, "No conflicts.\n")
			default:
				printConflicts(a.out, found)
			}
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	c.AddCommand(newConflictsShowCommand(a), newConflictsTakeCommand(a), newConflictsDropCommand(a))
	return c
}

// conflictList is what -o json and -o yaml print.
type conflictList struct {
	Items []api.ConflictSpec `json:"items"`
}

// conflicts asks for all conflicts, or for those of one object, which may have none.
func (a *app) conflicts(ctx context.Context, args []string) ([]api.ConflictSpec, *client, error) {
	c, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	var list api.ConflictList
	if err := c.get(ctx, conflictsPath, nil, &list); err != nil {
		return nil, nil, err
	}
	all := make([]api.ConflictSpec, len(list.Items))
	for i := range list.Items {
		all[i] = list.Items[i].Spec
	}
	if args == nil {
		return all, c, nil
	}
	r, name, err := c.oneTarget(ctx, args[:1])
	if err != nil {
		return nil, nil, err
	}
	namespace := c.namespaceOf(r)
	return slices.DeleteFunc(all, func(x api.ConflictSpec) bool {
		return x.Resource != r.groupResource() || x.Namespace != namespace || x.Name != name
	}), c, nil
}

func printConflicts(w io.Writer, found []api.ConflictSpec) {
	var rows [][]string
	for _, c := range found {
		for _, l := range c.Losers {
			rows = append(rows, []string{
				orElse(c.Namespace, "-"), strings.ToLower(c.Kind) + "/" + c.Name, c.Field, c.Winner.Words(), l.Words(), c.Winner.Node + ", " + l.Node,
			})
		}
	}
	printTable(w, []string{"NAMESPACE", "OBJECT", "FIELD", "WINNER", "LOSER", "WRITTEN AT"}, rows)
}

func newConflictsShowCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "show KIND/NAME",
		Short:   "Show the conflicts of one object with their whole values",
		Example: `  holon conflicts show deploy/web`,
		Args:    wantObject(1), ValidArgsFunction: a.completeConflicts,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, _, err := a.conflicts(cmd.Context(), args)
			if err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, conflictList{found})
			}
			if len(found) == 0 {
				say(a.err, "%s has no conflicts.\n", args[0])
			}
			for _, c := range found {
				say(a.out, "%s\n  won    at %s: %s\n", c.Field, c.Winner.Node, orElse(string(c.Winner.Value), "(removed)"))
				for i, l := range c.Losers {
					say(a.out, "  lost %d at %s: %s\n", i+1, l.Node, orElse(string(l.Value), "(removed)"))
				}
			}
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func newConflictsTakeCommand(a *app) *cobra.Command {
	number := 1
	c := &cobra.Command{
		Use:   "take KIND/NAME FIELD",
		Short: "Write the value that lost",
		Example: `  holon conflicts take deploy/web spec.replicas
  holon conflicts take deploy/web spec.replicas --value 2   # the second that lost`,
		Args: wantObject(2), ValidArgsFunction: a.completeConflicts,
		RunE: func(cmd *cobra.Command, args []string) error {
			if number < 1 {
				return usagef("--value counts the lost values from 1, as 'show' does")
			}
			loser := number - 1
			return a.settle(cmd.Context(), args, &loser, "taken")
		},
	}
	c.Flags().IntVar(&number, "value", 1, "which of the lost values, as 'show' counts them")
	return c
}

func newConflictsDropCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "drop KIND/NAME [FIELD]",
		Short: "Keep the value that won, of one field or of all",
		Example: `  holon conflicts drop deploy/web spec.replicas
  holon conflicts drop deploy/web               # all of them`,
		Args: wantObject(1, 2), ValidArgsFunction: a.completeConflicts,
		RunE: func(cmd *cobra.Command, args []string) error { return a.settle(cmd.Context(), args, nil, "dropped") },
	}
}

// settle answers one conflict of an object, or all if no field is named.
func (a *app) settle(ctx context.Context, args []string, loser *int, verb string) error {
	found, c, err := a.conflicts(ctx, args)
	if err != nil {
		return err
	}
	if len(args) == 2 {
		found = slices.DeleteFunc(found, func(x api.ConflictSpec) bool { return !namesField(x.Field, args[1]) })
		if len(found) > 1 {
			return usagef("%q may mean %s or %s", args[1], found[0].Field, found[1].Field)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("%s has no conflict%s on this node; 'holon conflicts' lists what there is", args[0], strings.Join(append([]string{""}, args[1:]...), " at "))
	}
	for _, x := range found {
		body, err := json.Marshal(api.Settlement{Field: x.Field, Loser: loser})
		if err != nil {
			return err
		}
		path := strings.Join([]string{conflictsPath, x.Resource, orElse(x.Namespace, "-"), x.Name}, "/")
		if _, err := c.do(ctx, request{method: http.MethodPost, path: path, body: body}); err != nil {
			return err
		}
		say(a.out, "%s of %s %s\n", x.Field, args[0], verb)
	}
	return nil
}

// namesField lets "object" stand for "object 0a1b2c3d".
func namesField(field, word string) bool {
	return field == word || strings.HasPrefix(field, "object ") && strings.HasPrefix(field, word)
}

// wantObject checks that an object is named, among so many arguments.
func wantObject(counts ...int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(counts, len(args)) {
			return usagef("usage: %s", cmd.UseLine())
		}
		if !strings.Contains(args[0], "/") {
			return usagef("%q is not KIND/NAME, such as deploy/web", args[0])
		}
		return wantOneTarget(cmd, args[:1])
	}
}

// completeConflicts completes objects that have conflicts, then their fields.
func (a *app) completeConflicts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	var words []string
	if len(args) > 0 {
		found, _, err := a.conflicts(ctx, args)
		if err != nil || cmd.Name() == "show" || len(args) > 1 {
			return nil, noFiles
		}
		for _, c := range found {
			words = append(words, c.Field)
		}
		return words, noFiles
	}
	found, _, err := a.conflicts(ctx, nil)
	if err != nil {
		return nil, noFiles
	}
	for _, c := range found {
		words = append(words, strings.ToLower(c.Kind)+"/"+c.Name)
	}
	return slices.Compact(words), noFiles
}

func newCompactCommand(a *app) *cobra.Command {
	recreate := false
	c := &cobra.Command{
		Use:   "compact KIND/NAME",
		Short: "Free what removed fields hold of an object that takes no more",
		Long: `An object has room for 4,096 fields, and one that was removed counts until its
object is gone: other nodes may not have heard of it yet. An object whose names
change all the time comes to that bound one day and refuses new fields.

With --recreate a new object takes its place under the same name: same fields,
same pods (they run on), another UID. Do it while all nodes see each other: what
somebody writes to the object on the other side of a partition at the same time is
lost, and an Event says so.`,
		Example: "  holon compact configmap/sessions --recreate",
		Args:    wantObject(1), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			r, name, err := client.oneTarget(cmd.Context(), args)
			if err != nil {
				return err
			}
			body, err := json.Marshal(api.Compaction{Recreate: recreate})
			if err != nil {
				return err
			}
			path := strings.Join([]string{compactPath, r.groupResource(), orElse(client.namespaceOf(r), "-"), name}, "/")
			data, err := client.do(cmd.Context(), request{method: http.MethodPost, path: path, body: body})
			if err != nil {
				return err
			}
			var done api.Compacted
			if err := client.decode(data, &done); err != nil {
				return err
			}
			say(a.out, "%s compacted, its UID is %s now\n", r.name(name), done.UID)
			return nil
		},
	}
	c.Flags().BoolVar(&recreate, "recreate", false, "let a new object with another UID take its place")
	return c
}
