package scheduler_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/crdt/state/valid"
	"holon/scheduler"
)

// drawPolicy draws what a workload says of trouble, in seconds before and after noon.
func drawPolicy(t *rapid.T) state.Policy {
	wait := func(what string) time.Duration {
		return oneOf(t, what, 0, 0, 20*time.Second, 60*time.Second, valid.Never)
	}
	some := func(what string) time.Duration { return oneOf(t, what, 0, 20*time.Second, 60*time.Second) }
	return state.Policy{
		StandIn: oneIn(t, 2, "stand-in"), UnreachableDelay: wait("unreachable delay"), NotReadyDelay: wait("not ready delay"),
		LostAfter: some("lost after"), StopWhenAlone: some("stop when alone"),
	}
}

// noon is when the worlds that are drawn are looked at.
const noon = 1000 * time.Second

func drawSince(t *rapid.T) time.Duration {
	return noon - oneOf[time.Duration](t, "for", 0, 19, 20, 21, 60, 600)*time.Second
}

// expulsions are the NoExecute taints of a node.
func expulsions(n *scheduler.Node) (list []scheduler.Expulsion) {
	for _, taint := range n.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute {
			list = append(list, scheduler.Expulsion{Taint: taint, Since: n.Since})
		}
	}
	return list
}

// health says again what a node is to the workload of x, in other words than the
// scheduler's.
func (x *world) health(name string) scheduler.Health {
	n := x.node(name)
	if n == nil {
		return scheduler.Gone
	}
	silent := x.now - n.Since
	if n.Health == scheduler.Lost {
		limit := x.lostAfter
		if x.w.LostAfter != 0 {
			limit = x.w.LostAfter
		}
		if limit != 0 && silent >= limit && silent >= x.w.UnreachableDelay {
			return scheduler.LostLong
		}
	}
	if n.Health == scheduler.Serving {
		for _, e := range expulsions(n) {
			if !putUpWith(x.w, e.Taint, silent) {
				return scheduler.Expelling
			}
		}
	}
	return n.Health
}

// putUpWith reports whether a workload tolerates a taint that has been there for so
// long.
func putUpWith(w *state.Workload, taint corev1.Taint, long time.Duration) bool {
	all := true
	for _, t := range w.Template.Spec.Tolerations {
		if one := (&corev1.PodSpec{Tolerations: []corev1.Toleration{t}}); tolerated(one, taint.Key, taint.Value, taint.Effect) {
			all = all && (t.TolerationSeconds == nil || long < time.Duration(*t.TolerationSeconds)*time.Second)
		}
	}
	return all && tolerated(&w.Template.Spec, taint.Key, taint.Value, taint.Effect)
}

// halted reports whether this side is to run nothing of the workload any more.
func (x *world) halted() bool {
	return !x.majority && x.w.StopWhenAlone != 0 && x.now-x.alone >= x.w.StopWhenAlone
}

// awaited reports whether nobody may replace the home of a slot yet.
func (x *world) awaited(s *state.Slot) bool {
	switch n := x.node(s.Home.Node); {
	case n == nil:
		return false
	case n.Health == scheduler.Lost:
		return x.now-n.Since < x.w.UnreachableDelay
	case n.Health == scheduler.Unfit:
		return x.now-n.Since < x.w.NotReadyDelay
	}
	return false
}

// What a plan says of the time when it is to be made again is what time does: it
// stays what it is until then.
func TestAPlanHoldsUntilItSays(t *testing.T) {
	changed, rang := 0, 0
	manyTimes(t, func(t *rapid.T) {
		x := drawWorld(t)
		plan := x.place()
		if plan.Again != 0 && plan.Again <= x.now {
			t.Fatalf("at %v a look at %v is asked for", x.now, plan.Again)
		}
		then := *x
		then.now += oneOf[time.Duration](t, "later", 1, 19, 20, 40, 60, 1000) * time.Second
		if plan.Again != 0 && then.now >= plan.Again {
			then.now = plan.Again - 1
			rang++
		}
		later := then.place()
		if len(flat(later.Decisions)) != len(flat(plan.Decisions)) {
			t.Fatalf("at %v:\n%+v\nat %v, before %v:\n%+v", x.now, plan, then.now, plan.Again, later)
		}
		then.now++
		if plan.Again != 0 && len(flat(then.place().Decisions)) != len(flat(plan.Decisions)) {
			changed++
		}
	})
	if changed == 0 || rang == 0 {
		t.Errorf("%d plans were to be made again, %d were another one then", rang, changed)
	}
}
