package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/types"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

func newScaleCommand(a *app) *cobra.Command {
	var (
		replicas, current int
		output            string
	)
	c := &cobra.Command{
		Use:               "scale KIND/NAME --replicas N",
		Short:             "Change how many replicas run",
		Example:           "  holon scale deploy/web --replicas 5",
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("replicas") || replicas < 0 {
				return usagef("say how many: --replicas N, 0 or more")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			var s selection
			found, missing, err := s.pick(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			for _, p := range found {
				if err := a.scaleOne(cmd.Context(), c, p, replicas, current, output); err != nil {
					return err
				}
			}
			return a.complainAbsent(getOptions{}, missing)
		},
	}
	c.Flags().IntVar(&replicas, "replicas", 0, "how many replicas to run")
	c.Flags().IntVar(&current, "current-replicas", -1, "only if this many are wanted now")
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}

func (a *app) scaleOne(ctx context.Context, c *client, p picked, replicas, current int, output string) error {
	name := p.name(p.object.GetName())
	o := objectView{p.object}
	if o.numberOr(-1, "spec", "replicas") < 0 && p.Kind != "Deployment" && p.Kind != "StatefulSet" {
		return fmt.Errorf("%s has no replicas to scale", name)
	}
	patch := map[string]any{"spec": map[string]any{"replicas": replicas}}
	if current >= 0 {
		if have := o.numberOr(1, "spec", "replicas"); have != int64(current) {
			return fmt.Errorf("%s wants %d replicas now, not %d; nothing was changed", name, have, current)
		}
		patch["metadata"] = map[string]any{"resourceVersion": p.object.GetResourceVersion()}
	}
	return a.patchOne(ctx, c, p, types.MergePatchType, patch, output, "scaled")
}

// patchOne sends a patch and reports it.
func (a *app) patchOne(ctx context.Context, c *client, p picked, kind types.PatchType, patch any, output, verb string) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	changed, err := c.write(ctx, request{method: http.MethodPatch, path: p.path(), contentType: string(kind), body: body})
	if err != nil {
		return err
	}
	return a.report(output, p.resource, changed, verb)
}

func newLabelCommand(a *app) *cobra.Command {
	return newMetadataCommand(a, metadataKind{
		use: "label", field: "labels", did: "labeled", undid: "unlabeled",
		short:   "Set or remove labels",
		example: "  holon label node n3 disk=ssd\n  holon label pods -l app=web tier=front --overwrite\n  holon label deploy/web tier-",
		check: func(set map[string]string) error {
			for k, v := range set {
				problems := append(utilvalidation.IsQualifiedName(k), utilvalidation.IsValidLabelValue(v)...)
				if len(problems) > 0 {
					return usagef("bad label %s=%s: %s", k, v, strings.Join(problems, "; "))
				}
			}
			return nil
		},
	})
}

func newAnnotateCommand(a *app) *cobra.Command {
	return newMetadataCommand(a, metadataKind{
		use: "annotate", field: "annotations", did: "annotated", undid: "annotated",
		short:   "Set or remove annotations",
		example: "  holon annotate deploy/web holon.dev/note='see the wiki'\n  holon annotate deploy/web holon.dev/note-",
		check: func(set map[string]string) error {
			if problems := validation.ValidateAnnotations(set, field.NewPath("annotation")); len(problems) > 0 {
				return usagef("%v", problems.ToAggregate())
			}
			return nil
		},
	})
}

// metadataKind tells label and annotate apart.
type metadataKind struct {
	use, field, did, undid, short, example string
	check                                  func(map[string]string) error
}

func newMetadataCommand(a *app, k metadataKind) *cobra.Command {
	var (
		s         selection
		overwrite bool
		output    string
	)
	c := &cobra.Command{
		Use:               k.use + " KIND NAME KEY=VALUE... KEY-...",
		Short:             k.short,
		Example:           k.example,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, set, remove, err := splitChanges(args)
			if err != nil {
				return err
			}
			if err := errors.Join(wantTargets(cmd, names), k.check(set)); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			found, missing, err := s.pick(cmd.Context(), c, names)
			if err != nil {
				return err
			}
			var failed error
			for _, p := range found {
				if err := a.changeMetadata(cmd.Context(), c, k, p, set, remove, overwrite, output); err != nil {
					a.complain(p.name(p.object.GetName()) + ": " + sentence(err))
					failed = errPrinted
				}
			}
			return errors.Join(failed, a.complainAbsent(getOptions{}, missing))
		},
	}
	s.addFlags(c)
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace values that are there already")
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}

// splitChanges separates the objects of the arguments from k=v and k-.
func splitChanges(args []string) (names []string, set map[string]string, remove []string, err error) {
	set = map[string]string{}
	for _, arg := range args {
		key, value, isSet := strings.Cut(arg, "=")
		bare, isRemove := strings.CutSuffix(arg, "-")
		switch {
		case isSet && key == "":
			return nil, nil, nil, usagef("%q has no key", arg)
		case isSet:
			set[key] = value
		case isRemove && bare != "":
			remove = append(remove, bare)
		case len(set)+len(remove) > 0:
			return nil, nil, nil, usagef("%q is neither KEY=VALUE nor KEY-", arg)
		default:
			names = append(names, arg)
		}
	}
	for _, key := range remove {
		if _, both := set[key]; both {
			return nil, nil, nil, usagef("%q is both set and removed", key)
		}
	}
	if len(set)+len(remove) == 0 {
		return nil, nil, nil, usagef("say what to change: KEY=VALUE, or KEY- to remove it")
	}
	return names, set, remove, nil
}

func (a *app) changeMetadata(ctx context.Context, c *client, k metadataKind, p picked, set map[string]string, remove []string, overwrite bool, output string) error {
	have := p.object.GetLabels()
	if k.field == "annotations" {
		have = p.object.GetAnnotations()
	}
	change := map[string]any{}
	for key, value := range set {
		old, there := have[key]
		if there && old != value && !overwrite {
			return fmt.Errorf("'%s' already has a value (%s), and --overwrite is false", key, old)
		}
		if !there || old != value {
			change[key] = value
		}
	}
	verb := k.did
	if len(set) == 0 {
		verb = k.undid
	}
	for _, key := range remove {
		if _, there := have[key]; !there {
			a.warn(fmt.Sprintf("%s %q not found", strings.TrimSuffix(k.field, "s"), key))
			continue
		}
		change[key] = nil
	}
	if len(change) == 0 {
		return a.report(output, p.resource, p.object, "not "+verb)
	}
	patch := map[string]any{"metadata": map[string]any{k.field: change}}
	return a.patchOne(ctx, c, p, types.MergePatchType, patch, output, verb)
}

var patchTypes = map[string]types.PatchType{
	"strategic": types.StrategicMergePatchType,
	"merge":     types.MergePatchType,
	"json":      types.JSONPatchType,
}

func newPatchCommand(a *app) *cobra.Command {
	var kind, patch, file, output string
	c := &cobra.Command{
		Use:   "patch KIND NAME -p PATCH",
		Short: "Change fields of an object",
		Example: `  holon patch deploy web -p '{"spec":{"replicas":3}}'
  holon patch deploy web --type json -p '[{"op":"remove","path":"/spec/paused"}]'`,
		Args:              wantOneTarget,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := patchBody(patch, file)
			if err != nil {
				return err
			}
			if patchTypes[kind] == "" {
				return usagef("--type %q is not strategic, merge or json", kind)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			r, name, err := c.oneTarget(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.patch(cmd.Context(), c, r, name, kind, body, output)
		},
	}
	f := c.Flags()
	f.StringVar(&kind, "type", "strategic", "strategic, merge or json")
	f.StringVarP(&patch, "patch", "p", "", "the patch, JSON or YAML")
	f.StringVar(&file, "patch-file", "", "a file with the patch")
	addOutputFlag(c, &output, "name", "json", "yaml")
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"strategic", "merge", "json"}, noFiles))
	return c
}

func patchBody(patch, file string) ([]byte, error) {
	text := []byte(patch)
	switch {
	case patch == "" && file == "":
		return nil, usagef("say what to change: -p PATCH or --patch-file FILE")
	case patch != "" && file != "":
		return nil, usagef("-p and --patch-file exclude each other")
	case file != "":
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	body, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, usagef("the patch is neither JSON nor YAML: %v", err)
	}
	return body, nil
}

func (a *app) patch(ctx context.Context, c *client, r resource, name, kind string, body []byte, output string) error {
	path := r.path(c.namespaceOf(r), name)
	if kind == "strategic" && r.Type == nil {
		return usagef("%s cannot be patched strategically; use --type merge", r.Plural)
	}
	before, err := c.write(ctx, request{path: path})
	if err != nil {
		return err
	}
	after, err := c.write(ctx, request{method: http.MethodPatch, path: path, contentType: string(patchTypes[kind]), body: body})
	if err != nil {
		return err
	}
	verb := "patched"
	if before.GetResourceVersion() == after.GetResourceVersion() {
		verb = "patched (no change)"
	}
	return a.report(output, r, after, verb)
}
