package core

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
)

// memory is the disk of a core.
type memory map[string][]byte

func (m memory) keep(ready Ready) {
	for _, kv := range ready.Persist {
		if m[kv.Key] = kv.Value; kv.Value == nil {
			delete(m, kv.Key)
		}
	}
}

func (m memory) load(prefix string, each func(string, []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, prefix) {
			if err := each(key, m[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m memory) boot(t rapid.TB, epoch uint64) *Core {
	c, err := New(Config{Node: "n1", Peer: "p1", Cluster: "c", Replica: crdt.ReplicaID{1}, Epoch: epoch}, 1, m.load)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (m memory) aside() (count int) {
	for key := range m {
		if strings.HasPrefix(key, diskAside) {
			count++
		}
	}
	return count
}

// What was put aside stays for its time of uptime, whatever restarts there are and
// however long the node is off between them (its clock begins anew with each), and
// is gone not much later: each boot may forget what it did not save.
func TestQuarantineLastsForItsTimeOfUptime(t *testing.T) {
	const pace = 6 * time.Hour // longest time between two steps
	rapid.Check(t, func(t *rapid.T) {
		disk, up := memory{}, time.Duration(0) // up is how long the node was up since
		c := disk.boot(t, 1)
		disk.keep(c.Step(Instant(rapid.Int64Range(1, int64(90*24*time.Hour)).Draw(t, "uptime before")), Woke{}))
		c.quarantine(state.MakeKey(state.ConfigMaps, "default", "c"), []byte("record"), "a test")
		disk.keep(c.Step(c.now, Woke{}))
		for boot := uint64(2); disk.aside() > 0; boot++ {
			life := time.Duration(rapid.Int64Range(int64(time.Minute), int64(12*24*time.Hour)).Draw(t, "life"))
			for begin := c.now; c.now < begin+life; {
				step := time.Duration(rapid.Int64Range(int64(time.Minute), int64(pace)).Draw(t, "step"))
				disk.keep(c.Step(c.now+step, Woke{}))
				up += step
				if there := disk.aside() == 1; !there && up <= quarantineKept {
					t.Fatalf("it is gone after %v", up)
				} else if late := up - quarantineKept; there && late > time.Duration(boot)*(uptimeEvery+pace) {
					t.Fatalf("it is there after %v and %d boots", up, boot)
				}
			}
			c = disk.boot(t, boot)
		}
	})
}

// Beyond its bounds the oldest go first, in memory and on disk alike.
func TestQuarantineIsBounded(t *testing.T) {
	for _, c := range []struct{ count, size int }{{3, 10}, {quarantineMax + 7, 10}, {600, 40 << 10}} {
		disk := memory{}
		core := disk.boot(t, 1)
		for i := range c.count {
			core.quarantine(state.MakeKey(state.ConfigMaps, "default", "c"), bytes.Repeat([]byte{byte(i)}, c.size), "a test")
		}
		disk.keep(core.Step(2, Woke{}))
		sum, kept := 0, disk.aside()
		for key, value := range disk {
			if strings.HasPrefix(key, diskAside) {
				sum += len(value)
			}
		}
		if kept > quarantineMax || sum > quarantineBytesMax {
			t.Errorf("%d of %d things are aside, %d bytes in all", kept, c.count, sum)
		}
		if kept < min(c.count, quarantineMax) && sum+sum/kept <= quarantineBytesMax {
			t.Errorf("only %d of %d things are aside, %d bytes in all", kept, c.count, sum)
		}
		shown, again := core.quarantineView(), disk.boot(t, 2).quarantineView()
		if len(shown) != kept || len(again) != kept || shown[kept-1].Disk != again[kept-1].Disk || !strings.HasPrefix(shown[kept-1].Disk, fmt.Sprintf("%016x%08x", 1, c.count)) {
			t.Errorf("%d things are on disk, %d shown, %d after another boot, the last: %+v", kept, len(shown), len(again), shown[kept-1])
		}
	}
}
