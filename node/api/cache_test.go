package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func thing(namespace, name, uid string, data any) Object {
	return Object{
		Key:    Key{Resource: "things", Namespace: namespace, Name: name},
		Source: Decoded{"metadata": map[string]any{"name": name, "namespace": namespace, "uid": uid}, "data": data},
	}
}

func TestVersionsAreTaggedAndOnlyRise(t *testing.T) {
	c := NewCache(0xabcde, 41, nil)
	last := c.RV()
	for i := range 5 {
		check(t, c.Apply([]Object{thing("a", "x", "1", int64(i))}, nil))
		rv := c.RV()
		if rv <= last || rv&rvTagMask != 0xabcde || rv>>63 != 0 {
			t.Fatalf("resourceVersion %d after %d", rv, last)
		}
		last = rv
	}
	if last>>rvTagBits != 46 {
		t.Errorf("counter is %d, want 46", last>>rvTagBits)
	}
}

func TestAnEqualObjectIsNoChange(t *testing.T) {
	c := NewCache(1, 1, nil)
	check(t, c.Apply([]Object{thing("a", "x", "1", "v")}, nil))
	rv := c.RV()
	w, err := c.Watch(t.Context(), "things", "", rv)
	check(t, err)
	again := thing("a", "x", "1", "v")
	again.Token = 7
	check(t, c.Apply([]Object{again}, []Key{{Resource: "things", Name: "not there"}}))
	got, _ := c.Get(again.Key)
	if c.RV() != rv || len(w.C) != 0 || got.RV != rv || got.Token != 7 {
		t.Errorf("rv %d -> %d, %d changes, object %+v", rv, c.RV(), len(w.C), got)
	}
}

func TestANewUIDIsADeletionAndAnAddition(t *testing.T) {
	c := NewCache(1, 1, nil)
	check(t, c.Apply([]Object{thing("a", "x", "1", "v")}, nil))
	w, err := c.Watch(t.Context(), "things", "a", c.RV())
	check(t, err)
	check(t, c.Apply([]Object{thing("a", "x", "2", "v")}, nil))
	first, second := <-w.C, <-w.C
	if first.Type != Deleted || uidOf(first.Object.Value()) != "1" || second.Type != Added || uidOf(second.Object.Value()) != "2" ||
		first.Object.RV >= second.Object.RV {
		t.Errorf("got %+v, %+v", first, second)
	}
}

func TestListsAreOrderedSnapshots(t *testing.T) {
	c := NewCache(1, 1, nil)
	check(t, c.Apply([]Object{thing("b", "x", "1", 1), thing("a", "z", "2", 1), thing("a", "y", "3", 1)}, nil))
	all, rv := c.List("things", "")
	check(t, c.Apply([]Object{thing("a", "y", "3", 2)}, []Key{{"things", "b", "x"}}))
	var names []string
	for _, o := range all {
		names = append(names, o.Namespace+"/"+o.Name)
	}
	if !reflect.DeepEqual(names, []string{"a/y", "a/z", "b/x"}) || rv == c.RV() || all[0].Value()["data"] != 1 {
		t.Errorf("%v at %d: %v", names, rv, all[0].Value())
	}
	if only, _ := c.List("things", "a"); len(only) != 2 || only[0].Value()["data"] != 2 {
		t.Errorf("namespace a: %v", only)
	}
}

func TestWatchRefusesVersionsOfOthers(t *testing.T) {
	c := NewCache(1, 100, nil)
	check(t, c.Apply([]Object{thing("a", "x", "1", 1)}, nil))
	for name, rv := range map[string]uint64{
		"another node":         c.RV() ^ 2,
		"a version to come":    c.RV() + 1<<rvTagBits,
		"a plain small number": 1 << 20,
	} {
		if _, err := c.Watch(t.Context(), "things", "", rv); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWatchForgetsWhatIsTooOld(t *testing.T) {
	c := NewCache(1, 1, nil)
	check(t, c.Apply([]Object{thing("a", "x", "1", -1)}, nil))
	old := c.RV()
	for i := range ringMax {
		check(t, c.Apply([]Object{thing("a", "x", "1", i)}, nil))
	}
	w, err := c.Watch(t.Context(), "things", "", old)
	check(t, err)
	if len(w.Start) != ringMax || w.Start[0].Object.Value()["data"] != 0 {
		t.Fatalf("%d changes, first %v", len(w.Start), w.Start[0].Object.Value())
	}
	check(t, c.Apply([]Object{thing("a", "x", "1", "one more")}, nil))
	if _, err := c.Watch(t.Context(), "things", "", old); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	// Changes of one resource do not push out those of another.
	if _, err := c.Watch(t.Context(), "others", "", old); err != nil {
		t.Error(err)
	}
}

func TestASlowWatcherIsDropped(t *testing.T) {
	c := NewCache(1, 1, nil)
	slow, err := c.Watch(t.Context(), "things", "", 0)
	check(t, err)
	for i := range watchQueueMax + 1 {
		check(t, c.Apply([]Object{thing("a", "x", "1", i)}, nil))
	}
	n := 0
	for range slow.C {
		n++
	}
	if n != watchQueueMax || !errors.Is(slow.Err(), ErrSlow) {
		t.Errorf("%d changes, then %v", n, slow.Err())
	}
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	c := NewCache(1, 1, nil)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := c.Watch(ctx, "things", "", 0)
	check(t, err)
	cancel()
	if _, open := <-w.C; open || w.Err() != nil {
		t.Errorf("err %v", w.Err())
	}
	w.Stop()
}

func TestCounterIsReservedAhead(t *testing.T) {
	var reserved []uint64
	broken := errors.New("disk full")
	c := NewCache(1, 10, func(until uint64) error {
		reserved = append(reserved, until)
		if len(reserved) == 1 {
			return broken
		}
		return nil
	})
	if err := c.Apply([]Object{thing("a", "x", "1", 1)}, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, there := c.Get(Key{"things", "a", "x"}); !there {
		t.Error("the state must be published all the same")
	}
	check(t, c.Apply([]Object{thing("a", "x", "1", 2)}, nil))
	check(t, c.Apply([]Object{thing("a", "x", "1", 3)}, nil))
	if !reflect.DeepEqual(reserved, []uint64{11 + rvBlock, 12 + rvBlock}) {
		t.Errorf("reserved %v", reserved)
	}
}

// replay builds the state that a watcher knows.
func replay(state map[Key]Object, changes ...Change) error {
	for _, ch := range changes {
		was, known := state[ch.Object.Key]
		if known == (ch.Type == Added) {
			return fmt.Errorf("%s of %v, which was known: %v", ch.Type, ch.Object.Key, known)
		}
		if known && uidOf(was.Value()) != uidOf(ch.Object.Value()) {
			return fmt.Errorf("%s of another %v than the one that was known", ch.Type, ch.Object.Key)
		}
		if ch.Type == Deleted {
			delete(state, ch.Object.Key)
		} else {
			state[ch.Object.Key] = ch.Object
		}
	}
	return nil
}

func TestListPlusWatchIsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCache(uint32(rapid.IntRange(0, rvTagMask).Draw(t, "tag")), 1, nil)
		step := func() {
			var objects []Object
			var deletes []Key
			for range rapid.IntRange(1, 4).Draw(t, "size") {
				o := thing(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "ns"), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name"),
					rapid.SampledFrom([]string{"1", "2"}).Draw(t, "uid"), rapid.IntRange(0, 2).Draw(t, "data"))
				if rapid.Bool().Draw(t, "delete") {
					deletes = append(deletes, o.Key)
				} else {
					objects = append(objects, o)
				}
			}
			if err := c.Apply(objects, deletes); err != nil {
				t.Fatal(err)
			}
		}
		namespace := rapid.SampledFrom([]string{"", "a"}).Draw(t, "watched")
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			step()
		}
		state := map[Key]Object{}
		listed, rv := c.List("things", namespace)
		for _, o := range listed {
			state[o.Key] = o
		}
		for range rapid.IntRange(0, 10).Draw(t, "between") {
			step()
		}
		w, err := c.Watch(context.Background(), "things", namespace, rv)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 10).Draw(t, "after") {
			step()
		}
		w.Stop()
		changes := w.Start
		for ch := range w.C {
			changes = append(changes, *ch)
		}
		for i := range changes {
			changes[i].Object = changes[i].Object.decoded()
		}
		if err := replay(state, changes...); err != nil {
			t.Fatal(err)
		}
		want := map[Key]Object{}
		final, _ := c.List("things", namespace)
		for _, o := range final {
			want[o.Key] = o
		}
		if !reflect.DeepEqual(state, want) {
			t.Fatalf("watcher has %v, cache has %v", state, want)
		}
	})
}

func TestReadersNeverWaitAndSeeWholeStates(t *testing.T) {
	c := NewCache(1, 1, nil)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				// Each step writes both objects with the same data.
				if l, _ := c.List("things", ""); len(l) > 0 && (len(l) != 2 || l[0].Value()["data"] != l[1].Value()["data"]) {
					t.Errorf("half a state: %v", l)
					return
				}
			}
		})
	}
	for i := range 500 {
		check(t, c.Apply([]Object{thing("a", "x", "1", i), thing("b", "y", "1", i)}, nil))
	}
	close(done)
	wg.Wait()
}

// A node has thousands of watches in which nothing happens.
func TestAnIdleWatchIsSmall(t *testing.T) {
	const watches, most = 100, 16 << 10
	c := NewCache(1, 1, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range watches {
		_, err := c.Watch(t.Context(), "things", "", c.RV())
		check(t, err)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / watches; each > most {
		t.Errorf("an idle watch takes %d bytes, want %d at most", each, most)
	}
}
