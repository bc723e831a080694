package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type deleteOptions struct {
	selection
	files          []string
	recursive      bool
	wait           bool
	timeout        time.Duration
	grace          int64
	now            bool
	force          bool
	ignoreNotFound bool
	output         string
}

func newDeleteCommand(a *app) *cobra.Command {
	o := deleteOptions{grace: -1}
	c := &cobra.Command{
		Use:   "delete KIND NAME... | KIND/NAME... | -f FILE",
		Short: "Delete objects",
		Example: `  holon delete deploy web
  holon delete -f web.yaml
  holon delete pods -l app=web
  holon delete cm --all -n staging`,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.delete(cmd.Context(), o, args)
		},
	}
	o.addFlags(c)
	f := c.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "delete what these files name; - for stdin")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "also the subdirectories of a directory")
	f.BoolVar(&o.wait, "wait", true, "return only when the objects are gone")
	f.DurationVar(&o.timeout, "timeout", 0, "how long to wait; 0: for ever")
	f.Int64Var(&o.grace, "grace-period", -1, "seconds between SIGTERM and SIGKILL; -1: the pod's own")
	f.BoolVar(&o.now, "now", false, "the same as --grace-period=1")
	f.BoolVar(&o.force, "force", false, "the same as --grace-period=0")
	f.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "an object that is not there is not an error")
	addOutputFlag(c, &o.output, "name")
	return c
}

func (a *app) delete(ctx context.Context, o deleteOptions, args []string) error {
	if len(o.files) > 0 && (len(args) > 0 || o.selector != "" || o.all) {
		return usagef("-f excludes names, -l and --all")
	}
	if len(o.files) == 0 {
		if err := wantTargets(nil, args); err != nil {
			return err
		}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	found, missing, err := a.toDelete(ctx, c, o, args)
	if err != nil {
		return err
	}
	var deleted []picked
	for _, p := range found {
		err := c.delete(ctx, o, p)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, err)
			continue
		case err != nil:
			return err
		}
		deleted = append(deleted, p)
		if err := a.saidDeleted(o, p); err != nil {
			return err
		}
	}
	if len(found) == 0 && len(missing) == 0 {
		say(a.err, "No resources found\n")
	}
	if o.wait {
		if err := a.waitGone(ctx, c, o, deleted); err != nil {
			return err
		}
	}
	return a.complainAbsent(getOptions{ignoreNotFound: o.ignoreNotFound || o.all || o.selector != ""}, missing)
}

func (a *app) saidDeleted(o deleteOptions, p picked) error {
	if o.output == "name" {
		_, err := fmt.Fprintln(a.out, p.name(p.object.GetName()))
		return err
	}
	verb := "deleted"
	if o.grace == 0 || o.force {
		verb = "force deleted"
	}
	_, err := fmt.Fprintf(a.out, "%s %q %s\n", withGroup(p.Singular, p.Group), p.object.GetName(), verb)
	return err
}

// toDelete finds the objects: by file or by arguments.
func (a *app) toDelete(ctx context.Context, c *client, o deleteOptions, args []string) ([]picked, []error, error) {
	if len(o.files) == 0 {
		return o.pick(ctx, c, args)
	}
	docs, err := a.readManifests(ctx, o.files, o.recursive)
	if err != nil {
		return nil, nil, err
	}
	resources, err := c.resolve(ctx, docs)
	if err != nil {
		return nil, nil, err
	}
	var found []picked
	for i, d := range docs {
		found = append(found, picked{resources[i], d.object})
	}
	return found, nil, nil
}

func (c *client) delete(ctx context.Context, o deleteOptions, p picked) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	options.APIVersion, options.Kind = "v1", "DeleteOptions"
	grace := o.grace
	switch {
	case o.force:
		grace = 0
	case o.now:
		grace = 1
	}
	if grace >= 0 {
		options.GracePeriodSeconds = &grace
	}
	if uid := p.object.GetUID(); uid != "" {
		// Not another object of the same name that came up meanwhile.
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{method: http.MethodDelete, path: p.path(), body: body})
	return err
}

func (a *app) waitGone(ctx context.Context, c *client, o deleteOptions, objects []picked) error {
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not gone within %v", o.timeout))
		defer cancel()
	}
	progress := a.startProgress("waiting until the objects are gone")
	defer progress.stop()
	for _, p := range objects {
		progress.say("waiting until %s is gone", p.name(p.object.GetName()))
		if err := c.waitGone(ctx, p); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("%s: %w", p.name(p.object.GetName()), err)
		}
	}
	return nil
}

// waitGone returns once no object of this name and UID exists.
func (c *client) waitGone(ctx context.Context, p picked) error {
	gone := func(event string, o metav1.Object) bool {
		return event == "DELETED" || p.object.GetUID() != "" && o.GetUID() != p.object.GetUID()
	}
	return c.waitObject(ctx, p.resource, p.object.GetNamespace(), p.object.GetName(), func(event string, o *objectView) (bool, error) {
		return o == nil || gone(event, o), nil
	})
}

// waitObject watches one object until fn says that it is as wanted. fn gets the
// object as it is first ("" as event, nil if there is none) and then each change.
func (c *client) waitObject(ctx context.Context, r resource, namespace, name string, fn func(event string, o *objectView) (bool, error)) error {
	q := url.Values{"fieldSelector": {"metadata.name=" + name}}
	path := r.path(namespace, "")
	for {
		data, err := c.do(ctx, request{path: path, query: q})
		if err != nil {
			return err
		}
		version, err := c.listVersion(data)
		if err != nil {
			return err
		}
		objects, err := c.decodeObjects(data)
		if err != nil {
			return err
		}
		var current *objectView
		for _, o := range objects {
			if o.GetName() == name {
				current = &objectView{o}
			}
		}
		if done, err := fn("", current); done || err != nil {
			return err
		}
		err = c.watchObject(ctx, path, version, q, name, fn)
		switch {
		case errors.Is(err, errEndWatch):
			return nil
		case err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err):
			return err
		}
	}
}

// watchObject returns errEndWatch when fn is content.
func (c *client) watchObject(ctx context.Context, path, version string, q url.Values, name string, fn func(string, *objectView) (bool, error)) error {
	content := false
	err := c.watch(ctx, path, acceptJSON, version, q, func(ev watchEvent) error {
		if ev.Type == "BOOKMARK" {
			return nil
		}
		objects, err := c.decodeObjects(ev.Object)
		if err != nil || objects[0].GetName() != name {
			return err
		}
		done, err := fn(ev.Type, &objectView{objects[0]})
		if done && err == nil {
			content = true
			return errEndWatch
		}
		return err
	})
	if err == nil && content {
		return errEndWatch
	}
	return err
}
