package node

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/runtime"
	"holon/runtime/runtimetest"
)

const planted = "correct-horse-battery-staple"

// plaintexts are the forms in which the planted secret could be found.
var plaintexts = []string{planted, base64.StdEncoding.EncodeToString([]byte(planted))}

func secret(values map[string]string) map[string]any {
	data := map[string]any{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return map[string]any{"type": "Opaque", "data": data, "metadata": map[string]any{"annotations": map[string]any{
		"kubectl.kubernetes.io/last-applied-configuration": fmt.Sprintf(`{"data":%q}`, values),
	}}}
}

func secretNamed(name string) api.Key {
	return api.Key{Resource: state.Secrets, Namespace: "default", Name: name}
}

// read opens a Secret as a node's API does.
func (m *member) read(name, key string) (string, error) {
	o, ok := m.cfg.Cache.Get(secretNamed(name))
	if !ok {
		return "", api.ErrNotFound
	}
	o, err := m.Open(o)
	if err != nil {
		return "", err
	}
	data, _ := o.Value()["data"].(map[string]any)
	text, _ := data[key].(string)
	plain, err := base64.StdEncoding.DecodeString(text)
	return string(plain), err
}

// write changes one value of a Secret as a client does: from what it read.
func (m *member) write(name, key, value string) error {
	o, ok := m.cfg.Cache.Get(secretNamed(name))
	if !ok {
		return api.ErrNotFound
	}
	opened, err := m.Open(o)
	if err != nil {
		return err
	}
	next := copyOf(opened.Value())
	data := copyOf(next["data"].(map[string]any))
	data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	next["data"] = data
	meta, _ := o.Value()["metadata"].(map[string]any)
	_, err = m.Mutate(m.c.t.Context(), api.Mutation{Key: o.Key, UID: meta["uid"].(string), Old: opened.Value(), New: next})
	return err
}

func (c *cluster) everyoneReads(name, key, want string) {
	c.t.Helper()
	c.await(fmt.Sprintf("every node reads %s of secret %s", key, name), func() bool {
		return !slices.ContainsFunc(c.nodes, func(m *member) bool { got, err := m.read(name, key); return err != nil || got != want })
	})
}

// wiretap keeps every frame that meshes send.
type wiretap struct {
	mu     sync.Mutex
	frames [][]byte
	deaf   p2p.PeerID // loses what is sent to it; its streams go on
}

// pass reports whether a frame gets to somebody; "": to everybody.
func (w *wiretap) pass(to p2p.PeerID, frame []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, bytes.Clone(frame))
	return w.deaf == "" || to != "" && to != w.deaf
}

func (w *wiretap) deafen(who p2p.PeerID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = who
}

type tappedMesh struct {
	testMesh
	tap *wiretap
}

func (m tappedMesh) Send(to p2p.PeerID, frame []byte) {
	if m.tap.pass(to, frame) {
		m.testMesh.Send(to, frame)
	}
}

func (m tappedMesh) SendFirst(to p2p.PeerID, frame []byte) {
	if m.tap.pass(to, frame) {
		m.testMesh.SendFirst(to, frame)
	}
}

func (m tappedMesh) Broadcast(frame []byte) {
	if m.tap.pass("", frame) {
		m.testMesh.Broadcast(frame)
	}
}

// leaks says where the planted secret can be read: disks, frames, and what the
// core would put into a snapshot.
func (c *cluster) leaks() []string { return c.showing(plaintexts...) }

// showing says where one of some texts can be read.
func (c *cluster) showing(texts ...string) (found []string) {
	look := func(where string, data []byte) {
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, where)
			}
		}
	}
	for _, m := range c.nodes {
		m.disk.mu.Lock()
		for key, value := range m.disk.pairs {
			look(m.id.Name+"'s disk, "+key, value)
		}
		m.disk.mu.Unlock()
	}
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	for _, frame := range c.tap.frames {
		look("a frame", frame)
	}
	return found
}

func secretPod() map[string]any {
	ref := map[string]any{"name": "s", "key": "password"}
	d := deployment(2)
	template := d["spec"].(map[string]any)["template"].(map[string]any)
	template["spec"] = map[string]any{
		"containers": []any{map[string]any{
			"name": "app", "image": "web", "command": []any{"run"},
			"env":          []any{map[string]any{"name": "PASSWORD", "valueFrom": map[string]any{"secretKeyRef": ref}}},
			"envFrom":      []any{map[string]any{"prefix": "ALL_", "secretRef": map[string]any{"name": "s"}}},
			"volumeMounts": []any{map[string]any{"name": "v", "mountPath": "/v"}},
		}},
		"volumes": []any{
			map[string]any{"name": "v", "secret": map[string]any{"secretName": "s", "defaultMode": int64(0o440)}},
			map[string]any{"name": "p", "projected": map[string]any{"sources": []any{
				map[string]any{"downwardAPI": map[string]any{"items": []any{
					map[string]any{"path": "name", "fieldRef": map[string]any{"fieldPath": "metadata.name"}},
				}}},
				map[string]any{"secret": map[string]any{"name": "s", "items": []any{map[string]any{"key": "password", "path": "deep/word", "mode": int64(0o400)}}}},
			}}},
		},
	}
	return d
}

// TestASecretIsSealedOnItsWay: a pod gets its secret, in its environment and as a
// file, on nodes that did not take the write, and no disk and no frame shows it.
func TestASecretIsSealedOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		if err := c.nodes[1].create(state.Secrets, "s", secret(map[string]string{"password": planted})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "password", planted)
		if err := c.nodes[2].create(state.Deployments, "web", secretPod()); err != nil {
			t.Fatal(err)
		}
		c.await("two ready pods", func() bool { return len(c.nodes[0].readyPods()) == 2 })
		got := 0
		for _, m := range c.nodes {
			for _, spec := range m.ordered() {
				got++
				env := map[string]runtime.Env{}
				for _, e := range spec.Containers[0].Env {
					env[e.Name] = e
				}
				v := spec.Volumes[0]
				if env["PASSWORD"].Value != planted || env["ALL_password"].Value != planted || !env["PASSWORD"].Secret || !v.Secret ||
					string(v.Files[0].Data) != planted || v.Files[0].Path != "password" || v.Files[0].Mode != 0o440 {
					t.Errorf("%s runs %+v", m.id.Name, spec)
				}
				want := []runtime.File{{Path: "name", Data: []byte(spec.Name), Mode: 0o644}, {Path: "deep/word", Data: []byte(planted), Mode: 0o400}}
				if p := spec.Volumes[1]; !p.Secret || !reflect.DeepEqual(p.Files, want) {
					t.Errorf("%s projects %+v", m.id.Name, p)
				}
			}
		}
		if got != 2 {
			t.Errorf("%d pods were ordered, want 2", got)
		}
		time.Sleep(5 * time.Second) // anti-entropy too
		if found := c.leaks(); len(found) > 0 {
			t.Errorf("the secret can be read in %q", found)
		}
		for _, m := range c.nodes {
			if findings := state.Check(m.document()); len(findings) > 0 {
				t.Errorf("%s: %v", m.id.Name, findings)
			}
		}
	})
}

// TestFilesFollowASecret: a pod that runs sees the new value, which stays sealed on its
// way, and does not start again.
func TestFilesFollowASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		if err := c.nodes[1].create(state.Secrets, "s", secret(map[string]string{"password": "old"})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "password", "old")
		if err := c.nodes[0].create(state.Deployments, "web", secretPod()); err != nil {
			t.Fatal(err)
		}
		c.await("two ready pods", func() bool { return len(c.nodes[0].readyPods()) == 2 })
		if err := c.nodes[1].write("s", "password", planted); err != nil {
			t.Fatal(err)
		}
		c.await("all see the new value", func() bool {
			seen := 0
			for _, m := range c.nodes {
				for _, spec := range m.ordered() {
					m.host.Do(func(h *runtimetest.Host, _ time.Duration) {
						if v := h.Files(spec.ID); v != nil && string(v[0].Files[0].Data) == planted && string(v[1].Files[1].Data) == planted {
							seen++
						}
					})
				}
			}
			return seen == 2
		})
		for _, m := range c.nodes {
			for start, n := range startsOf(m) {
				if n != 1 || start.Attempt != 0 {
					t.Errorf("%s started %v %d times", m.id.Name, start, n)
				}
			}
		}
		if found := c.leaks(); len(found) > 0 {
			t.Errorf("the secret can be read in %q", found)
		}
	})
}

// TestAnUnsealedSecretIsCaught plants what the others look for: a write past the
// sealing is refused by the core, and one that got in would be seen on disks, in
// frames, and by the rules of a whole document.
func TestAnUnsealedSecretIsCaught(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		n := c.nodes[0]
		plain, err := registers(state.Secrets, secret(map[string]string{"password": planted}))
		if err != nil {
			t.Fatal(err)
		}
		op := core.Mutate{Key: state.MakeKey(state.Secrets, "default", "s"), Create: true, NewUID: crdt.UID{1}, New: plain}
		if _, err := n.ask(t.Context(), op); !errors.Is(err, seal.ErrMalformed) || strings.Contains(fmt.Sprint(err), planted) {
			t.Errorf("an unsealed write: %v", err)
		}
		op.Key = state.MakeKey(state.ConfigMaps, "default", "s") // nobody seals these
		if _, err := n.ask(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		c.await("the other node has it", func() bool { _, ok := c.nodes[1].cfg.Cache.Get(apiKey(op.Key)); return ok })
		found := strings.Join(c.leaks(), "\n")
		for _, where := range []string{"n1's disk, r/configmaps/default/s", "n2's disk, r/configmaps/default/s", "a frame"} {
			if !strings.Contains(found, where) {
				t.Errorf("planted in the clear, and not found in %s: %s", where, found)
			}
		}
		doc := n.document()
		doc[state.MakeKey(state.Secrets, "default", "s")] = doc[op.Key]
		if !slices.ContainsFunc(state.Check(doc), func(f state.Finding) bool { return f.Rule == "sealed" }) {
			t.Error("a document with a secret in the clear passes the check")
		}
	})
}
