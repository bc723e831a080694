package runtimetest

import (
	"slices"
	"strings"

	"holon/runtime"
)

func testEnsureGrows(h *harness) { testGrow(h, func() {}) }

// testEnsureGrowsAfterCrash has each step taken by another daemon than the one before.
func testEnsureGrowsAfterCrash(h *harness) {
	testGrow(h, func() {
		old := h.rt
		h.t.Cleanup(func() { old.Close() })
		h.rt = h.New()
	})
}

// testGrow makes a pod one container after the other, and starts the first one again
// in between: what waits is not there, and what is there is not touched.
func testGrow(h *harness, between func()) {
	second := h.container("second", `echo "$WORD"; exec sleep 1000`)
	spec := h.pod(h.container("first", uuid+"; exit 3"), second, h.container("third", forever))
	grow := func(waits ...string) {
		between()
		spec.Containers = slices.Clone(spec.Containers) // the runtime may keep what it was given
		for i := range spec.Containers {
			c := &spec.Containers[i]
			if c.Waits = slices.Contains(waits, c.Name); c.Name == "second" && !c.Waits {
				c.Env = []runtime.Env{{Name: "WORD", Value: "late"}}
			}
		}
		h.ensure(spec)
	}
	absent := func(names ...string) {
		h.t.Helper()
		s, _ := h.status(spec.ID)
		for _, name := range names {
			if c := find(s, name); c.State != "" && c.State != runtime.Created {
				h.t.Fatalf("%s waits, and is %+v", name, c)
			}
		}
	}
	grow("second", "third")
	h.awaitState(spec.ID, "first", 0, runtime.Exited)
	once := h.logs(spec.ID, "first", all)
	grow("second", "third")
	absent("second", "third")
	if err := h.rt.StartContainer(h.ctx, spec, "first", 1); err != nil {
		h.t.Fatalf("StartContainer while others wait: %v", err)
	}
	if c := h.awaitState(spec.ID, "first", 1, runtime.Exited); c.ExitCode != 3 {
		h.t.Fatalf("the first container is %+v", c)
	}
	twice := h.logs(spec.ID, "first", all)
	absent("second", "third")

	grow("third")
	before := h.awaitState(spec.ID, "second", 0, runtime.Running)
	h.awaitLog(spec.ID, "second", "late\n")
	absent("third")
	grow()
	h.awaitState(spec.ID, "third", 0, runtime.Running)
	if now := h.awaitState(spec.ID, "second", 0, runtime.Running); now.ID != before.ID {
		h.t.Errorf("the second container was touched: %+v, was %+v", now, before)
	}
	if now := h.logs(spec.ID, "first", all); now != twice || once == twice || strings.Count(now, "\n") != 1 {
		h.t.Errorf("the first container logged %q, then %q, and at last %q", once, twice, now)
	}
	s, _ := h.status(spec.ID)
	if names := []string{s.Containers[0].Name, s.Containers[1].Name, s.Containers[2].Name}; !slices.Equal(names, []string{"first", "second", "third"}) {
		h.t.Errorf("containers are listed as %v", names)
	}
}
