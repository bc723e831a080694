package node

import (
	"bytes"
	"context"
	"encoding/base64"
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
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/crdt/state"
	"holon/node/api"
	"holon/runtime/runtimetest"
)

// records reads a snapshot that has to be whole.
func records(t rapid.TB, file []byte) (snapshot.Header, map[state.Key]*crdt.Record) {
	t.Helper()
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	all := map[state.Key]*crdt.Record{}
	for {
		key, encoded, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[state.Key(key)], err = crdt.Decode(encoded); err != nil {
			t.Fatal(err)
		}
	}
}

func configMap(text string) map[string]any { return map[string]any{"data": map[string]any{"k": text}} }

// TestASnapshotHasWhatWasAcknowledged, while writes go on: all that was
// acknowledged before it began, and of what came later nothing without what came
// before it, as each write waits for the one before.
func TestASnapshotHasWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		acknowledged := 0
		var writers sync.WaitGroup
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := n.create(state.ConfigMaps, fmt.Sprintf("c%04d", i), configMap("v")); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = i + 1
				mu.Unlock()
			}
		})
		for range 20 {
			time.Sleep(17 * time.Millisecond)
			mu.Lock()
			before := acknowledged
			mu.Unlock()
			var file bytes.Buffer
			if err := n.Snapshot(t.Context(), &file); err != nil {
				t.Fatal(err)
			}
			header, all := records(t, file.Bytes())
			covered, err := crdt.DecodeContext(header.Context)
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			for key, rec := range all {
				if key.Resource() == state.ConfigMaps {
					count++
				}
				if !covered.CoversVector(rec.Vector) {
					t.Errorf("the context of the snapshot lacks writes of %s", key)
				}
			}
			for i := range count {
				if all[state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("c%04d", i))] == nil {
					t.Errorf("%d objects are there, but not c%04d", count, i)
				}
			}
			if count < before {
				t.Errorf("%d objects, %d had been acknowledged", count, before)
			}
			if header.Cluster != testCluster || header.Node != "n1" || header.Replica != n.cfg.Core.Replica {
				t.Errorf("header %+v", header)
			}
		}
		stop()
		writers.Wait()
		if acknowledged < 20 {
			t.Errorf("only %d writes meanwhile", acknowledged)
		}
	})
}

// stuck is a client that takes nothing.
type stuck struct{ until chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.until
	return len(p), nil
}

// TestSlowClientsHoldLittle: at most copiesMax snapshots at once, and none of them
// keeps the node from working.
func TestSlowClientsHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		until := make(chan struct{})
		var clients sync.WaitGroup
		for range copiesMax {
			clients.Go(func() {
				if err := n.Snapshot(t.Context(), stuck{until}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := n.Snapshot(t.Context(), io.Discard); !errors.Is(err, api.ErrBusy) {
			t.Errorf("one more: %v, want ErrBusy", err)
		}
		if err := n.create(state.ConfigMaps, "a", configMap("v")); err != nil {
			t.Error(err)
		}
		close(until)
		clients.Wait()
		if err := n.Snapshot(t.Context(), io.Discard); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// restore makes the store of a new cluster out of records.
func restore(t rapid.TB, all map[state.Key]*crdt.Record) (Identity, *memory, int) {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	id, err := Found("r1", key, true)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "restore")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	disk := &memory{pairs: map[string][]byte{}}
	r, err := NewRestorer(disk, dir, id, SecretKeys{})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		ok, err := r.Add(key, all[key])
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			made++
		}
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	return id, disk, made
}

// stored decodes the records of a disk.
func stored(t rapid.TB, disk *memory) map[state.Key]*crdt.Record {
	t.Helper()
	all := map[state.Key]*crdt.Record{}
	err := disk.Load("r/", func(key string, value []byte) (err error) {
		all[state.Key(strings.TrimPrefix(key, "r/"))], err = crdt.Decode(value)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRestoredObjectsAreNew: a new cluster has exactly the live objects of the old
// one, with their contents, and not one dot, UID or record of bookkeeping of it.
func TestRestoredObjectsAreNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawRecords(t)
		_, disk, made := restore(t, old)
		now := stored(t, disk)
		uids, replicas := map[crdt.UID]bool{}, map[crdt.ReplicaID]bool{}
		want := 0
		for key, rec := range old {
			for uid := range rec.Objects {
				uids[uid] = true
			}
			for r := range rec.Vector {
				replicas[r] = true
			}
			if rec.Live() == nil || key.Internal() || key.Resource() == state.Nodes {
				continue
			}
			want++
			if now[key].Live() == nil {
				t.Fatalf("%s is gone", key)
			}
			if before, after := plainValues(t, key, rec), plainValues(t, key, now[key]); !maps.Equal(before, after) {
				t.Fatalf("%s was %v, is %v", key, before, after)
			}
		}
		if made != want {
			t.Fatalf("%d objects made, %d were alive", made, want)
		}
		for key, rec := range now {
			if _, was := old[key]; key.Internal() && (key.Resource() != state.Members || was) || key.Resource() == state.Nodes {
				t.Fatalf("%s was taken over", key)
			}
			if owner := rec.Live().Registers["/metadata/ownerReferences"].Value; owner != nil && kindKnown(key) {
				t.Fatalf("%s is owned by %s, which does not exist", key, owner)
			}
			for uid := range rec.Objects {
				if uids[uid] {
					t.Fatalf("%s has its old UID", key)
				}
			}
			for r := range rec.Vector {
				if replicas[r] {
					t.Fatalf("%s has a dot of the old cluster", key)
				}
			}
		}
	})
}

func kindKnown(key state.Key) bool {
	_, kind := state.KindOf(key.Resource())
	return kind != ""
}

// plainValues are the live values of a record, but for those that a new life has
// of its own; those of a known kind in the form in which they are written today.
func plainValues(t rapid.TB, key state.Key, rec *crdt.Record) map[string]string {
	t.Helper()
	values := map[string][]byte{}
	for path, register := range rec.Live().Registers {
		values[path] = register.Value
	}
	if kindKnown(key) {
		object, _, err := state.DecodeObject(rec)
		if err != nil {
			t.Fatal(err)
		}
		if values, err = registers(key.Resource(), object.Value); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]string{}
	for path, value := range values {
		switch {
		case value == nil, path == "/metadata/creationTimestamp", strings.HasPrefix(path, "#"),
			strings.HasPrefix(path, "/metadata/ownerReferences"), string(value) == "{}" && path == "/metadata":
		default:
			out[path] = string(value)
		}
	}
	return out
}

// drawRecords is the state of some cluster: objects of known and unknown kinds,
// tombstones, names that live a second time, bookkeeping.
func drawRecords(t *rapid.T) map[state.Key]*crdt.Record {
	kinds := []string{
		state.ConfigMaps, state.Namespaces, state.Deployments, state.Nodes, state.Slots, state.Tokens, state.Members, state.Revisions, "unheardof.example.com",
	}
	all := map[state.Key]*crdt.Record{}
	counter := uint64(0)
	write := func() crdt.Write {
		counter++
		r := crdt.ReplicaID{9, byte(rapid.IntRange(1, 3).Draw(t, "replica"))}
		return crdt.Write{Dot: crdt.Dot{Replica: r, Counter: counter}, Stamp: crdt.Stamp{Time: counter, Replica: r}}
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "records") {
		resource := rapid.SampledFrom(kinds).Draw(t, "resource")
		namespace := "default"
		if resource == state.Namespaces || resource == state.Nodes || resource == state.Members || resource == state.Tokens {
			namespace = ""
		}
		key := state.MakeKey(resource, namespace, fmt.Sprintf("o%d", i))
		if resource == state.Namespaces && rapid.Bool().Draw(t, "default") {
			key = state.MakeKey(resource, "", "default")
		}
		var rec *crdt.Record
		lives := rapid.IntRange(1, 2).Draw(t, "lives")
		for life := range lives {
			uid := crdt.UID{byte(i), byte(life), 1}
			var err error
			if rec, err = rec.Set(uid, write(), drawRegisters(t, resource)); err != nil {
				t.Fatal(err)
			}
			if life < lives-1 || rapid.IntRange(0, 3).Draw(t, "dead") == 0 {
				if rec, err = rec.Delete(uid, write()); err != nil {
					t.Fatal(err)
				}
			}
		}
		all[key] = rec
	}
	return all
}

func drawRegisters(t *rapid.T, resource string) map[string][]byte {
	out := map[string][]byte{
		"/metadata/creationTimestamp": []byte(`"2020-01-01T00:00:00Z"`), "/metadata/ownerReferences": []byte(`[{"uid":"old"}]`),
		"/metadata/labels/app": state.EncodeRegister(rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "label")),
	}
	switch resource {
	case state.Deployments:
		out["/spec/replicas"] = state.EncodeRegister(rapid.IntRange(0, 3).Draw(t, "replicas"))
		out["/spec/template/spec/containers"] = []byte(`[{"image":"web:1","name":"web"}]`)
	default:
		out["/data/k"] = state.EncodeRegister(rapid.StringN(0, 20, 60).Draw(t, "value"))
		out["/data/gone"] = nil
	}
	return out
}

// TestARestoredClusterWorks: a node boots from the restored store as a cluster of
// its own, in the majority, and runs what ran before.
func TestARestoredClusterWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.runWeb(3)
		first := c.nodes[0]
		for i := range 300 { // more than one batch
			if err := first.create(state.ConfigMaps, fmt.Sprintf("c%d", i), configMap(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		var file bytes.Buffer
		if err := first.Snapshot(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		c.close()
		_, old := records(t, file.Bytes())
		id, disk, _ := restore(t, old)
		c.nodes = []*member{{c: c, id: id, disk: disk, dir: t.TempDir(), host: runtimetest.NewSimulated(runtimetest.HostConfig{Node: "r1", StartDelay: 100 * time.Millisecond})}}
		r := c.nodes[0]
		r.up()
		defer c.close()
		if err := r.Introduce(t.Context(), false, nil); err != nil {
			t.Fatal(err)
		}
		c.await("three replicas are ready on the one node there is", func() bool { return len(r.readyPods()) == 3 })
		status, err := r.Status(t.Context())
		if err != nil || !status.Majority || len(status.Members) != 1 || status.Cluster == testCluster {
			t.Errorf("status %+v, %v", status, err)
		}
		for i := range 300 {
			o, there := r.cfg.Cache.Get(api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: fmt.Sprintf("c%d", i)})
			if data, _ := o.Value()["data"].(map[string]any); !there || data["k"] != fmt.Sprint(i) {
				t.Fatalf("c%d is %v", i, o.Value())
			}
		}
	})
}

// TestSecretsComeBackWithTheirKeys: a Secret of a snapshot is sealed for a UID that
// the new cluster does not have, under a key that it does not have either.
func TestSecretsComeBackWithTheirKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		n := c.nodes[0]
		if err := n.create(state.Secrets, "s", secret(map[string]string{"password": planted})); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := n.Snapshot(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(file.Bytes(), []byte(planted)) {
			t.Error("a snapshot holds a secret in the clear")
		}
		c.close()
		if err := n.id.Save(n.dir); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadSecretKeys(filepath.Join(n.dir, identityFile))
		if err != nil {
			t.Fatal(err)
		}
		_, old := records(t, file.Bytes())
		key := state.MakeKey(state.Secrets, "default", "s")
		for name, opens := range map[string]SecretKeys{"with": keys, "without": {}} {
			id, err := Found("r1", n.id.Key, true)
			if err != nil {
				t.Fatal(err)
			}
			disk := &memory{pairs: map[string][]byte{}}
			r, err := NewRestorer(disk, t.TempDir(), id, opens)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Add(key, old[key])
			if name == "without" {
				if !errors.Is(err, ErrLocked) {
					t.Errorf("without keys: %v", err)
				}
				continue
			}
			if err = errors.Join(err, r.Finish()); err != nil {
				t.Fatal(err)
			}
			restored, _, err := state.DecodeObject(stored(t, disk)[key])
			if err != nil {
				t.Fatal(err)
			}
			ring, err := newKeyring(id.DataKeys)
			if err != nil {
				t.Fatal(err)
			}
			value, err := SecretKeys{ring}.Open(key, restored)
			data, _ := value["data"].(map[string]any)
			if err != nil || data["password"] != base64.StdEncoding.EncodeToString([]byte(planted)) {
				t.Errorf("restored: %v, %v", data, err)
			}
			if _, err := keys.Open(key, restored); !errors.Is(err, ErrLocked) {
				t.Errorf("the old key opens the new Secret: %v", err)
			}
		}
	})
}

// TestSnapshotOfAStoppedNode is the same as that of the node when it ran, without
// the pairs that are damaged.
func TestSnapshotOfAStoppedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		n := c.nodes[0]
		for _, name := range []string{"a", "b"} {
			if err := n.create(state.ConfigMaps, name, configMap(name)); err != nil {
				t.Fatal(err)
			}
		}
		var running, stopped, broken bytes.Buffer
		if err := n.Snapshot(t.Context(), &running); err != nil {
			t.Fatal(err)
		}
		c.close()
		damaged, err := SnapshotStore(t.Context(), n.disk, n.id, "test", &stopped)
		if err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
		_, before := records(t, running.Bytes())
		header, after := records(t, stopped.Bytes())
		if header.Cluster != testCluster || header.Node != "n1" || !maps.EqualFunc(before, after, crdt.Equal) {
			t.Errorf("%+v with %d records, %d were there", header, len(after), len(before))
		}
		key := "r/" + string(state.MakeKey(state.ConfigMaps, "default", "b"))
		damaged, err = SnapshotStore(t.Context(), &damagedDisk{memory: n.disk, key: key}, Identity{}, "test", &broken)
		if err != nil || !slices.Equal(damaged, []string{key}) {
			t.Errorf("damaged %v, %v", damaged, err)
		}
		if header, rest := records(t, broken.Bytes()); len(rest) != len(before)-1 || header.Cluster != "" {
			t.Errorf("%d of %d records, of cluster %q", len(rest), len(before), header.Cluster)
		}
		if _, err := SnapshotStore(t.Context(), &memory{pairs: map[string][]byte{}}, Identity{}, "test", io.Discard); err == nil {
			t.Error("an empty database was saved")
		}
	})
}

// damagedDisk has one pair that cannot be read, and says so as crdt/badger does.
type damagedDisk struct {
	*memory
	key string
}

type damage struct{ key string }

func (d damage) Error() string         { return "damaged: " + d.key }
func (d damage) CorruptKeys() []string { return []string{d.key} }

func (d *damagedDisk) Load(prefix string, f func(string, []byte) error) error {
	err := d.memory.Load(prefix, func(key string, value []byte) error {
		if key == d.key {
			return nil
		}
		return f(key, value)
	})
	if strings.HasPrefix(d.key, prefix) {
		err = errors.Join(damage{d.key}, err)
	}
	return err
}
