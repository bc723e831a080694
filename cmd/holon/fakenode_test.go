package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/crdt/state"
	"holon/node/api"
)

// fakeNode is a node without a cluster: the real API server over a Backend that
// keeps objects in memory and pretends that every pod runs.
type fakeNode struct {
	cache *api.Cache

	mu     sync.Mutex // guards what follows, and the order of writes to cache
	serial int
	events []map[string]any
	tokens []api.TokenInfo

	kept map[string][]byte // copies for Snapshots, by UID

	conflicts []api.ConflictSpec
	server    string // its own URL; set before anybody can ask
}

var _ api.Backend = (*fakeNode)(nil)

const fakeTag = 7

// startFakeNode serves a fake node from dir, as a daemon would: socket and kubeconfig.
func startFakeNode(t testing.TB, dir string) *fakeNode {
	f := &fakeNode{conflicts: seedConflicts(), cache: api.NewCache(fakeTag, 1, nil)}
	ca, err := api.NewCA("testers")
	must(t, err)
	must(t, os.MkdirAll(dir, 0o700))
	server, err := api.New(api.Config{
		Backend: f, Cache: f.cache, CA: ca, Listen: "127.0.0.1:0", SocketPath: filepath.Join(dir, socketName),
	})
	must(t, err)
	f.server = "https://" + server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	cert, key, err := ca.AdminCert()
	must(t, err)
	config, err := api.Kubeconfig(api.Credential{User: api.AdminUser, CA: ca.CertPEM(), Cert: cert, Key: key}, []api.Endpoint{{Name: "n1", URL: f.server}}, "n1")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, kubeconfigName), config, 0o600))
	f.seed(t)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fakeNode) seed(t testing.TB) {
	node := func(name, ready string) map[string]any {
		return f.object("Node", "v1", "", name, map[string]any{
			"spec": map[string]any{},
			"status": map[string]any{
				"conditions":  []any{map[string]any{"type": "Ready", "status": ready, "reason": "Test", "message": "as the test says"}},
				"addresses":   []any{map[string]any{"type": "InternalIP", "address": "127.0.0.1"}},
				"capacity":    map[string]any{"cpu": "4", "memory": "8Gi"},
				"allocatable": map[string]any{"cpu": "4", "memory": "8Gi"},
			},
		})
	}
	namespace := func(name string) map[string]any {
		return f.object("Namespace", "v1", "", name, map[string]any{"status": map[string]any{"phase": "Active"}})
	}
	must(t, f.cache.Apply([]api.Object{
		{Key: api.Key{Resource: "nodes", Name: "n1"}, Source: api.Decoded(node("n1", "True"))},
		{Key: api.Key{Resource: "nodes", Name: "n2"}, Source: api.Decoded(node("n2", "False"))},
		{Key: api.Key{Resource: "namespaces", Name: "default"}, Source: api.Decoded(namespace("default"))},
		{Key: api.Key{Resource: "namespaces", Name: "staging"}, Source: api.Decoded(namespace("staging"))},
	}, nil))
}

// object makes an object with fresh metadata.
func (f *fakeNode) object(kind, apiVersion, namespace, name string, fields map[string]any) map[string]any {
	f.serial++
	metadata := map[string]any{
		"name": name, "uid": fmt.Sprintf("uid-%d", f.serial), "creationTimestamp": time.Now().UTC().Format(time.RFC3339), "generation": int64(1),
	}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
	maps.Copy(o, fields)
	return o
}

// Mutate stores the object and makes a Deployment's pods.
func (f *fakeNode) Mutate(_ context.Context, m api.Mutation) (api.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, there := f.cache.Get(m.Key)
	if m.UID == "" && old.Token == 0 {
		there = false // what is given in a namespace is not stored
	}
	f.serial++
	switch {
	case m.New == nil && !there:
		return api.Object{}, api.ErrNotFound
	case m.New == nil:
		return old, f.cache.Apply(nil, append(f.derived(m.Key), m.Key))
	case m.UID == "" && there:
		return api.Object{}, api.ErrExists
	case m.Token != 0 && m.Token != old.Token:
		return api.Object{}, api.ErrConflict
	}
	value := maps.Clone(m.New)
	metadata := maps.Clone(value["metadata"].(map[string]any))
	value["metadata"] = metadata
	delete(metadata, "resourceVersion")
	metadata["uid"], metadata["creationTimestamp"], metadata["generation"] = fmt.Sprintf("uid-%d", f.serial), time.Now().UTC().Format(time.RFC3339), int64(1)
	if there {
		before := old.Value()["metadata"].(map[string]any)
		metadata["uid"], metadata["creationTimestamp"] = before["uid"], before["creationTimestamp"]
		if status := old.Value()["status"]; status != nil {
			value["status"] = status
		}
	}
	objects := []api.Object{{Key: m.Key, Token: uint64(f.serial), Source: api.Decoded(value)}}
	var gone []api.Key
	var err error
	switch m.Resource {
	case "deployments.apps":
		gone = f.derived(m.Key)
		objects = append(objects, f.deploy(m.Key, value)...)
	case "snapshots.holon.dev":
		if value["status"], err = f.keep(metadata["uid"].(string), m.Name, value); err != nil {
			return api.Object{}, err
		}
	case "nodes":
		if notes, ok := metadata["annotations"].(map[string]any); ok && notes[state.DrainAnnotation] == "true" {
			time.AfterFunc(50*time.Millisecond, func() { f.move(m.Name) }) // drain watches how they go
		}
	}
	if err := f.cache.Apply(objects, gone); err != nil {
		return api.Object{}, err
	}
	stored, _ := f.cache.Get(m.Key)
	return stored, nil
}

// derived lists the pods of a deployment.
func (f *fakeNode) derived(k api.Key) []api.Key {
	var keys []api.Key
	pods, _ := f.cache.List("pods", k.Namespace)
	for _, p := range pods {
		if strings.HasPrefix(p.Name, k.Name+"-pod") {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// move gives the pods of deployments on a node successors on n2, one by one.
func (f *fakeNode) move(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pods, _ := f.cache.List("pods", "")
	for _, p := range pods {
		value := maps.Clone(p.Value())
		spec, meta := maps.Clone(value["spec"].(map[string]any)), maps.Clone(value["metadata"].(map[string]any))
		notes, _ := meta["annotations"].(map[string]any)
		if _, slot := notes["holon.dev/slot"]; spec["nodeName"] != node || !slot {
			continue
		}
		key := p.Key
		key.Name += "-next"
		spec["nodeName"], meta["name"], meta["uid"] = "n2", key.Name, key.Name
		value["spec"], value["metadata"] = spec, meta
		next := []api.Object{{Key: key, Source: api.Decoded(value)}}
		if err := errors.Join(f.cache.Apply(next, nil), f.cache.Apply(nil, []api.Key{p.Key})); err != nil {
			panic(err)
		}
	}
}

// deploy completes a deployment at once: every replica is a ready pod on n1.
func (f *fakeNode) deploy(k api.Key, value map[string]any) []api.Object {
	spec := value["spec"].(map[string]any)
	replicas := number(spec["replicas"])
	value["status"] = map[string]any{
		"observedGeneration": int64(1), "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
		"conditions": []any{map[string]any{"type": "Available", "status": "True", "reason": "Test", "message": "all run"}},
	}
	template := spec["template"].(map[string]any)
	var pods []api.Object
	for i := range replicas {
		name := fmt.Sprintf("%s-pod%d", k.Name, i)
		podSpec := maps.Clone(template["spec"].(map[string]any))
		podSpec["nodeName"] = "n1"
		pod := f.object("Pod", "v1", k.Namespace, name, map[string]any{"spec": podSpec, "status": podStatus(podSpec, int(i))})
		pod["metadata"].(map[string]any)["annotations"] = map[string]any{"holon.dev/slot": fmt.Sprintf("%s-%d", k.Name, i), "holon.dev/run": name}
		if m, ok := template["metadata"].(map[string]any); ok {
			pod["metadata"].(map[string]any)["labels"] = m["labels"]
		}
		pods = append(pods, api.Object{Key: api.Key{Resource: "pods", Namespace: k.Namespace, Name: name}, Source: api.Decoded(pod)})
	}
	return pods
}

func podStatus(spec map[string]any, i int) map[string]any {
	var containers []any
	for _, c := range spec["containers"].([]any) {
		fields := c.(map[string]any)
		status := map[string]any{
			"name": fields["name"], "image": fields["image"], "ready": true, "restartCount": int64(i),
			"state": map[string]any{"running": map[string]any{"startedAt": "2020-01-01T00:00:00Z"}},
		}
		if i > 0 {
			status["lastState"] = map[string]any{"terminated": map[string]any{
				"exitCode": int64(3), "reason": "Error", "message": "no settings\nat all\n", "startedAt": "2019-12-31T23:59:58Z", "finishedAt": "2019-12-31T23:59:59Z",
			}}
		}
		containers = append(containers, status)
	}
	return map[string]any{
		"phase": "Running", "podIP": fmt.Sprintf("127.77.1.%d", i+2), "hostIP": "127.77.1.1", "containerStatuses": containers,
		"conditions": []any{map[string]any{"type": "Ready", "status": "True"}},
	}
}

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 1
}

// DeletePod lets a pod go.
func (f *fakeNode) DeletePod(_ context.Context, namespace, name string) error {
	return f.cache.Apply(nil, []api.Key{{Resource: "pods", Namespace: namespace, Name: name}})
}

// Rebalance knows two moves.
func (f *fakeNode) Rebalance(_ context.Context, most int, dryRun bool) (api.Rebalanced, error) {
	moves := []api.Move{
		{Kind: "Deployment", Namespace: "default", Name: "web", Slot: 1, From: "n1", To: "n2", Why: "0 more of it there"},
		{Kind: "Deployment", Namespace: "default", Name: "web", Slot: 2, From: "n1", To: "n3", Why: "0 more of it there"},
	}
	return api.Rebalanced{Node: "n1", DryRun: dryRun, Moves: moves[:min(most, 2)]}, nil
}

// WhatIf knows what one node and what several would do.
func (f *fakeNode) WhatIf(_ context.Context, lose []string) (api.WhatIf, error) {
	w := api.WhatIf{Node: "n1", Lose: lose, Majority: len(lose) == 1, Fits: len(lose) == 1, Slots: []api.Fate{
		{Kind: "Deployment", Namespace: "default", Name: "web", From: "n2", To: "n1", State: "moves", Why: "n1 chosen"},
	}}
	if !w.Fits {
		w.Slots = append(w.Slots, api.Fate{Kind: "Pod", Namespace: "default", Name: "alone", From: "n3", State: "stays", Why: "gets no stand-in"})
	}
	return w, nil
}

// Evict lets a pod go.
func (f *fakeNode) Evict(ctx context.Context, namespace, name string, _ bool) error {
	return f.DeletePod(ctx, namespace, name)
}

// Logs prints what was asked for.
func (f *fakeNode) Logs(_ context.Context, namespace, pod string, o api.LogOptions, w io.Writer) error {
	_, err := fmt.Fprintf(w, "log of %s/%s/%s follow=%t previous=%t tail=%d since=%v\n", namespace, pod, o.Container, o.Follow, o.Previous, o.Tail, o.Since)
	return err
}

// PortForward is what no command asks for.
func (f *fakeNode) PortForward(context.Context, string, string, int, api.Stream) error {
	return api.ErrInvalid
}

// Exec knows a few commands.
func (f *fakeNode) Exec(ctx context.Context, _, pod, container string, command []string, s api.Stream) (int, error) {
	switch command[0] {
	case "echo":
		_, err := fmt.Fprintln(s.Stdout, strings.Join(command[1:], " "))
		return 0, err
	case "where":
		_, err := fmt.Fprintf(s.Stdout, "%s/%s\n", pod, container)
		return 0, err
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case "terminal":
		go io.Copy(io.Discard, s.Stdin) //nolint:errcheck // ends with the session; unread input holds up the sizes
		var size api.TerminalSize
		select {
		case size = <-s.Resize:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		_, err := fmt.Fprintf(s.Stdout, "terminal %t, %d rows known\r\n", s.TTY, min(size.Height, 1))
		return 3, err
	case "fail":
		say(s.Stderr, "this goes wrong\n")
		return 42, nil
	}
	return 0, fmt.Errorf("%w: no such command", api.ErrInvalid)
}

// Usage is what n1 uses, and each container of its pods; n3 does not answer.
func (f *fakeNode) Usage(_ context.Context, q api.UsageQuery) ([]api.NodeUsage, []string, error) {
	n1 := api.NodeUsage{Node: "n1", End: time.Now(), Took: 15 * time.Second, Usage: api.Usage{CPU: 5e8, Memory: 1 << 30}}
	pods, _ := f.cache.List("pods", "")
	for _, p := range pods {
		meta := p.Value()["metadata"].(map[string]any)
		notes, _ := meta["annotations"].(map[string]any)
		run, _ := notes["holon.dev/run"].(string)
		u := api.RunUsage{Run: run}
		for _, c := range p.Value()["spec"].(map[string]any)["containers"].([]any) {
			name := c.(map[string]any)["name"].(string)
			u.Containers = append(u.Containers, api.ContainerUsage{Name: name, Usage: api.Usage{CPU: 25e7, Memory: 8 << 20}})
		}
		n1.Runs = append(n1.Runs, u)
	}
	return []api.NodeUsage{n1}, []string{"n3"}, nil
}

// Attach is what no command asks for.
func (f *fakeNode) Attach(context.Context, string, string, string, api.Stream) error {
	return api.ErrInvalid
}

// Events returns what the test has put there.
func (f *fakeNode) Events(context.Context, string) ([]map[string]any, []string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.events) == 0 {
		f.events = []map[string]any{f.object("Event", "v1", "default", "web.1", map[string]any{
			"involvedObject": map[string]any{"kind": "Deployment", "namespace": "default", "name": "web"},
			"type":           "Normal", "reason": "Scheduled", "message": "2 slots placed", "count": int64(1),
			"lastTimestamp": time.Now().UTC().Format(time.RFC3339),
		})}
	}
	return f.events, []string{"n2"}, nil
}

// Why explains everything the same way.
func (f *fakeNode) Why(_ context.Context, k api.Key) (api.Why, error) {
	if _, there := f.cache.Get(k); !there {
		return api.Why{}, api.ErrNotFound
	}
	return api.Why{
		Kind: "Deployment", Namespace: k.Namespace, Name: k.Name, Node: "n1", Scheduler: "n1", Standbys: []string{"n2"}, Majority: true,
		Slots:   []api.WhySlot{{Index: 0, Home: "n1", Term: 1, Runs: []string{k.Name + "-pod0 on n1: Running"}, Reasons: []string{"n2 is not Ready"}}},
		Reasons: []string{"all slots run"},
	}, nil
}

// Status is a view of two nodes.
func (f *fakeNode) Unheard() []api.Unheard { return nil }

func (f *fakeNode) ClusterTime() (time.Time, bool) { return time.Now(), true }

func (f *fakeNode) Status(context.Context) (api.ClusterStatus, error) {
	return api.ClusterStatus{
		Cluster: "testers", Node: "n1", Peer: "12D3", Runtime: "process", Majority: true, Counted: 3, Reached: 2, Records: 4,
		Sentences: []string{"n2 is unreachable"},
		Members:   []api.MemberInfo{{Name: "n1", Peer: "12D3", State: "alive", Server: f.server}, {Name: "n2", Peer: "12D4", State: "unreachable", Since: "5s"}},
	}, nil
}

// CreateToken, Tokens and RevokeToken keep a list.
func (f *fakeNode) Open(o api.Object) (api.Object, error) { return o, nil }

func (f *fakeNode) RotateDataKey(context.Context) (string, error) { return "00112233445566aa", nil }

func (f *fakeNode) DataKeys(context.Context) ([]api.DataKeyInfo, error) {
	return []api.DataKeyInfo{{ID: "00112233445566aa", Newest: true, Here: true, Lacking: []string{"n3"}, Sealed: 2}}, nil
}

func (f *fakeNode) CreateToken(_ context.Context, uses int, ttl time.Duration) (string, api.TokenInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info := api.TokenInfo{ID: fmt.Sprintf("id%d", len(f.tokens)+1), UsesLeft: uses, Expires: ttl.String(), Issuer: "n1"}
	f.tokens = append(f.tokens, info)
	return "holon1-secret-" + info.ID, info, nil
}

// Tokens lists the tokens.
func (f *fakeNode) Tokens(context.Context) ([]api.TokenInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tokens, nil
}

// RevokeToken marks a token.
func (f *fakeNode) RevokeToken(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tokens {
		if f.tokens[i].ID == id {
			f.tokens[i].Revoked = true
			return nil
		}
	}
	return api.ErrNotFound
}

// Images are two, one of which has two names; n3 never answers.
func (f *fakeNode) Images(_ context.Context, node string) (api.ImageList, error) {
	list := api.ImageList{Silent: []string{"n3"}, Items: []api.ImageInfo{
		{ID: strings.Repeat("0a", 32), Names: []string{}, Size: 1200, Nodes: []string{"n2"}},
		{ID: strings.Repeat("1b", 32), Names: []string{"localhost/shop:1", "localhost/shop:latest"}, Size: 120_000_000, Nodes: []string{"n1", "n2"}},
	}}
	switch node {
	case "":
	case "n1":
		list = api.ImageList{Silent: []string{}, Items: list.Items[1:]}
	case "n2":
		list = api.ImageList{Silent: []string{}, Items: []api.ImageInfo{}}
	default:
		return list, fmt.Errorf("%w: there is no such node", api.ErrNotFound)
	}
	return list, nil
}

// LoadImage takes any archive that arrives whole for an image of its first word.
func (f *fakeNode) LoadImage(_ context.Context, archive io.Reader, sum func() string, progress func(string)) ([]api.ImageInfo, error) {
	data, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	if digest := fmt.Sprintf("%x", sha256.Sum256(data)); sum() != digest {
		return nil, fmt.Errorf("%w: sent with %q, and %s came", api.ErrInvalid, sum(), digest)
	}
	progress("n1 unpacks it")
	words := strings.Fields(string(data))
	if len(words) == 0 {
		return nil, errors.New("this is no archive of an image")
	}
	return []api.ImageInfo{{ID: strings.Repeat("2c", 32), Names: words[:1], Size: int64(len(data)), Nodes: []string{"n1"}}}, nil
}

// CopyImage works but for n2.
func (f *fakeNode) CopyImage(_ context.Context, c api.ImageCopy, progress func(string)) error {
	progress(fmt.Sprintf("%s %.4s to %v", c.Name, c.ID, c.Nodes))
	if c.Name == "nowhere:1" {
		return errors.New("image nowhere:1: no live node has it")
	}
	if slices.Contains(c.Nodes, "n2") {
		return errors.New("not copied to n2: it has no room")
	}
	return nil
}

// Snapshot writes the stored objects as a node would, each born by a write of its
// own. With a ConfigMap named "broken" it breaks off in the middle.
func (f *fakeNode) Snapshot(_ context.Context, w io.Writer) error {
	out, err := snapshot.NewWriter(w, snapshot.Header{Cluster: "testers", Node: "n1", Replica: fakeReplica, Taken: "2026-01-02T03:04:05Z", Version: "test"})
	if err != nil {
		return err
	}
	records := map[string]*crdt.Record{}
	for i, o := range f.stored() {
		records[string(state.MakeKey(o.Resource, o.Namespace, o.Name))], err = fakeRecord(uint64(i+1), o.Value())
		if err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := out.Add(key, records[key].Encode()); err != nil {
			return err
		}
	}
	if _, broken := f.cache.Get(api.Key{Resource: "configmaps", Namespace: "default", Name: "broken"}); broken {
		return fmt.Errorf("the fake disk is gone")
	}
	_, err = out.Close()
	return err
}

// keep writes a copy for a Snapshot on n1; any other node refuses one. What is said of that of
// "rotten" is wrong.
func (f *fakeNode) keep(uid, name string, value map[string]any) (status map[string]any, err error) {
	var file bytes.Buffer
	if err := f.Snapshot(context.Background(), &file); err != nil {
		return nil, err
	}
	if f.kept == nil {
		f.kept = map[string][]byte{}
	}
	f.kept[uid] = file.Bytes()
	sum := fmt.Sprintf("%x", f.kept[uid][file.Len()-32:])
	if name == "rotten" {
		sum = strings.Repeat("0", len(sum))
	}
	spec, _ := value["spec"].(map[string]any)
	nodes, _ := spec["nodes"].([]any)
	phase, copies := "Kept", []any{}
	for _, node := range append(nodes, "n1") {
		item := map[string]any{"node": node, "state": "Kept", "bytes": int64(file.Len()), "objects": int64(3), "sha256": sum, "takenAt": "2026-01-02T03:04:05Z"}
		if node != "n1" {
			phase, item = "Partial", map[string]any{"node": node, "state": "Refused", "message": "no room"}
		}
		copies = append(copies, item)
	}
	return map[string]any{"phase": phase, "copies": copies}, nil
}

// SnapshotData is a copy that n1 keeps.
func (f *fakeNode) SnapshotData(_ context.Context, q api.SnapshotQuery, w io.Writer) error {
	f.mu.Lock()
	file := f.kept[q.UID]
	f.mu.Unlock()
	_, err := w.Write(file)
	return err
}

var fakeReplica = crdt.ReplicaID{7}

// stored lists what is no face of something else.
func (f *fakeNode) stored() []api.Object {
	var all []api.Object
	for _, resource := range []string{"namespaces", "configmaps", "deployments.apps"} {
		objects, _ := f.cache.List(resource, "")
		all = append(all, slices.DeleteFunc(objects, func(o api.Object) bool { return o.Name == "kube-root-ca.crt" })...) // given, not stored
	}
	return all
}

func fakeRecord(i uint64, value map[string]any) (*crdt.Record, error) {
	stored := maps.Clone(value)
	meta := maps.Clone(stored["metadata"].(map[string]any))
	for _, field := range []string{"name", "namespace", "uid", "generation"} {
		delete(meta, field)
	}
	stored["metadata"] = meta
	for _, field := range []string{"apiVersion", "kind", "status"} {
		delete(stored, field)
	}
	registers, err := state.Flatten(stored)
	if err != nil {
		return nil, err
	}
	w := crdt.Write{Dot: crdt.Dot{Replica: fakeReplica, Counter: i}, Stamp: crdt.Stamp{Time: i, Replica: fakeReplica}}
	return (*crdt.Record)(nil).Set(crdt.UID{byte(i), byte(i >> 8)}, w, registers)
}

// Conflicts are those of a Deployment and of a Node.
func (f *fakeNode) Conflicts(context.Context) ([]api.ConflictSpec, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.conflicts), nil
}

func seedConflicts() []api.ConflictSpec {
	web := api.ConflictSpec{Kind: "Deployment", Resource: "deployments.apps", Namespace: "default", Name: "web"}
	replicas, image, whole := web, web, web
	replicas.Field, replicas.Winner = "spec.replicas", api.Version{Value: []byte("3"), Node: "n1"}
	replicas.Losers = []api.Version{{Value: []byte("4"), Node: "n2"}, {Value: []byte("5"), Node: "n3"}}
	image.Field, image.Winner = "spec.template.spec.containers[name=web].image", api.Version{Value: []byte(`"web:1"`), Node: "n1"}
	image.Losers = []api.Version{{Node: "n2"}}
	whole.Field, whole.Winner = "object 0a1b2c3d", api.Version{Value: []byte(`{"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}}}}`), Node: "n1"}
	whole.Losers = []api.Version{{Value: []byte(`{}`), Node: "n2"}}
	node := api.ConflictSpec{
		Kind: "Node", Resource: "nodes", Name: "n1", Field: "spec.unschedulable",
		Winner: api.Version{Value: []byte("true"), Node: "n1"}, Losers: []api.Version{{Value: []byte("false"), Node: "n2"}},
	}
	return []api.ConflictSpec{node, whole, replicas, image}
}

// Settle removes a conflict; values beyond the losers are not there.
func (f *fakeNode) Settle(_ context.Context, k api.Key, field string, loser int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.conflicts {
		if c.Resource == k.Resource && c.Namespace == k.Namespace && c.Name == k.Name && c.Field == field && loser < len(c.Losers) {
			f.conflicts = slices.Delete(f.conflicts, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("%w: no conflict at %s", api.ErrNotFound, field)
}

// Compact needs consent.
func (f *fakeNode) Compact(_ context.Context, _ api.Key, recreate bool) (string, error) {
	if !recreate {
		return "", fmt.Errorf("%w: 5 registers are of removed fields; --recreate frees them", api.ErrInvalid)
	}
	return "uid-new", nil
}

// Leave and Drain say two things.
func (f *fakeNode) Leave(_ context.Context, progress func(string)) error {
	progress("moving 1 pod")
	return nil
}

// EvictMember knows n2, which is gone, and sees no majority.
func (f *fakeNode) EvictMember(_ context.Context, member string, e api.MemberEviction) error {
	switch {
	case member != "n2":
		return api.ErrNotFound
	case e.Gone && !e.Force:
		return fmt.Errorf("%w: half of the members that count or fewer are in reach here", api.ErrInvalid)
	}
	return nil
}

// ConfirmSync has nothing to confirm.
func (f *fakeNode) ConfirmSync(context.Context, func(string)) error {
	return fmt.Errorf("no sync of this node waits for a confirmation")
}

// Drain fails, so that scripts see how that is told.
func (f *fakeNode) Drain(_ context.Context, progress func(string)) error {
	progress("stopping 2 pods")
	return fmt.Errorf("web-pod0 has nowhere to go")
}

// Volumes has one of each state.
func (f *fakeNode) Volumes(context.Context) (api.VolumeList, error) {
	return api.VolumeList{Missing: []string{"n3"}, Items: []api.VolumeInfo{
		{Node: "n1", Volume: "pvc-1", State: "bound", Namespace: "default", Claim: "data", Bytes: 2048, InUse: true},
		{Node: "n3", Volume: "pvc-2", State: "node unreachable", Namespace: "default", Claim: "store-db-0", Bytes: -1},
		{Node: "n2", Volume: "pvc-3", State: "unused", Bytes: 5 << 30},
	}}, nil
}

func (f *fakeNode) AbandonVolume(_ context.Context, namespace, claim string, force bool) error {
	switch {
	case namespace != "default" || claim != "data" && claim != "store-db-0":
		return api.ErrNotFound
	case claim == "data" && !force:
		return fmt.Errorf("%w: n1, which has its data, is in reach; with --force its data is given up nevertheless", api.ErrStays)
	}
	return nil
}

func (f *fakeNode) RemoveVolume(_ context.Context, node, volume string) error {
	switch {
	case node+"/"+volume == "n1/pvc-1":
		return fmt.Errorf("%w: it has the data of default/data", api.ErrStays)
	case node+"/"+volume != "n2/pvc-3":
		return api.ErrNotFound
	}
	return nil
}
