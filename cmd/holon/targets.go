package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

// target is one kind and the names that the user gave; no names mean all.
type target struct {
	resource
	names []string
}

// typed is what the user typed, before the kinds are looked up.
type typed struct {
	kind  string
	names []string
}

// parseTargets understands kubectl's three spellings: "pods,deploy",
// "pod web db" and "deploy/web pod/db".
func parseTargets(args []string) ([]typed, error) {
	if len(args) == 0 {
		return nil, usagef("say which kind of object, such as pods, deploy/web or all")
	}
	if !strings.Contains(args[0], "/") {
		for _, name := range args[1:] {
			if strings.Contains(name, "/") {
				return nil, usagef("%q names its kind already: leave out %q", name, args[0])
			}
		}
		return kindList(args[0], args[1:])
	}
	var all []typed
	for _, arg := range args {
		kind, name, ok := strings.Cut(arg, "/")
		if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
			return nil, usagef("%q is not KIND/NAME, such as deploy/web", arg)
		}
		if n := len(all); n > 0 && all[n-1].kind == kind {
			all[n-1].names = append(all[n-1].names, name)
			continue
		}
		all = append(all, typed{kind, []string{name}})
	}
	return all, nil
}

func kindList(list string, names []string) ([]typed, error) {
	kinds := strings.Split(list, ",")
	if list == "all" {
		kinds = allKinds
	}
	if len(kinds) > 1 && len(names) > 0 {
		return nil, usagef("names need a single kind: write KIND/NAME for each, such as deploy/%s", names[0])
	}
	var all []typed
	for _, k := range kinds {
		if k == "" {
			return nil, usagef("%q has an empty kind", list)
		}
		all = append(all, typed{k, names})
	}
	return all, nil
}

// targets parses args and looks the kinds up.
func (c *client) targets(ctx context.Context, args []string) ([]target, error) {
	words, err := parseTargets(args)
	if err != nil {
		return nil, err
	}
	var all []target
	for _, w := range words {
		r, err := c.resourceByWord(ctx, w.kind)
		if err != nil {
			return nil, err
		}
		all = append(all, target{r, w.names})
	}
	return all, nil
}

// Argument checks for commands that take objects, before any node is asked.

func wantTargets(_ *cobra.Command, args []string) error {
	_, err := parseTargets(args)
	return err
}

func wantOneTarget(_ *cobra.Command, args []string) error {
	words, err := parseTargets(args)
	if err == nil && (len(words) != 1 || len(words[0].names) != 1) {
		err = usagef("say which object, as KIND/NAME or KIND NAME")
	}
	return err
}

// oneTarget is for commands that take exactly one object.
func (c *client) oneTarget(ctx context.Context, args []string) (resource, string, error) {
	all, err := c.targets(ctx, args)
	if err != nil {
		return resource{}, "", err
	}
	if len(all) != 1 || len(all[0].names) != 1 {
		return resource{}, "", usagef("say which object, as KIND/NAME or KIND NAME")
	}
	return all[0].resource, all[0].names[0], nil
}

// namespaceOf is the namespace to use for a kind: none for cluster-wide ones.
func (c *client) namespaceOf(r resource) string {
	if r.Namespaced {
		return c.namespace
	}
	return ""
}
