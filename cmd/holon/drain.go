package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"holon/crdt/state"
	"holon/node/api"
)

// drainOptions are the flags of drain.
type drainOptions struct {
	timeout time.Duration
	dryRun  bool
	output  string
}

func newDrainCommand(a *app) *cobra.Command {
	var o drainOptions
	c := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move away what runs on a node, without interruption",
		Long: `Cordon a node and have what runs there run elsewhere; each pod goes on until its
successor is ready. That is written into the Node object, so any node can be asked,
the drained one may be out of reach, and it lasts, whatever becomes of this
command, until 'holon uncordon'. Without --output a line is printed for each pod.

Bare Pods, and Deployments annotated holon.dev/stand-in: never, stay, as they must
not run twice; so does what has nowhere to go. Such pods are named at the end of the
timeout, with what keeps them.

A pod of a StatefulSet must not run twice either, and moves all the same: it stops,
then starts elsewhere, one of a set at a time. Those of DaemonSets belong to the node
and stay; nobody waits for them.

Disruption budgets are not asked: no other healthy pod stops before its successor is ready.`,
		Example: `  holon drain n2 && ssh n2 reboot
  holon drain n2 --timeout 30m
  holon drain n2 --dry-run        # what runs there?
  holon uncordon n2`,
		Args: wantArgs(1, 1, "the name of a node"), ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error { return a.drain(cmd.Context(), args, o) },
	}
	c.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait; the node stays marked after that; 0: for ever")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "change nothing, and say what runs there")
	addOutputFlag(c, &o.output, "json", "yaml")
	return c
}

// drainReport is what drain prints with -o.
type drainReport struct {
	Node  string      `json:"node"`
	Moved []drainMove `json:"moved"`
	Left  []drainLeft `json:"left"`
}

type drainMove struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	To        string `json:"to,omitempty"` // empty: it ended, and nothing took its place
	As        string `json:"as,omitempty"` // the pod there
}

type drainLeft struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Why       string `json:"why,omitempty"`
}

func (a *app) drain(ctx context.Context, args []string, o drainOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var s selection
	found, missing, err := s.pick(ctx, c, nodeTargets(args))
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return a.complainAbsent(getOptions{}, missing)
	}
	d := a.newDrain(found[0].object.GetName(), o)
	defer d.progress.stop()
	pods, _, err := c.listPods(ctx)
	if err != nil {
		return err
	}
	d.look(pods)
	late := false
	if !o.dryRun {
		if late, err = d.empty(ctx, c, found[0]); err != nil {
			return err
		}
	}
	d.progress.stop()
	return d.finish(ctx, c, late)
}

// empty writes the wish and waits until nothing is left, or for too long.
func (d *drain) empty(ctx context.Context, c *client, node picked) (late bool, err error) {
	patch := map[string]any{
		"spec":     map[string]any{"unschedulable": true},
		"metadata": map[string]any{"annotations": map[string]any{state.DrainAnnotation: "true"}},
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return false, err
	}
	if _, err := c.write(ctx, request{method: http.MethodPatch, path: node.path(), contentType: string(types.MergePatchType), body: body}); err != nil {
		return false, err
	}
	d.say("node/%s cordoned", d.report.Node)
	waiting, cancel := withOptionalTimeout(ctx, d.timeout)
	defer cancel()
	err = c.followPods(waiting, d.look)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// finish says what is left and why, or that nothing is.
func (d *drain) finish(ctx context.Context, c *client, late bool) error {
	for _, key := range sortedKeys(d.left) {
		p := d.left[key]
		left := drainLeft{Namespace: p.namespace, Pod: p.name}
		if d.dryRun {
			d.say("pod/%s runs on %s (dry run)", p.name, p.node)
		} else {
			left.Why = c.whyStays(ctx, p)
			d.a.complain(fmt.Sprintf("pod/%s stays: %s", p.name, left.Why))
		}
		d.report.Left = append(d.report.Left, left)
	}
	if d.output != "" {
		if err := printStructured(d.a.out, d.output, d.report); err != nil {
			return err
		}
	}
	if late {
		return fmt.Errorf("%s left on %s after %v; the node stays marked, so they go as soon as they can: wait with 'holon drain %s', or end it with 'holon uncordon %s'",
			plural(len(d.left), "pod"), d.report.Node, d.timeout, d.report.Node, d.report.Node)
	}
	if !d.dryRun {
		d.say("node/%s drained", d.report.Node)
	}
	return nil
}

// whyStays is what the node that is asked says of the slot of a pod.
func (c *client) whyStays(ctx context.Context, p drainPod) string {
	var why api.Why
	path := strings.Join([]string{ownGroup, "why", "pods", p.namespace, p.name}, "/")
	if err := c.get(ctx, path, nil, &why); err != nil {
		return sentence(err)
	}
	index := p.slot[strings.LastIndexByte(p.slot, '-')+1:]
	for _, s := range why.Slots {
		if fmt.Sprint(s.Index) == index && len(s.Reasons) > 0 {
			return strings.Join(s.Reasons, "; ")
		}
	}
	return strings.Join(why.Reasons, "; ")
}

// drain follows how a node gets empty.
type drain struct {
	drainOptions
	a        *app
	report   drainReport
	left     map[string]drainPod // what still runs there
	progress *progress
}

func (a *app) newDrain(node string, o drainOptions) *drain {
	return &drain{
		drainOptions: o, a: a, progress: a.startProgress("looking at what runs on %s", node),
		report: drainReport{Node: node, Moved: []drainMove{}, Left: []drainLeft{}},
	}
}

// say is for people: with -o all is printed as a whole in the end.
func (d *drain) say(format string, args ...any) {
	if d.output == "" {
		say(d.a.out, format+"\n", args...)
	}
}

// look compares with what was there before, and reports whether nothing is left.
func (d *drain) look(pods map[string]drainPod) bool {
	left := map[string]drainPod{}
	for key, p := range pods {
		if p.node != d.report.Node || p.done {
			continue
		}
		if next, _ := successor(pods, p); !p.lost || !next.ready {
			left[key] = p
		}
	}
	for _, key := range sortedKeys(d.left) {
		if _, there := left[key]; !there {
			to, _ := successor(pods, d.left[key])
			d.moved(d.left[key], to)
		}
	}
	d.left = left
	d.progress.say("%s left on %s", plural(len(left), "pod"), d.report.Node)
	return len(left) == 0
}

func (d *drain) moved(from, to drainPod) {
	move := drainMove{Namespace: from.namespace, Pod: from.name, To: to.node, As: to.name}
	d.report.Moved = append(d.report.Moved, move)
	switch {
	case to.name == "":
		d.say("pod/%s is gone", from.name)
	case to.name == from.name:
		d.say("pod/%s moved to %s", from.name, to.node)
	default:
		d.say("pod/%s moved to %s as %s", from.name, to.node, to.name)
	}
}
