package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"holon/crdt"
	"holon/crdt/state"
)

// wanted is what of a snapshot shall come back.
type wanted struct {
	targets   []target
	namespace string // empty: any
	labels    labels.Selector
	found     []picked
	named     map[string]bool // KIND/NAME that was asked for -> in the snapshot
	// open gives an object in the clear; nil if it is left out.
	open func(state.Key, state.Object) (map[string]any, error)
}

// wantedObjects understands --objects, -l and -A as `get` does.
func (c *client) wantedObjects(ctx context.Context, o restoreOptions) (*wanted, error) {
	keys, err := o.keys()
	if err != nil {
		return nil, err
	}
	w := &wanted{namespace: c.namespace, named: map[string]bool{}}
	w.open = func(key state.Key, object state.Object) (map[string]any, error) { return o.open(keys, key, object) }
	for _, word := range o.objects {
		targets, err := c.targets(ctx, []string{word})
		if err != nil {
			return nil, err
		}
		w.targets = append(w.targets, targets...)
	}
	if err := (getOptions{selector: o.selector, allNamespaces: o.allNamespaces}).check(w.targets); err != nil {
		return nil, err
	}
	for _, t := range w.targets {
		if t.Plural == "snapshots" {
			return nil, usagef("Snapshots do not come back from a snapshot: make a new one with 'holon snapshot create'")
		}
		if t.Plural == "nodes" {
			return nil, usagef("nodes do not come back from a snapshot: use 'holon label', or join the machine again")
		}
		for _, name := range t.names {
			w.named[t.name(name)] = false
		}
	}
	if o.allNamespaces {
		w.namespace = ""
	}
	if w.labels, err = labels.Parse(o.selector); err != nil {
		return nil, usagef("-l %q: %v", o.selector, err)
	}
	return w, nil
}

// visit takes an object of the snapshot, if it is wanted.
func (w *wanted) visit(key state.Key, rec *crdt.Record) error {
	resource, namespace, name := key.Split()
	i := slices.IndexFunc(w.targets, func(t target) bool {
		return t.groupResource() == resource && (len(t.names) == 0 || slices.Contains(t.names, name)) &&
			(!t.Namespaced || w.namespace == "" || namespace == w.namespace)
	})
	if i < 0 || rec.Live() == nil {
		return nil
	}
	object, _, err := state.DecodeObject(rec)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	t := w.targets[i]
	value, err := w.open(key, object)
	if err != nil || value == nil {
		return err
	}
	u := &unstructured.Unstructured{Object: value}
	if !w.labels.Matches(labels.Set(u.GetLabels())) {
		return nil
	}
	u.SetAPIVersion(t.apiVersion())
	u.SetKind(t.Kind)
	u.SetName(name)
	u.SetNamespace(namespace)
	for _, path := range [][]string{
		{"metadata", "uid"}, {"metadata", "creationTimestamp"}, {"metadata", "deletionTimestamp"}, {"metadata", "generation"},
		{"metadata", "ownerReferences"}, {"metadata", "managedFields"}, {"status"},
	} {
		unstructured.RemoveNestedField(u.Object, path...)
	}
	if _, asked := w.named[t.name(name)]; asked {
		w.named[t.name(name)] = true
	}
	w.found = append(w.found, picked{t.resource, u})
	return nil
}

// check refuses a selection that does not name what is there.
func (w *wanted) check(file string) error {
	for _, name := range slices.Sorted(maps.Keys(w.named)) {
		if !w.named[name] {
			return fmt.Errorf("%s is not in %s; nothing was changed. 'holon snapshot inspect' shows what it holds", name, file)
		}
	}
	if len(w.found) == 0 {
		return fmt.Errorf("nothing in %s is selected; nothing was changed. Is the namespace right (-n, -A)?", file)
	}
	order := func(p picked) int {
		return slices.Index([]string{"Namespace", "PriorityClass", "ConfigMap", "Secret"}, p.Kind)
	}
	slices.SortStableFunc(w.found, func(a, b picked) int {
		switch x, y := order(a), order(b); { // what others need comes first, all else (-1) last
		case x == y:
			return 0
		case x < 0 || y >= 0 && y < x:
			return 1
		}
		return -1
	})
	return nil
}

// intent is what a restore does to one object.
type intent struct {
	picked
	current *unstructured.Unstructured // nil: there is none
	desired *unstructured.Unstructured
	changes []fieldChange
}

func (i *intent) verb() string {
	switch {
	case i.current == nil:
		return "create"
	case len(i.changes) == 0:
		return "unchanged"
	}
	return "change"
}

// restoreObjects brings selected objects of a snapshot back by ordinary writes.
func (a *app) restoreObjects(ctx context.Context, file string, o restoreOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	w, err := c.wantedObjects(ctx, o)
	if err != nil {
		return err
	}
	wait := a.startProgress("reading %s", file)
	defer wait.stop()
	info, err := a.readSnapshotFile(ctx, file, w.visit, wait)
	if err != nil {
		return err
	}
	a.warnUnreadable(info)
	if err := w.check(file); err != nil {
		return err
	}
	wait.say("comparing %s with the cluster", plural(len(w.found), "object"))
	intents := make([]*intent, len(w.found))
	for i, p := range w.found {
		if intents[i], err = c.intend(ctx, p); err != nil {
			return err
		}
	}
	wait.stop()
	if o.dryRun {
		for _, i := range intents {
			a.printIntent(c, i)
		}
		return nil
	}
	if err := a.confirm(ctx, intents, o.yes); err != nil {
		return err
	}
	return a.perform(ctx, c, intents)
}

// intend compares an object of the snapshot with the cluster's.
func (c *client) intend(ctx context.Context, p picked) (*intent, error) {
	current, err := c.write(ctx, request{path: p.path()})
	if apierrors.IsNotFound(err) {
		return &intent{picked: p, desired: p.object}, nil
	}
	if err != nil {
		return nil, err
	}
	desired := restoredOver(current, p.object)
	return &intent{picked: p, current: current, desired: desired, changes: diffFields(current.Object, desired.Object)}, nil
}

// restoredOver is current with what users decide as the snapshot has it: labels
// and everything outside of metadata and status. Annotations of the snapshot are
// set and others stay: holon shows some that are stored nowhere. A pod stays where
// it is.
func restoredOver(current, saved *unstructured.Unstructured) *unstructured.Unstructured {
	out := current.DeepCopy()
	for field := range current.Object {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, field) {
			delete(out.Object, field)
		}
	}
	from := saved.DeepCopy()
	for field, value := range from.Object {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, field) {
			out.Object[field] = value
		}
	}
	out.SetLabels(from.GetLabels())
	notes := out.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	maps.Copy(notes, from.GetAnnotations())
	if len(notes) > 0 {
		out.SetAnnotations(notes)
	}
	node, placed, _ := unstructured.NestedString(current.Object, "spec", "nodeName")
	if _, asked, _ := unstructured.NestedString(out.Object, "spec", "nodeName"); placed && !asked && current.GetKind() == "Pod" {
		_ = unstructured.SetNestedField(out.Object, node, "spec", "nodeName")
	}
	return out
}

// fullName is how an intent is printed: with its namespace where it is not the
// one that the user is in.
func (i *intent) fullName(c *client) string {
	name := i.name(i.object.GetName())
	if ns := i.object.GetNamespace(); ns != "" && ns != c.namespace {
		name += " -n " + ns
	}
	return name
}

func (a *app) printIntent(c *client, i *intent) {
	say(a.out, "%s %s (dry run)\n", i.fullName(c), i.verb())
	for _, change := range i.changes {
		say(a.out, "    %s\n", change.text(i.Kind != "Secret"))
	}
}

var errDeclined = errors.New("nothing was changed")

// confirm asks a person at a terminal; a script has said what it wants.
func (a *app) confirm(ctx context.Context, intents []*intent, yes bool) error {
	count := map[string]int{}
	for _, i := range intents {
		count[i.verb()]++
	}
	if yes || count["create"]+count["change"] == 0 || !isTerminal(a.in) {
		return nil
	}
	return a.agreed(ctx, fmt.Sprintf("%d to create, %d to change, %d unchanged; --dry-run shows each. Go on? [y/N] ", count["create"], count["change"], count["unchanged"]))
}

// agreed asks a question at a terminal, which only a yes answers.
func (a *app) agreed(ctx context.Context, question string) error {
	say(a.err, "%s", question)
	answers := make(chan string, 1)
	go func() { // waits for the terminal at the longest until the process ends
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perform writes what differs. One that fails does not keep the others back.
func (a *app) perform(ctx context.Context, c *client, intents []*intent) error {
	var failed error
	for _, i := range intents {
		verb, err := c.restoreOne(ctx, i)
		if err != nil {
			if errors.Is(err, errUnreachable) || ctx.Err() != nil {
				return err
			}
			a.complain(i.fullName(c) + ": " + sentence(err))
			failed = errPrinted
			continue
		}
		say(a.out, "%s %s\n", i.fullName(c), verb)
	}
	return failed
}

// restoreOne writes one object and compares again if somebody changed it meanwhile.
func (c *client) restoreOne(ctx context.Context, i *intent) (verb string, err error) {
	query := url.Values{"fieldManager": {"holon-restore"}, "fieldValidation": {"Warn"}}
	for retry := 0; ; retry++ {
		r := request{query: query}
		switch i.verb() {
		case "unchanged":
			return "unchanged", nil
		case "create":
			verb, r.method, r.path = "created", http.MethodPost, i.resource.path(i.object.GetNamespace(), "")
		default:
			verb, r.method, r.path = "changed", http.MethodPut, i.path()
		}
		if r.body, err = i.desired.MarshalJSON(); err != nil {
			return "", err
		}
		_, err = c.write(ctx, r)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) || retry == conflictRetriesMax {
			return verb, err
		}
		if i, err = c.intend(ctx, i.picked); err != nil {
			return "", err
		}
	}
}
