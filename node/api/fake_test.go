package api

import (
	"context"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
)

// memory is a Backend that keeps objects in a map and derives, in one step, what
// a real node would: ReplicaSets and Pods of Deployments, all of them Running.
type memory struct {
	cache *Cache

	mu      sync.Mutex
	stored  map[Key]Object
	tokens  uint64
	uids    int
	runs    map[string]int // by slot: counts runs
	events  []map[string]any
	missing []string
	unheard []Unheard
	usage   []NodeUsage
	queries []UsageQuery
	mutated []Mutation
	joins   []TokenInfo

	conflicts []ConflictSpec
	settled   []string
	// fail, if set, is what Mutate, Logs and Exec return; intervene runs before a Mutation.
	fail      error
	intervene func(Mutation)
	snapshot  func(io.Writer) error
	locked    bool // there is no data key here
	time      time.Time
}

func newMemory(cache *Cache) *memory {
	m := &memory{cache: cache, stored: map[Key]Object{}, runs: map[string]int{}}
	for _, name := range []string{"default", "kube-system"} {
		m.mustPut(Key{Resource: Namespaces, Name: name}, map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
			"spec": map[string]any{}, "status": map[string]any{"phase": "Active"},
		})
	}
	for i, name := range []string{"n1", "n2"} {
		m.mustPut(Key{Resource: Nodes, Name: name}, testNode(name, fmt.Sprintf("127.77.%d.1", i+1)))
	}
	return m
}

func testNode(name, ip string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name, "labels": map[string]any{"kubernetes.io/hostname": name}},
		"spec": map[string]any{},
		"status": map[string]any{
			"addresses":   []any{map[string]any{"type": "InternalIP", "address": ip}},
			"conditions":  []any{map[string]any{"type": "Ready", "status": "True"}},
			"nodeInfo":    map[string]any{"kubeletVersion": "v1.35.0+holon", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "process://1"},
			"capacity":    map[string]any{"cpu": "2", "memory": "4Gi", "pods": "110"},
			"allocatable": map[string]any{"cpu": "2", "memory": "4Gi", "pods": "110"},
		},
	}
}

func (m *memory) mustPut(k Key, value map[string]any) {
	if _, err := m.Mutate(context.Background(), Mutation{Key: k, New: value}); err != nil {
		panic(err)
	}
}

func (m *memory) Mutate(_ context.Context, mu Mutation) (Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.intervene != nil {
		f := m.intervene
		m.intervene = nil
		m.mu.Unlock()
		f(mu)
		m.mu.Lock()
	}
	if m.fail != nil {
		return Object{}, m.fail
	}
	m.mutated = append(m.mutated, mu)
	mu.Old, mu.New = sealed(mu.Key, mu.Old), sealed(mu.Key, mu.New)
	old, there := m.stored[mu.Key]
	switch {
	case mu.UID == "" && there:
		return Object{}, ErrExists
	case mu.UID != "" && mu.Resource == Pods && !there:
		return m.annotateDerived(mu)
	case mu.UID != "" && (!there || uidOf(old.Value()) != mu.UID):
		return Object{}, ErrNotFound
	case mu.Token != 0 && mu.Token != old.Token:
		return Object{}, fmt.Errorf("token %d is not %d: %w", mu.Token, old.Token, ErrConflict)
	case mu.New == nil:
		delete(m.stored, mu.Key)
		m.show(mu.Key)
		return old, nil
	}
	m.tokens++
	value := runtime.DeepCopyJSON(mu.New)
	meta := value["metadata"].(map[string]any)
	if there {
		value = merge3(mu.Old, mu.New, runtime.DeepCopyJSON(old.Value())).(map[string]any)
		meta = value["metadata"].(map[string]any)
		for _, own := range []string{"uid", "creationTimestamp", "generation"} {
			meta[own] = old.Value()["metadata"].(map[string]any)[own]
		}
		if !reflect.DeepEqual(value["spec"], old.Value()["spec"]) {
			generation, _ := meta["generation"].(int64)
			meta["generation"] = generation + 1
		}
	} else {
		m.uids++
		meta["uid"] = fmt.Sprintf("00000000-0000-0000-0000-%012d", m.uids)
		meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
		meta["generation"] = int64(1)
	}
	o := Object{Key: mu.Key, Token: m.tokens, Source: Decoded(value)}
	m.stored[mu.Key] = o
	m.show(mu.Key)
	return o, nil
}

// merge3 applies the difference between old and new to current, field by field.
func merge3(old, next, current any) any {
	n, isMap := next.(map[string]any)
	o, _ := old.(map[string]any)
	c, isCurrentMap := current.(map[string]any)
	if !isMap || !isCurrentMap {
		if reflect.DeepEqual(old, next) {
			return current
		}
		return next
	}
	for name, v := range n {
		if was, there := c[name]; there {
			c[name] = merge3(o[name], v, was)
		} else if !reflect.DeepEqual(o[name], v) {
			c[name] = v
		}
	}
	for name := range o {
		if _, kept := n[name]; !kept {
			delete(c, name)
		}
	}
	return c
}

// annotateDerived keeps labels and annotations that were written on a derived pod.
func (m *memory) annotateDerived(mu Mutation) (Object, error) {
	o, there := m.cache.Get(mu.Key)
	if !there || uidOf(o.Value()) != mu.UID {
		return Object{}, ErrNotFound
	}
	m.tokens++
	o.Token, o.Source = m.tokens, Decoded(mu.New)
	return o, m.cache.Apply([]Object{o}, nil)
}

// show brings one stored object and what is derived from it into the cache.
func (m *memory) show(k Key) {
	o, there := m.stored[k]
	var gone []Key
	var objects []Object
	if k.Resource == Deployments {
		gone = m.derivedKeys(k)
	}
	if !there {
		_ = m.cache.Apply(nil, append(gone, k))
		return
	}
	if k.Resource == Deployments {
		o.Source = Decoded(runtime.DeepCopyJSON(o.Value()))
		objects = m.derive(&o)
		gone = without(gone, objects)
	}
	if k.Resource == Pods {
		o.Source = Decoded(runtime.DeepCopyJSON(o.Value()))
		o.Value()["status"] = runningStatus(o.Value()["spec"].(map[string]any))
	}
	_ = m.cache.Apply(append(objects, o), gone)
}

func without(keys []Key, objects []Object) []Key {
	var out []Key
	for _, k := range keys {
		found := false
		for _, o := range objects {
			found = found || o.Key == k
		}
		if !found {
			out = append(out, k)
		}
	}
	return out
}

func (m *memory) derivedKeys(k Key) []Key {
	var keys []Key
	for _, resource := range []string{ReplicaSets, Pods} {
		objects, _ := m.cache.List(resource, k.Namespace)
		for _, o := range objects {
			if strings.HasPrefix(o.Name, k.Name+"-0") {
				keys = append(keys, o.Key)
			}
		}
	}
	return keys
}

func (m *memory) derive(d *Object) []Object {
	spec := d.Value()["spec"].(map[string]any)
	replicas, _, _ := unstructured.NestedInt64(spec, "replicas")
	template, _, _ := unstructured.NestedMap(spec, "template")
	owner := func(kind, apiVersion, name, uid string) []any {
		return []any{map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}}
	}
	rs := Object{Key: Key{ReplicaSets, d.Namespace, d.Name + "-0"}}
	rsUID := "rs-" + uidOf(d.Value())
	count := map[string]any{"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
	rs.Source = Decoded{
		"apiVersion": "apps/v1", "kind": "ReplicaSet",
		"metadata": map[string]any{
			"name": rs.Name, "namespace": d.Namespace, "uid": rsUID, "ownerReferences": owner("Deployment", "apps/v1", d.Name, uidOf(d.Value())),
		},
		"spec": map[string]any{"replicas": replicas, "selector": spec["selector"], "template": template}, "status": count,
	}
	objects := []Object{rs}
	for i := range replicas {
		slot := fmt.Sprintf("%s/%s/%d", d.Namespace, d.Name, i)
		name := fmt.Sprintf("%s-%d%d", rs.Name, i, m.runs[slot])
		meta, _ := template["metadata"].(map[string]any)
		podSpec := runtime.DeepCopyJSON(template["spec"].(map[string]any))
		podSpec["nodeName"] = "n" + strconv.Itoa(int(i)%2+1)
		podMeta := map[string]any{}
		maps.Copy(podMeta, meta)
		maps.Copy(podMeta, map[string]any{
			"name": name, "namespace": d.Namespace, "uid": "pod-" + name, "ownerReferences": owner("ReplicaSet", "apps/v1", rs.Name, rsUID),
			"creationTimestamp": time.Now().UTC().Format(time.RFC3339),
		})
		objects = append(objects, Object{Key: Key{Pods, d.Namespace, name}, Source: Decoded{
			"apiVersion": "v1", "kind": "Pod", "metadata": podMeta, "spec": podSpec, "status": runningStatus(podSpec),
		}})
	}
	count = maps.Clone(count)
	count["updatedReplicas"] = replicas
	count["observedGeneration"] = d.Value()["metadata"].(map[string]any)["generation"]
	d.Value()["status"] = count
	return objects
}

func runningStatus(spec map[string]any) map[string]any {
	var statuses []any
	for _, c := range spec["containers"].([]any) {
		statuses = append(statuses, map[string]any{
			"name": c.(map[string]any)["name"], "ready": true, "restartCount": int64(0), "image": "", "imageID": "",
			"state": map[string]any{"running": map[string]any{"startedAt": "2026-01-01T00:00:00Z"}},
		})
	}
	return map[string]any{
		"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": statuses,
		"conditions": []any{map[string]any{"type": "Ready", "status": "True"}},
	}
}

func (m *memory) DeletePod(_ context.Context, namespace, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.cache.Get(Key{Pods, namespace, name}); !there {
		return ErrNotFound
	}
	deployment, rest, _ := strings.Cut(name, "-0-")
	m.runs[namespace+"/"+deployment+"/"+rest[:1]]++
	m.show(Key{Deployments, namespace, deployment})
	return nil
}

func (m *memory) Rebalance(_ context.Context, most int, dryRun bool) (Rebalanced, error) {
	moves := []Move{
		{Kind: "Deployment", Namespace: "default", Name: "web", Slot: 1, From: "n1", To: "n2", Why: "0 more of it there"},
		{Kind: "Deployment", Namespace: "default", Name: "web", Slot: 2, From: "n1", To: "n3", Why: "0 more of it there"},
	}
	return Rebalanced{Node: "n1", DryRun: dryRun, Moves: moves[:min(most, 2)]}, m.fail
}

func (m *memory) WhatIf(_ context.Context, lose []string) (WhatIf, error) {
	w := WhatIf{Node: "n1", Lose: lose, Majority: len(lose) == 1, Fits: len(lose) == 1, Slots: []Fate{
		{Kind: "Deployment", Namespace: "default", Name: "web", From: "n2", To: "n1", State: "moves", Why: "n1 chosen"},
	}}
	if !w.Fits {
		w.Slots = append(w.Slots, Fate{Kind: "Pod", Namespace: "default", Name: "alone", From: "n3", State: "stays", Why: "gets no stand-in"})
	}
	return w, m.fail
}

func (m *memory) Evict(_ context.Context, namespace, name string, _ bool) error {
	if _, there := m.cache.Get(Key{Pods, namespace, name}); !there {
		return ErrNotFound
	}
	return m.fail
}

func (m *memory) Logs(ctx context.Context, _, pod string, o LogOptions, w io.Writer) error {
	if m.fail != nil {
		return m.fail
	}
	for i := range 3 {
		if o.Tail >= 0 && i < 3-o.Tail {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s %s line %d previous=%v\n", pod, o.Container, i, o.Previous); err != nil {
			return err
		}
	}
	if o.Follow {
		<-ctx.Done()
	}
	return nil
}

// PortForward answers with the port and what was said, or refuses port 1.
func (m *memory) PortForward(_ context.Context, _, pod string, port int, s Stream) error {
	if port == 1 {
		return fmt.Errorf("nothing listens")
	}
	if _, err := fmt.Fprintf(s.Stdout, "%s:%d for %s: ", pod, port, s.Actor.User); err != nil {
		return err
	}
	_, err := io.Copy(s.Stdout, s.Stdin)
	return err
}

// Exec knows a few commands: cat, exit CODE, echo WORDS, err WORDS, size, wait, whoami.
func (m *memory) Exec(ctx context.Context, _, _, _ string, command []string, s Stream) (int, error) {
	if m.fail != nil {
		return 0, m.fail
	}
	switch command[0] {
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case "exit":
		return strconv.Atoi(command[1])
	case "echo":
		_, err := fmt.Fprintln(s.Stdout, strings.Join(command[1:], " "))
		return 0, err
	case "err":
		_, err := fmt.Fprintln(s.Stderr, strings.Join(command[1:], " "))
		return 0, err
	case "whoami":
		_, err := fmt.Fprintln(s.Stdout, s.Actor.User)
		return 0, err
	case "size":
		size := <-s.Resize
		_, err := fmt.Fprintf(s.Stdout, "%dx%d tty=%v\n", size.Width, size.Height, s.TTY)
		return 0, err
	case "wait":
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 127, nil
}

// Attach says who asks, repeats what is said, and then waits for its end; with a terminal it
// says of which size.
func (m *memory) Attach(ctx context.Context, namespace, pod, container string, s Stream) error {
	if m.fail != nil {
		return m.fail
	}
	if s.TTY {
		size := <-s.Resize
		_, err := fmt.Fprintf(s.Stdout, "%dx%d", size.Width, size.Height)
		return err
	}
	if _, err := fmt.Fprintf(s.Stdout, "%s/%s/%s for %s\n", namespace, pod, container, s.Actor.User); err != nil {
		return err
	}
	if s.Stdin == nil {
		<-ctx.Done()
		return nil
	}
	_, err := io.Copy(s.Stdout, s.Stdin)
	return err
}

func (m *memory) Events(context.Context, string) ([]map[string]any, []string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]map[string]any(nil), m.events...), m.missing, m.fail
}

func (m *memory) Usage(_ context.Context, q UsageQuery) ([]NodeUsage, []string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queries = append(m.queries, q)
	return m.usage, m.missing, m.fail
}

func (m *memory) addEvent(name, reason, object string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, map[string]any{
		"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"name": name, "namespace": "default", "uid": "event-" + name},
		"involvedObject": map[string]any{"kind": "Pod", "namespace": "default", "name": object}, "reason": reason,
		"message": "it " + reason, "type": "Normal", "count": int64(1),
	})
}

func (m *memory) Why(_ context.Context, k Key) (Why, error) {
	if _, there := m.cache.Get(k); !there {
		return Why{}, ErrNotFound
	}
	return Why{Kind: k.Resource, Namespace: k.Namespace, Name: k.Name, Node: "n1", Scheduler: "n2", Standbys: []string{"n1"}, Majority: true}, nil
}

func (m *memory) Unheard() []Unheard { return m.unheard }

func (m *memory) ClusterTime() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.time, !m.time.IsZero()
}

// setTime moves every clock; the zero time: nobody has one.
func (m *memory) setTime(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.time = t
}

func (m *memory) Status(context.Context) (ClusterStatus, error) {
	return ClusterStatus{Cluster: "test", Node: "n1"}, m.fail
}

// Open opens what Mutate has sealed, as a node does, unless locked.
func (m *memory) Open(o Object) (Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, err := state.OpenObject(state.MakeKey(o.Resource, o.Namespace, o.Name), crdt.UID{}, o.Value(), func(seal.ID) (seal.Key, bool) { return testDataKey, !m.locked })
	if err != nil {
		return o, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	o.Source = Decoded(value)
	return o, nil
}

var testDataKey = seal.Key{42}

// sealed is an object as a node would store it.
func sealed(k Key, value map[string]any) map[string]any {
	if value == nil || k.Resource != Secrets {
		return value
	}
	flat, err := state.Flatten(value)
	if err == nil {
		flat, err = state.SealRegisters(testDataKey, state.MakeKey(k.Resource, k.Namespace, k.Name), crdt.UID{}, flat)
	}
	var out map[string]any
	if err == nil {
		out, err = state.Build(flat)
	}
	if err != nil {
		panic(err)
	}
	return out
}

func (m *memory) RotateDataKey(context.Context) (string, error) { return "00112233445566aa", nil }

func (m *memory) DataKeys(context.Context) ([]DataKeyInfo, error) {
	return []DataKeyInfo{{ID: "00112233445566aa", Newest: true, Here: true, Lacking: []string{"n3"}, Sealed: 2}}, nil
}

func (m *memory) CreateToken(_ context.Context, uses int, ttl time.Duration) (string, TokenInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := TokenInfo{ID: fmt.Sprintf("t%d", len(m.joins)), UsesLeft: uses, Expires: ttl.String(), Issuer: "n1"}
	m.joins = append(m.joins, info)
	return "secret-" + info.ID, info, nil
}

func (m *memory) Tokens(context.Context) ([]TokenInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]TokenInfo(nil), m.joins...), nil
}

func (m *memory) RevokeToken(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.joins {
		if m.joins[i].ID == id {
			m.joins[i].Revoked = true
			return nil
		}
	}
	return ErrNotFound
}

// Images, LoadImage and CopyImage make do with one archive.
func (m *memory) Images(_ context.Context, node string) (ImageList, error) {
	if node == "nobody" {
		return ImageList{}, fmt.Errorf("%w: there is no such node", ErrNotFound)
	}
	return ImageList{Items: []ImageInfo{{ID: "1", Names: []string{"app:1"}, Nodes: []string{"n1"}}}, Silent: []string{"n2"}}, nil
}

func (m *memory) LoadImage(_ context.Context, archive io.Reader, sum func() string, progress func(string)) ([]ImageInfo, error) {
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	if sum() != fmt.Sprint(len(text)) {
		return nil, fmt.Errorf("%w: %d bytes, and %s were sent", ErrInvalid, len(text), sum())
	}
	if string(text) == "large" {
		return nil, fmt.Errorf("%w: it takes 80 MB", ErrNoRoom)
	}
	progress("unpacking")
	if string(text) == "bad" {
		return nil, fmt.Errorf("%w: no archive", ErrInvalid)
	}
	return []ImageInfo{{ID: string(text)}}, nil
}

func (m *memory) CopyImage(_ context.Context, c ImageCopy, progress func(string)) error {
	progress(c.Name + " to " + strings.Join(c.Nodes, ","))
	return m.fail
}

func (m *memory) Snapshot(_ context.Context, w io.Writer) error { return m.snapshot(w) }

func (m *memory) SnapshotData(_ context.Context, q SnapshotQuery, w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s of %s from %s", q.UID, q.Name, strings.Join(q.Nodes, ","))
	return err
}

func (m *memory) Leave(context.Context, func(string)) error { return ErrUnreachable }

func (m *memory) EvictMember(_ context.Context, member string, e MemberEviction) error {
	if member != "n9" {
		return ErrNotFound
	}
	if e.Gone && !e.Force {
		return fmt.Errorf("%w: n9 is in reach", ErrInvalid)
	}
	return nil
}

func (m *memory) ConfirmSync(context.Context, func(string)) error { return m.fail }

func (m *memory) Drain(_ context.Context, progress func(string)) error {
	progress("pod a stopped")
	progress("pod b stopped")
	return nil
}

func (m *memory) Volumes(context.Context) (VolumeList, error) {
	return VolumeList{Items: []VolumeInfo{{Node: "n1", Volume: "pvc-1", State: "bound", Namespace: "default", Claim: "data", Bytes: 12}}}, m.fail
}

func (m *memory) AbandonVolume(_ context.Context, namespace, claim string, force bool) error {
	switch {
	case namespace != "default" || claim != "data":
		return ErrNotFound
	case !force:
		return fmt.Errorf("%w: n1, which has its data, is in reach", ErrStays)
	}
	return m.fail
}

func (m *memory) RemoveVolume(_ context.Context, node, volume string) error {
	switch {
	case node != "n1":
		return ErrNotFound
	case volume == "pvc-1":
		return fmt.Errorf("%w: it has the data of default/data", ErrStays)
	}
	return m.fail
}
