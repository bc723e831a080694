package testnet

import (
	"slices"
	"strings"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/runtime"
)

// ---- hosts whose memory other programs use

const (
	sampleEvery = 5 * time.Second // as the shell does
	shortOf     = 100 << 20       // available below which memory is short
	calmFor     = 30 * time.Second
	evictPause  = 10 * time.Second
)

// memoryUsed is what containers use by what they were told to run, beside requests of 32 Mi.
var memoryUsed = map[string]int64{"0": 16 << 20, "1": 48 << 20, "2": 96 << 20}

// strain is what the world knows of one host's memory.
type strain struct {
	squeezed  int64                 // bytes that other programs use
	told      int64                 // what the node was told last to be available
	low, fine time.Duration         // when that was less than shortOf, last; and then for the first time not
	evictedAt time.Duration         // when it evicted somebody last in this boot; 0: it has not
	evicted   map[state.Key]bool    // pods that it has evicted in this boot
	shunned   map[state.SlotID]bool // and their slots
}

func (s *strain) boot() {
	s.evictedAt, s.low, s.fine = 0, 0, 0
	s.evicted, s.shunned = map[state.Key]bool{}, map[state.SlotID]bool{}
}

// left is what is available of a host's memory.
func (n *Node) left() int64 {
	left := room.Memory - n.strain.squeezed
	usage, _ := n.host.Usage(n.w.now)
	for _, p := range usage {
		for _, c := range p.Containers {
			left -= c.Memory
		}
	}
	return max(left, 0)
}

// spare is what a node is told.
func (n *Node) spare() core.Spare {
	s, now := &n.strain, n.w.now
	switch s.told = n.left(); {
	case s.told < shortOf:
		s.low, s.fine = now, 0
	case s.fine == 0:
		s.fine = now
	case now-s.fine >= calmFor:
		clear(s.shunned)
	}
	return core.Spare{Memory: core.Gauge{Free: s.told, Total: room.Memory}}
}

// squeeze has other programs of a host use so much memory that it becomes short, or ends that.
func (w *World) squeeze() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.strain.squeezed > 0 {
		w.did("%s has memory again", n.name)
		n.strain.squeezed = 0
		return
	}
	n.strain.squeezed = max(n.left()-shortOf+w.rng.Int64N(3*shortOf/2), 0)
	w.did("%s is squeezed by %d MiB", n.name, n.strain.squeezed>>20)
	w.Counts.Squeezes++
	if !w.sampling {
		w.sampling = true
		w.sample()
	}
}

// sample tells all nodes what they have, again and again.
func (w *World) sample() {
	for _, n := range w.nodes {
		n.guarded(n.boot, n.tellHost)
	}
	w.after(sampleEvery, w.sample)
}

// calmMemory leaves at most one host squeezed: what ran there has room elsewhere.
func (w *World) calmMemory() {
	for _, n := range w.nodes {
		if n.strain.squeezed > 0 && w.squeezed() > 1 {
			n.strain.squeezed = 0
		}
	}
}

func (w *World) squeezed() (count int) {
	for _, n := range w.nodes {
		if n.strain.squeezed > 0 {
			count++
		}
	}
	return count
}

// measure answers what pods use, after a moment.
func (n *Node) measure(m core.Measure) {
	boot := n.boot
	n.w.after(time.Duration(1+n.w.rng.IntN(2000))*time.Millisecond, func() {
		n.guarded(boot, func() {
			ev := core.Measured{Dirs: map[runtime.RunID]map[string]int64{}}
			if m.Memory {
				ev.Pods, _ = n.host.Usage(n.w.now)
			}
			for _, of := range m.Dirs {
				if bytes, err := n.host.DirSize(n.w.now, of.Run, scratch); err == nil {
					ev.Dirs[of.Run] = map[string]int64{scratch: bytes}
				}
			}
			n.step(ev)
		})
	})
}

// scratch is the volume of pods that may put 1 MiB there.
const (
	scratch    = "scratch"
	scratchMax = 1 << 20
)

// fill has the pods of a host write into it, some of them too much.
func (w *World) fill() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	for _, p := range n.host.Statuses(w.now) {
		n.host.Write(p.ID, scratch, w.rng.Int64N(3*scratchMax/2))
	}
}

// ---- rules

// auditEviction judges that this node ends a pod before its time: its memory is short, and
// it has seen what the eviction before has brought.
func (n *Node) auditEviction(f core.Fact) {
	w, s := n.w, &n.strain
	w.did("%s evicts %s: %s", n.name, f.About, f.Message)
	s.evicted[f.About] = true
	if strings.HasPrefix(f.Message, "Usage of EmptyDir") {
		w.Counts.Filled++
		n.auditFilled(f.About)
		return
	}
	w.Counts.Pressed++
	if s.told >= shortOf {
		w.violate("anytime: %s evicts %s and has %d MiB left", n.name, f.About, s.told>>20)
	}
	if s.evictedAt != 0 && w.now-s.evictedAt < evictPause {
		w.violate("anytime: %s evicts %s only %v after another pod", n.name, f.About, w.now-s.evictedAt)
	}
	s.evictedAt = w.now
	for _, spec := range n.specs {
		if id, err := state.ParseSlotID(spec.Slot); err == nil && podKey(&spec) == f.About {
			s.shunned[id] = true
		}
	}
}

// auditFilled judges that a pod is ended that has written too much.
func (n *Node) auditFilled(about state.Key) {
	for _, spec := range n.specs {
		bytes, err := n.host.DirSize(n.w.now, spec.ID, scratch)
		if podKey(&spec) == about && err == nil && bytes <= scratchMax {
			n.w.violate("anytime: %s evicts %s, which has written %d bytes", n.name, about, bytes)
		}
	}
}

func podKey(spec *runtime.Spec) state.Key {
	return state.MakeKey(state.Pods, spec.Namespace, spec.Name)
}

// auditShunned judges the start of a run: not of a slot that was evicted here under the
// same pressure.
func (n *Node) auditShunned(o core.Order, slot state.SlotID) {
	if s := &n.strain; s.shunned[slot] && !n.hosts(o.Run) {
		n.w.violate("anytime: %s takes slot %s back that it has evicted, and its memory was short %v ago", n.name, slot, n.w.now-s.low)
	}
}

// evicts reports whether this node has evicted a pod, so that it may stop it.
func (n *Node) evicts(spec *runtime.Spec) bool { return n.strain.evicted[podKey(spec)] }

// auditPressed judges, once all is calm, what the evicted have come to: a Pod stays
// Failed, and says why.
func (w *World) auditPressed() {
	for _, n := range w.nodes {
		for key, rec := range n.seen {
			pod, err := state.DecodeWorkload(key, rec)
			if key.Resource() != state.Pods || err != nil || pod == nil || pod.Evicted == "" || pod.Deleting {
				continue
			}
			w.Counts.PressedPods++
			status, _ := n.shown[key]["status"].(map[string]any)
			if status["phase"] != string(state.Failed) || status["reason"] != state.Evicted {
				w.violate("eventually: %s shows the evicted %s as %v, %v", n.name, key, status["phase"], status["reason"])
			}
			for _, other := range w.nodes {
				if slices.ContainsFunc(other.host.Statuses(w.now), func(p runtime.Status) bool {
					id, _ := state.ParseSlotID(p.Slot)
					return id.Workload == pod.UID
				}) {
					w.violate("eventually: %s still has the evicted %s", other.name, key)
				}
			}
		}
	}
}
