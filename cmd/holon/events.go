package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

type eventOptions struct {
	allNamespaces, watch bool
	subject              string
	types                []string
	output               string
}

func newEventsCommand(a *app) *cobra.Command {
	var o eventOptions
	c := &cobra.Command{
		Use:   "events",
		Short: "Print what happened lately, on all nodes",
		Example: `  holon events -A
  holon events --for deploy/web -w`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.events(cmd.Context(), o) },
	}
	f := c.Flags()
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "in every namespace")
	f.BoolVarP(&o.watch, "watch", "w", false, "go on with what comes")
	f.StringVar(&o.subject, "for", "", "only about this object: KIND/NAME")
	f.StringSliceVar(&o.types, "types", nil, "only Normal or Warning")
	addOutputFlag(c, &o.output, "json", "yaml")
	_ = c.RegisterFlagCompletionFunc("for", a.completeTargets)
	return c
}

// eventFilter keeps the events that a user asked for.
type eventFilter struct {
	subject     resource
	subjectName string
	types       []string
}

func (f eventFilter) keeps(e *corev1.Event) bool {
	if f.subjectName != "" && (e.InvolvedObject.Name != f.subjectName || e.InvolvedObject.Kind != f.subject.Kind) {
		return false
	}
	return len(f.types) == 0 || slices.ContainsFunc(f.types, func(t string) bool { return strings.EqualFold(t, e.Type) })
}

func (a *app) events(ctx context.Context, o eventOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	filter := eventFilter{types: o.types}
	if o.subject != "" {
		if filter.subject, filter.subjectName, err = c.oneTarget(ctx, []string{o.subject}); err != nil {
			return err
		}
	}
	if o.allNamespaces {
		c.namespace = ""
	}
	path := mustBuiltin("events").path(c.namespace, "")
	var list corev1.EventList
	if err := c.get(ctx, path, nil, &list); err != nil {
		return err
	}
	kept := slices.DeleteFunc(list.Items, func(e corev1.Event) bool { return !filter.keeps(&e) })
	slices.SortStableFunc(kept, func(x, y corev1.Event) int { return eventTime(&x).Compare(eventTime(&y)) })
	switch {
	case o.output != "":
		list.Items, list.Kind, list.APIVersion = kept, "EventList", "v1"
		if err := printStructured(a.out, o.output, list); err != nil {
			return err
		}
	case len(kept) == 0 && !o.watch:
		a.saidNoEvents(c)
		return nil
	}
	table := &aligner{w: a.out}
	if o.output == "" {
		a.printEvents(table, o, kept)
	}
	if !o.watch {
		return nil
	}
	return c.watch(ctx, path, acceptJSON, list.ResourceVersion, url.Values{}, func(ev watchEvent) error {
		var e corev1.Event
		if err := c.decode(ev.Object, &e); err != nil || ev.Type == "BOOKMARK" || ev.Type == "DELETED" || !filter.keeps(&e) {
			return err
		}
		if o.output != "" {
			return printStructured(a.out, o.output, e)
		}
		table.write(eventRow(o, &e))
		return nil
	})
}

func (a *app) saidNoEvents(c *client) {
	if c.namespace == "" {
		say(a.err, "No events found.\n")
		return
	}
	say(a.err, "No events found in %s namespace.\n", c.namespace)
}

func (a *app) printEvents(table *aligner, o eventOptions, events []corev1.Event) {
	header := []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}
	if o.allNamespaces {
		header = append([]string{"NAMESPACE"}, header...)
	}
	rows := [][]string{header}
	for i := range events {
		rows = append(rows, eventRow(o, &events[i]))
	}
	table.write(rows...)
}

func eventRow(o eventOptions, e *corev1.Event) []string {
	row := []string{
		eventAge(e), e.Type, e.Reason,
		e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, strings.TrimSpace(e.Message),
	}
	if o.allNamespaces {
		row = append([]string{e.Namespace}, row...)
	}
	return row
}

// eventTime is when the event was seen last.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// eventAge is "12s", or "12s (x3 over 5m)" for a repeated one.
func eventAge(e *corev1.Event) string {
	age := ageOf(eventTime(e))
	if e.Count > 1 {
		return fmt.Sprintf("%s (x%d over %s)", age, e.Count, ageOf(e.FirstTimestamp.Time))
	}
	return age
}

func ageOf(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}
