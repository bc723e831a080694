package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

// completionTime bounds how long a Tab may take.
const completionTime = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeTargets completes KIND, then names, or KIND/NAME.
func (a *app) completeTargets(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if kind, prefix, ok := strings.Cut(word, "/"); ok {
		var found []string
		for _, name := range a.namesOf(cmd.Context(), kind) {
			if strings.HasPrefix(name, prefix) {
				found = append(found, kind+"/"+name)
			}
		}
		return found, noFiles
	}
	if len(args) > 0 {
		return a.namesOf(cmd.Context(), args[0]), noFiles
	}
	kinds := []string{"all"}
	for _, r := range builtin {
		kinds = append(kinds, r.Plural)
	}
	slices.Sort(kinds)
	return kinds, noFiles
}

// completePods completes the pod of logs and exec.
func (a *app) completePods(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return a.namesOf(cmd.Context(), "pods"), noFiles
}

// completeNodes completes the nodes that are not named yet.
func (a *app) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	named := func(node string) bool { return slices.Contains(args, node) }
	return slices.DeleteFunc(a.namesOf(cmd.Context(), "nodes"), named), noFiles
}

func (a *app) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.namesOf(cmd.Context(), "namespaces"), noFiles
}

func (a *app) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, noFiles
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	return names, noFiles
}

// namesOf lists the names of a kind; a completion has no use for an error.
func (a *app) namesOf(ctx context.Context, kind string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil
	}
	r, err := c.resourceByWord(ctx, kind)
	if err != nil {
		return nil
	}
	data, err := c.do(ctx, request{path: r.path(c.namespaceOf(r), "")})
	if err != nil {
		return nil
	}
	objects, err := c.decodeObjects(data)
	if err != nil {
		return nil
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	return names
}
