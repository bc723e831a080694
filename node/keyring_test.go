package node

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/p2p"
)

// newestOf is the data key that a node seals with now.
func (m *member) newestOf() seal.ID {
	key, _ := m.keys.newest()
	return key.ID()
}

func (c *cluster) agreeOnKeys(n int) {
	c.t.Helper()
	c.await("every node has all data keys and agrees on the newest", func() bool {
		return !slices.ContainsFunc(c.nodes, func(m *member) bool {
			return len(m.keys.bytes()) != n || m.newestOf() != c.nodes[0].newestOf()
		})
	})
}

func (c *cluster) split(minority int) {
	var a, b []p2p.PeerID
	for i, m := range c.nodes {
		if i < minority {
			a = append(a, m.id.Peer())
		} else {
			b = append(b, m.id.Peer())
		}
	}
	c.net.Partition(a, b)
	time.Sleep(5 * time.Second)
}

// TestRotationOnBothSidesOfASplit: each side goes on with its own key, and after
// the heal everybody reads everything and goes on with one of the two.
func TestRotationOnBothSidesOfASplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		one, three := c.nodes[0], c.nodes[2]
		if err := one.create(state.Secrets, "s", secret(map[string]string{"a": "0", "b": "0"})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "a", "0")
		c.split(1)
		for i, m := range []*member{one, three} {
			if _, err := m.RotateDataKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := m.write("s", []string{"a", "b"}[i], planted); err != nil {
				t.Fatal(err)
			}
		}
		if one.newestOf() == three.newestOf() {
			t.Error("both sides made one key")
		}
		if got, err := one.read("s", "a"); err != nil || got != planted {
			t.Errorf("n1 reads %q, %v", got, err)
		}
		c.net.Heal()
		c.everyoneReads("s", "a", planted)
		c.everyoneReads("s", "b", planted)
		c.agreeOnKeys(3)
		c.await("all is sealed with the newest key", func() bool {
			o, _ := one.cfg.Cache.Get(secretNamed("s"))
			return len(keysIn(o)) == 1 && keysIn(o)[one.newestOf()]
		})
		c.everyoneReads("s", "a", planted)
		infos, err := three.DataKeys(t.Context())
		if err != nil || len(infos) != 3 || infos[2].Sealed != 1 || !infos[2].Newest || infos[0].Sealed+infos[1].Sealed != 0 || infos[1].Lacking != nil {
			t.Errorf("keys: %+v, %v", infos, err)
		}
		if found := c.leaks(); len(found) > 0 {
			t.Errorf("the secret can be read in %q", found)
		}
	})
}

// TestNothingIsSealedAnewDuringASplit: a re-seal is a write, and would undo an
// edit on the other side that happens to lose against it.
func TestNothingIsSealedAnewDuringASplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		one, three := c.nodes[0], c.nodes[2]
		if err := one.create(state.Secrets, "s", secret(map[string]string{"a": "0"})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "a", "0")
		c.split(1)
		for range 5 { // so that what is written there later has the greater stamp
			if _, err := three.RotateDataKey(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := one.write("s", "a", "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		o, _ := three.cfg.Cache.Get(secretNamed("s"))
		if keysIn(o)[three.newestOf()] {
			t.Error("the secret was sealed anew while a member was out of reach")
		}
		c.net.Heal()
		c.everyoneReads("s", "a", "1")
		c.await("all is sealed with the newest key", func() bool {
			o, _ := one.cfg.Cache.Get(secretNamed("s"))
			return len(keysIn(o)) == 1 && keysIn(o)[one.newestOf()]
		})
		c.everyoneReads("s", "a", "1")
	})
}

// TestAMemberThatLeavesKnowsNoLaterKey: the others rotate by themselves, once.
func TestAMemberThatLeavesKnowsNoLaterKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.await("the first key is wrapped for all", func() bool {
			infos, _ := c.nodes[0].DataKeys(t.Context())
			return len(infos) == 1 && infos[0].Lacking == nil
		})
		if err := c.nodes[2].Leave(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		gone := c.nodes[2]
		c.nodes = c.nodes[:2]
		c.agreeOnKeys(2)
		if err := c.nodes[1].create(state.Secrets, "s", secret(map[string]string{"a": planted})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "a", planted)
		o, _ := c.nodes[0].cfg.Cache.Get(secretNamed("s"))
		if _, err := state.OpenObject(state.MakeKey(o.Resource, o.Namespace, o.Name), uidOf(o), o.Value(), gone.keys.find); !isLocked(err) {
			t.Errorf("with the keys of the one that left: %v", err)
		}
		key := c.nodes[0].newestOf()
		c.nodes[0].keys.mu.Lock()
		_, wrapped := c.nodes[0].keys.known[key].wrapped[string(gone.id.Peer())]
		c.nodes[0].keys.mu.Unlock()
		if wrapped {
			t.Error("the new key is wrapped for the one that left")
		}
		time.Sleep(time.Minute)
		c.agreeOnKeys(2)
		c.nodes = append(c.nodes, gone) // to be ended
	})
}

func isLocked(err error) bool {
	var locked *seal.LockedError
	return errors.As(err, &locked)
}

// TestTheFirstKeyOfAnOlderCluster: where nobody has a key, one is made; a write
// before that is refused, not stored in the clear.
func TestTheFirstKeyOfAnOlderCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		for _, m := range c.nodes {
			m.down()
			m.id.DataKeys = nil
			for key := range m.disk.pairs {
				if strings.HasPrefix(key, "r/"+state.DataKeys) {
					delete(m.disk.pairs, key)
				}
			}
			delete(m.disk.pairs, "m/context")
		}
		for _, m := range c.nodes {
			m.up()
		}
		if err := c.nodes[0].create(state.Secrets, "s", secret(map[string]string{"a": planted})); !errors.Is(err, api.ErrSealed) {
			t.Errorf("a secret without any key: %v", err)
		}
		c.await("a key is made", func() bool { return len(c.nodes[0].keys.bytes()) > 0 })
		c.agreeOnKeys(len(c.nodes[0].keys.bytes()))
		if err := c.nodes[0].create(state.Secrets, "s", secret(map[string]string{"a": planted})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "a", planted)
	})
}

// TestAMissingKey: who lacks a key says which and what to do, keeps the object,
// and lets nobody overwrite it.
func TestAMissingKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		n, other := c.nodes[0], c.nodes[1]
		if err := other.create(state.Secrets, "s", secret(map[string]string{"password": planted})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "password", planted)
		c.await("n1 has heard all there is of the key", func() bool {
			infos, _ := n.DataKeys(t.Context())
			return len(infos) == 1 && infos[0].Lacking == nil
		})
		time.Sleep(5 * time.Second)
		n.keys.mu.Lock()
		lost := n.keys.held
		n.keys.held = map[seal.ID]seal.Key{}
		n.keys.mu.Unlock()
		_, err := n.read("s", "password")
		if !errors.Is(err, api.ErrSealed) || !isLocked(err) || !strings.Contains(err.Error(), other.newestOf().String()) || !strings.Contains(err.Error(), "identity.json") {
			t.Errorf("reading without the key: %v", err)
		}
		if err := n.write("s", "password", "other"); !errors.Is(err, api.ErrSealed) {
			t.Errorf("writing without the key: %v", err)
		}
		if err := n.create(state.Deployments, "web", secretPod()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		for _, spec := range n.ordered() {
			t.Errorf("a pod started without its secret: %+v", spec)
		}
		n.keys.mu.Lock()
		n.keys.held = lost
		n.keys.mu.Unlock()
		c.await("the pods run once the key is back", func() bool { return len(n.readyPods()) == 2 })
		c.everyoneReads("s", "password", planted)
	})
}

// TestADatabaseLostKeepsTheKeys: identity.json has them.
func TestADatabaseLostKeepsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		m := c.nodes[1]
		m.cfg.SaveDataKeys = func(keys [][]byte) error { m.id.DataKeys = keys; return nil }
		if _, err := c.nodes[0].RotateDataKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.agreeOnKeys(2)
		if err := c.nodes[0].create(state.Secrets, "s", secret(map[string]string{"a": planted})); err != nil {
			t.Fatal(err)
		}
		c.everyoneReads("s", "a", planted)
		m.down()
		m.disk.pairs = map[string][]byte{}
		m.up()
		if len(m.keys.bytes()) != 2 {
			t.Errorf("%d keys are left of 2", len(m.keys.bytes()))
		}
		c.everyoneReads("s", "a", planted)
	})
}

// TestWritingTheSameAgain changes nothing, though it is sealed anew.
func TestWritingTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		if err := n.create(state.Secrets, "s", secret(map[string]string{"a": planted, "b": "x"})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		record := "r/" + string(state.MakeKey(state.Secrets, "default", "s"))
		before := n.disk.value(record)
		if err := n.write("s", "a", planted); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !bytes.Equal(before, n.disk.value(record)) {
			t.Error("writing a value again changed the record")
		}
	})
}

func TestKeyDuty(t *testing.T) {
	k, err := newKeyring([][]byte{bytes.Repeat([]byte{1}, seal.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	members := []p2p.PeerID{"a", "b"}
	first := k.order[0]
	if d := k.duty(members); d.rotate != "" || !slices.Equal(d.wrap[first], members) {
		t.Errorf("a key that no record knows: %+v", d)
	}
	k.known[first] = knownKey{wrapped: map[string][]byte{"a": nil, "b": nil, "c": nil}}
	if d := k.duty(members); !d.none() {
		t.Errorf("all is done: %+v", d)
	}
	k.left["c"] = true
	if d := k.duty(members); !strings.Contains(d.rotate, "has left") {
		t.Errorf("one that has left knows the key: %+v", d)
	}
	second := seal.Key{2}
	later := knownKey{wrapped: map[string][]byte{"a": nil}}
	later.born.Time = 5
	k.known[second.ID()] = later
	if d := k.duty(members); !d.none() {
		t.Errorf("a newer key without it, not at hand: %+v", d)
	}
	k.hold(second)
	if d := k.duty(members); d.rotate != "" || !slices.Equal(d.wrap[second.ID()], members[1:]) {
		t.Errorf("at hand, and one member lacks it: %+v", d)
	}
	none, err := newKeyring(nil)
	if err != nil || none.duty(members).rotate == "" {
		t.Errorf("no key at all: %+v, %v", none.duty(members), err)
	}
	if _, err := newKeyring([][]byte{{1, 2}}); err == nil {
		t.Error("a key of two bytes is taken")
	}
}
