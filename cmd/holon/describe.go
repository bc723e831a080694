package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

func newDescribeCommand(a *app) *cobra.Command {
	s := selection{all: false}
	var showEvents bool
	c := &cobra.Command{
		Use:   "describe KIND [NAME...] | KIND/NAME...",
		Short: "Show objects in detail, for people",
		Example: `  holon describe deploy/web
  holon describe pods -l app=web
  holon describe node n1`,
		Args:              wantTargets,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.describe(cmd.Context(), s, args, showEvents)
		},
	}
	f := c.Flags()
	f.StringVarP(&s.selector, "selector", "l", "", "objects with these labels instead of names: app=web")
	f.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "in every namespace")
	f.BoolVar(&showEvents, "show-events", true, "with the latest events")
	return c
}

func (a *app) describe(ctx context.Context, s selection, args []string, showEvents bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	targets, err := c.targets(ctx, args)
	if err != nil {
		return err
	}
	// Without a name, everything of the kind is meant.
	s.all = s.selector == "" && len(targets[0].names) == 0
	found, missing, err := s.pick(ctx, c, args)
	if err != nil {
		return err
	}
	if len(found) == 0 && len(missing) == 0 {
		a.saidNothingFound(c, targets)
	}
	for i, p := range found {
		if i > 0 {
			say(a.out, "\n\n")
		}
		text, err := c.describeOne(ctx, p, showEvents)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(a.out, text); err != nil {
			return err
		}
	}
	return a.complainAbsent(getOptions{}, missing)
}

func (c *client) describeOne(ctx context.Context, p picked, showEvents bool) (string, error) {
	d := newDescription()
	o := objectView{p.object}
	render := map[string]func(context.Context, *client, *description, objectView) error{
		"pods":              describePod,
		"deployments.apps":  describeDeployment,
		"statefulsets.apps": describeStatefulSet,
		"daemonsets.apps":   describeDaemonSet,
		"replicasets.apps":  describeReplicaSet,
		"nodes":             describeNode,
		"configmaps":        describeConfigMap,
		"secrets":           describeSecret,
		"namespaces":        describeNamespace,
	}[p.groupResource()]
	if render == nil {
		render = describeAny
	}
	if err := render(ctx, c, d, o); err != nil {
		return "", err
	}
	if showEvents {
		if err := c.describeEvents(ctx, d, o); err != nil {
			return "", err
		}
	}
	return d.String(), nil
}

// description is text in two aligned columns.
type description struct {
	buf  bytes.Buffer
	w    *tabwriter.Writer
	base int // levels that everything is deeper by, inside a template
}

func newDescription() *description {
	d := &description{}
	d.w = tabwriter.NewWriter(&d.buf, 0, 8, 2, ' ', 0)
	return d
}

func (d *description) String() string {
	d.w.Flush() //nolint:errcheck // into memory
	var out strings.Builder
	for line := range strings.Lines(d.buf.String()) {
		out.WriteString(strings.TrimRight(line, " \n"))
		out.WriteByte('\n')
	}
	return out.String()
}

// line writes one line, two spaces deep per level. A tab separates columns.
func (d *description) line(level int, format string, args ...any) {
	say(d.w, strings.Repeat("  ", d.base+level)+format+"\n", args...)
}

// pairs writes a map as kubectl does: the first pair beside the title, the
// others below it.
func (d *description) pairs(level int, title string, set map[string]string, separator string) {
	if len(set) == 0 {
		d.line(level, "%s:\t<none>", title)
		return
	}
	for i, key := range sortedKeys(set) {
		if i > 0 {
			title = ""
		} else {
			title += ":"
		}
		d.line(level, "%s\t%s%s%s", title, key, separator, set[key])
	}
}

func sortedKeys[V any](set map[string]V) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// head writes what every object has.
func (d *description) head(o objectView) {
	d.line(0, "Name:\t%s", o.GetName())
	if ns := o.GetNamespace(); ns != "" {
		d.line(0, "Namespace:\t%s", ns)
	}
	d.labels(o)
}

func (d *description) labels(o objectView) {
	d.pairs(0, "Labels", o.GetLabels(), "=")
	annotations := o.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation) // GetAnnotations copies
	d.pairs(0, "Annotations", annotations, ": ")
}

func (d *description) conditions(rows [][]string) {
	if len(rows) == 0 {
		return
	}
	d.line(0, "Conditions:")
	d.line(1, "Type\tStatus\tReason\tMessage")
	d.line(1, "----\t------\t------\t-------")
	for _, r := range rows {
		d.line(1, "%s", strings.Join(r, "\t"))
	}
}

// describeEvents asks for the events about an object.
func (c *client) describeEvents(ctx context.Context, d *description, o objectView) error {
	q := url.Values{"fieldSelector": {"involvedObject.name=" + o.GetName()}}
	var list corev1.EventList
	namespace := o.GetNamespace() // none: an event about a node may be in any
	if err := c.get(ctx, mustBuiltin("events").path(namespace, ""), q, &list); err != nil {
		return err
	}
	about := slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
		// An event may carry the UID of an object's former life, or, for nodes, none.
		s := e.InvolvedObject
		return s.Name != o.GetName() || s.Kind != o.GetKind() || s.UID != "" && s.UID != o.GetUID() && o.GetKind() != "Node"
	})
	if len(about) == 0 {
		d.line(0, "Events:\t<none>")
		return nil
	}
	slices.SortStableFunc(about, func(x, y corev1.Event) int { return eventTime(&x).Compare(eventTime(&y)) })
	d.line(0, "Events:")
	d.line(1, "Type\tReason\tAge\tFrom\tMessage")
	d.line(1, "----\t------\t---\t----\t-------")
	for i := range about {
		e := &about[i]
		from := orElse(e.Source.Component, e.ReportingController)
		if e.Source.Host != "" {
			from += ", " + e.Source.Host
		}
		d.line(1, "%s\t%s\t%s\t%s\t%s", e.Type, e.Reason, eventAge(e), orElse(from, "-"), strings.TrimSpace(e.Message))
	}
	return nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return fmt.Sprintf("%s (%s ago)", t.Format(time.RFC1123Z), duration.HumanDuration(time.Since(t)))
}

// describeAny is for kinds without a page of their own: everything, as YAML.
func describeAny(_ context.Context, _ *client, d *description, o objectView) error {
	d.head(o)
	d.line(0, "API Version:\t%s", o.GetAPIVersion())
	d.line(0, "Kind:\t%s", o.GetKind())
	rest := map[string]any{}
	for k, v := range o.Object {
		if k != "apiVersion" && k != "kind" && k != "metadata" {
			rest[k] = v
		}
	}
	text, err := yaml.Marshal(rest)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		d.line(0, "%s", strings.TrimSpace(string(text)))
	}
	return nil
}
