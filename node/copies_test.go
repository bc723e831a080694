package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

const roomForCopies = 1 << 30

func roomy(m *member) { m.free.Store(roomForCopies) }

// snapshotShown is a Snapshot as a node shows it: its UID, and what each node says.
func (m *member) snapshotShown(name string) (uid, phase string, said map[string]string) {
	o, ok := m.cfg.Cache.Get(api.Key{Resource: state.Snapshots, Name: name})
	if !ok {
		return "", "", nil
	}
	value, said := o.Value(), map[string]string{}
	status, _ := value["status"].(map[string]any)
	for _, c := range list(status["copies"]) {
		said[fmt.Sprint(c["node"])] = fmt.Sprintf("%v %v %v", c["state"], c["sha256"], c["message"])
	}
	return fmt.Sprint(value["metadata"].(map[string]any)["uid"]), fmt.Sprint(status["phase"]), said
}

func (m *member) askForCopies(name string) {
	m.c.t.Helper()
	_, err := m.Mutate(m.c.t.Context(), api.Mutation{Key: api.Key{Resource: state.Snapshots, Name: name}, New: map[string]any{"spec": map[string]any{}}})
	if err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) forgetCopies(name string) {
	m.c.t.Helper()
	uid, _, _ := m.snapshotShown(name)
	if _, err := m.Mutate(m.c.t.Context(), api.Mutation{Key: api.Key{Resource: state.Snapshots, Name: name}, UID: uid}); err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) copies() (names []string) {
	found, err := filepath.Glob(filepath.Join(m.dir, SnapshotsDir, "*"))
	if err != nil {
		m.c.t.Fatal(err)
	}
	return found
}

// Every node keeps a copy, any node hands on that of another one, and they go with the object,
// also on a node that was away when it was deleted.
func TestEveryNodeKeepsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 2, roomy)
		first, second := c.nodes[0], c.nodes[1]
		if err := first.create(state.ConfigMaps, "c", configMap("v")); err != nil {
			t.Fatal(err)
		}
		first.askForCopies("s")
		for _, m := range c.nodes {
			c.await("both copies are shown on "+m.id.Name, func() bool { _, phase, said := m.snapshotShown("s"); return phase == "Kept" && len(said) == 2 })
		}
		uid, _, said := first.snapshotShown("s")
		want, err := os.ReadFile(filepath.Join(second.dir, SnapshotsDir, uid+".snap"))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		q := api.SnapshotQuery{Name: "s", UID: uid, Nodes: []string{"n2"}, Actor: api.Owner}
		if err := first.SnapshotData(t.Context(), q, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("n1 hands on %d bytes of %d that n2 has: %v", got.Len(), len(want), err)
		}
		header, all := records(t, want)
		if header.UID != uid || header.Node != "n2" || header.Objects < 2 || all[state.MakeKey(state.ConfigMaps, "default", "c")].Live() == nil || all[state.MakeKey(state.Snapshots, "", "s")].Live() == nil {
			t.Errorf("the copy is of %q by %q, with %d objects, and holds %d records", header.UID, header.Node, header.Objects, len(all))
		}
		if info, err := os.Stat(second.copies()[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		q.Actor = api.Actor{User: "ann"}
		if err := first.SnapshotData(t.Context(), q, &got); !errors.Is(err, api.ErrDenied) {
			t.Errorf("n2 lets somebody without rights read its copy: %v", err)
		}

		// What a crash leaves goes, a copy stays what it was, and goes when its turn comes.
		second.down()
		leftover := filepath.Join(second.dir, SnapshotsDir, "."+uid+".snap-123")
		if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		second.up()
		c.await("n2 tells of the same copy", func() bool { _, _, now := second.snapshotShown("s"); return now["n2"] == said["n2"] })
		if left := second.copies(); len(left) != 1 {
			t.Errorf("n2 has %q", left)
		}
		second.down()
		first.forgetCopies("s")
		c.await("n1 has removed its copy", func() bool { return len(first.copies()) == 0 })
		if left := second.copies(); len(left) != 1 {
			t.Errorf("n2, which is down, has %q", left)
		}
		second.up()
		c.await("n2 has removed its copy", func() bool { return len(second.copies()) == 0 })
		q.Actor = api.Owner
		if err := first.SnapshotData(t.Context(), q, &got); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("a copy that is gone: %v", err)
		}
		c.close()
	})
}

// A node without room refuses in words, and writes the copy once it has some.
func TestACopyNeedsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 1, func(m *member) { m.free.Store(copyReserve) })
		defer c.close()
		n := c.nodes[0]
		n.askForCopies("s")
		c.await("it is refused", func() bool {
			_, phase, said := n.snapshotShown("s")
			return phase == "Failed" && strings.Contains(said["n1"], "Refused") && strings.Contains(said["n1"], "of them stay free")
		})
		if left := n.copies(); len(left) != 0 {
			t.Errorf("there is %q", left)
		}
		n.free.Store(roomForCopies)
		c.await("it is kept", func() bool { _, phase, _ := n.snapshotShown("s"); return phase == "Kept" })
	})
}

// A file that does not read stays, is said to be damaged, and goes with its object.
func TestADamagedCopyIsSaidToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 1, roomy)
		defer c.close()
		n := c.nodes[0]
		n.askForCopies("s")
		c.await("it is kept", func() bool { _, phase, _ := n.snapshotShown("s"); return phase == "Kept" })
		n.down()
		if err := os.Truncate(n.copies()[0], 5); err != nil {
			t.Fatal(err)
		}
		n.up()
		c.await("it is said to be damaged", func() bool {
			_, phase, said := n.snapshotShown("s")
			return phase == "Failed" && strings.Contains(said["n1"], "does not read")
		})
		if left := n.copies(); len(left) != 1 {
			t.Errorf("there is %q", left)
		}
		n.forgetCopies("s")
		c.await("it is gone", func() bool { return len(n.copies()) == 0 })
	})
}

// What nobody will ask for is said to the operator, once per node.
func TestStrayCopiesAreSaid(t *testing.T) {
	v := &core.View{Strays: []core.StrayCopy{{Node: "n1", UID: crdt.UID{1}}, {Node: "n1", UID: crdt.UID{2}}, {Node: "n3", UID: crdt.UID{3}}}}
	said := strayCopies(v)
	if len(said) != 2 || !strings.HasPrefix(said[0], "n1 keeps ") || !strings.Contains(said[0], ": 2 in snapshots/ ") || !strings.Contains(said[0], " 01000000-0000-0000-0000-000000000000.snap") || !strings.HasPrefix(said[1], "n3 keeps ") {
		t.Errorf("%q", said)
	}
}
