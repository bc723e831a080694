package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/jsonpath"
)

func newWaitCommand(a *app) *cobra.Command {
	var (
		s         selection
		condition string
		timeout   time.Duration
	)
	c := &cobra.Command{
		Use:   "wait KIND NAME --for CONDITION",
		Short: "Wait until objects are as wanted",
		Example: `  holon wait deploy/web --for condition=Available --timeout 60s
  holon wait pods -l app=web --for condition=Ready
  holon wait pod/web-0 --for delete
  holon wait deploy/web --for jsonpath='{.status.readyReplicas}'=3`,
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			met, err := parseCondition(condition)
			if err != nil {
				return err
			}
			ctx, cancel := withOptionalTimeout(cmd.Context(), timeout)
			defer cancel()
			return timedOut(ctx, a.wait(ctx, s, args, met, condition == "delete"))
		},
	}
	s.addFlags(c)
	c.Flags().StringVar(&condition, "for", "", "condition=NAME[=VALUE], jsonpath='{PATH}'=VALUE, create or delete")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait; 0: for ever")
	return c
}

// predicate says whether an object is as wanted; nil is an object that is not there.
type predicate func(event string, o *objectView) (bool, error)

func parseCondition(text string) (predicate, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch kind {
	case "delete":
		return func(event string, o *objectView) (bool, error) { return o == nil || event == "DELETED", nil }, nil
	case "create":
		return func(event string, o *objectView) (bool, error) { return o != nil && event != "DELETED", nil }, nil
	case "condition":
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			value = "True"
		}
		if name == "" {
			break
		}
		return func(_ string, o *objectView) (bool, error) {
			if o == nil {
				return false, nil
			}
			status, _ := o.condition(name)
			return strings.EqualFold(status, value), nil
		}, nil
	case "jsonpath":
		end := strings.LastIndex(rest, "}")
		if end < 0 {
			break
		}
		return jsonpathCondition(rest[:end+1], strings.TrimPrefix(rest[end+1:], "="))
	}
	return nil, usagef("--for %q is not condition=NAME, jsonpath='{PATH}'=VALUE, create or delete", text)
}

func jsonpathCondition(path, value string) (predicate, error) {
	p := jsonpath.New("for").AllowMissingKeys(true)
	if err := p.Parse(path); err != nil {
		return nil, usagef("bad JSONPath %q: %v", path, err)
	}
	return func(_ string, o *objectView) (bool, error) {
		if o == nil {
			return false, nil
		}
		var out bytes.Buffer
		if err := p.Execute(&out, o.Object); err != nil {
			return false, err
		}
		return value == "" && out.Len() > 0 || value != "" && out.String() == value, nil
	}, nil
}

func (a *app) wait(ctx context.Context, s selection, args []string, met predicate, forDelete bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	progress := a.startProgress("waiting for %s", strings.Join(args, " "))
	defer progress.stop()
	objects, err := s.waitList(ctx, c, args)
	if err != nil {
		return err
	}
	if len(objects) == 0 && !forDelete {
		return fmt.Errorf("no matching resources found; name what exists, or wait with --for create")
	}
	for _, p := range objects {
		if err := c.waitObject(ctx, p.resource, p.namespace, p.objectName, met); err != nil {
			return err
		}
		say(a.out, "%s condition met\n", p.name(p.objectName))
	}
	return nil
}

// awaited is an object that may not exist.
type awaited struct {
	resource
	namespace, objectName string
}

// waitList finds what to wait for: names are taken as they are, because they
// may come or go; selectors are looked up once.
func (s *selection) waitList(ctx context.Context, c *client, args []string) ([]awaited, error) {
	targets, err := c.targets(ctx, args)
	if err != nil {
		return nil, err
	}
	var all []awaited
	for _, t := range targets {
		for _, name := range t.names {
			all = append(all, awaited{t.resource, c.namespaceOf(t.resource), name})
		}
	}
	if len(all) > 0 {
		return all, s.check(targets[0])
	}
	found, _, err := s.pick(ctx, c, args)
	for _, p := range found {
		all = append(all, awaited{p.resource, p.object.GetNamespace(), p.object.GetName()})
	}
	return all, err
}
