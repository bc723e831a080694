package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

func newRolloutCommand(a *app) *cobra.Command {
	return groupCommand("rollout", "Follow a rollout, restart, pause or undo it", "",
		"  holon rollout status deploy/web\n  holon rollout undo deploy/web",
		rolloutStatusCommand(a), rolloutRestartCommand(a), rolloutHistoryCommand(a), rolloutUndoCommand(a),
		rolloutPausing(a, true), rolloutPausing(a, false))
}

// rolledOut finds the named workloads, all of them of kinds that have a rollout.
func (a *app) rolledOut(ctx context.Context, args []string) (*client, []picked, error) {
	c, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	var s selection
	found, missing, err := s.pick(ctx, c, args)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range found {
		if progresses[p.Kind] == nil {
			return nil, nil, usagef("%s have no rollout; deployments, statefulsets and daemonsets do", p.Plural)
		}
	}
	return c, found, a.complainAbsent(getOptions{}, missing)
}

func (a *app) eachRolledOut(ctx context.Context, args []string, do func(*client, picked) error) error {
	c, found, absent := a.rolledOut(ctx, args)
	if c == nil {
		return absent
	}
	for _, p := range found {
		if err := do(c, p); err != nil {
			return err
		}
	}
	return absent
}

func rolloutStatusCommand(a *app) *cobra.Command {
	var (
		watch   bool
		timeout time.Duration
	)
	c := &cobra.Command{
		Use:               "status KIND/NAME",
		Example:           `  holon rollout status deploy/web`,
		Short:             "Wait until a rollout is complete",
		Args:              wantOneTarget,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := withOptionalTimeout(cmd.Context(), timeout)
			defer cancel()
			return timedOut(ctx, a.rolloutStatus(ctx, args, watch))
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", true, "wait; false: only say how it is now")
	c.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait; 0: for ever")
	return c
}

func withOptionalTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("timed out waiting for the condition after %v", d))
}

// timedOut replaces an error by the timeout that caused it.
func timedOut(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (a *app) rolloutStatus(ctx context.Context, args []string, watch bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, name, err := c.oneTarget(ctx, args)
	if err != nil {
		return err
	}
	progress := progresses[r.Kind]
	if progress == nil {
		return usagef("%s have no rollout; deployments, statefulsets and daemonsets do", r.Plural)
	}
	said := ""
	return c.waitObject(ctx, r, c.namespaceOf(r), name, func(event string, o *objectView) (bool, error) {
		if o == nil || event == "DELETED" {
			return false, fmt.Errorf("%s %q not found", r.groupResource(), name)
		}
		text, done, err := progress(*o)
		if err != nil {
			return false, err
		}
		if text != said {
			said = text
			say(a.out, "%v\n", text)
		}
		return done || !watch, nil
	})
}

// deploymentProgress says how far a rollout is, in kubectl's words.
func deploymentProgress(d objectView) (text string, done bool, err error) {
	name := d.GetName()
	if d.GetGeneration() > d.number("status", "observedGeneration") {
		return "Waiting for deployment spec update to be observed...", false, nil
	}
	conditions, _, _ := unstructured.NestedSlice(d.Object, "status", "conditions")
	for _, c := range conditions {
		if f, _ := c.(map[string]any); f["type"] == "Progressing" && f["reason"] == "ProgressDeadlineExceeded" {
			return "", false, fmt.Errorf("deployment %q exceeded its progress deadline; see 'holon why deploy/%s'", name, name)
		}
	}
	wanted := d.numberOr(1, "spec", "replicas")
	updated, all, available := d.number("status", "updatedReplicas"), d.number("status", "replicas"), d.number("status", "availableReplicas")
	waiting := fmt.Sprintf("Waiting for deployment %q rollout to finish: ", name)
	switch {
	case updated < wanted:
		return waiting + fmt.Sprintf("%d out of %d new replicas have been updated...", updated, wanted), false, nil
	case all > updated:
		return waiting + fmt.Sprintf("%d old replicas are pending termination...", all-updated), false, nil
	case available < updated:
		return waiting + fmt.Sprintf("%d of %d updated replicas are available...", available, updated), false, nil
	}
	return fmt.Sprintf("deployment %q successfully rolled out", name), true, nil
}

func rolloutRestartCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:               "restart KIND/NAME",
		Example:           `  holon rollout restart deploy/web`,
		Short:             "Replace all pods, a few at a time",
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			// Only has to differ from the last one: no clock decides anything by it.
			stamp := map[string]any{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)}
			patch := map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": stamp}}}}
			return a.eachRolledOut(cmd.Context(), args, func(c *client, p picked) error {
				return a.patchOne(cmd.Context(), c, p, types.MergePatchType, patch, output, "restarted")
			})
		},
	}
	addOutputFlag(c, &output, "name", "json", "yaml")
	return c
}

// labelSelector reads spec.selector, which is a LabelSelector or a plain map.
func labelSelector(o *unstructured.Unstructured, r resource) (string, error) {
	raw, ok, _ := unstructured.NestedMap(o.Object, "spec", "selector")
	if !ok {
		return "", fmt.Errorf("%s selects no pods; name a pod", r.name(o.GetName()))
	}
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &s); err != nil {
		return "", err
	}
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		var pairs []string
		for k, v := range raw {
			pairs = append(pairs, fmt.Sprintf("%s=%v", k, v))
		}
		return strings.Join(pairs, ","), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return "", err
	}
	return selector.String(), nil
}
