package core

import (
	"testing"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// pod makes a bare pod with a spec, labelled app: web, whose scheduler is here.
func (x *crowd) pod(name string, spec map[string]any) {
	uid := crdt.UID{2}
	for again := true; again; again = scheduler.Rank(uid, x.nodes, x.cfg.Node) != 0 {
		x.count++
		uid[1], uid[2] = byte(x.count>>8), byte(x.count)
	}
	spec["containers"] = []any{map[string]any{"name": "app", "image": "app"}}
	x.put(state.MakeKey(state.Pods, "default", name), uid, map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}}, "spec": spec})
}

func on(node string) map[string]any {
	return map[string]any{"nodeSelector": map[string]any{"kubernetes.io/hostname": node}}
}

func (x *crowd) waits(name string) bool {
	w := x.index.workloads[x.uidOf(name)]
	return w == nil || x.sched.waiting[w.UID]
}

func (x *crowd) uidOf(name string) crdt.UID {
	for uid, w := range x.index.workloads {
		if w.Name == name {
			return uid
		}
	}
	return crdt.UID{}
}

// Who waits because of where the pods of others are is planned again when one more
// is placed, not only when one goes.
func TestAPodLetsInWhoHeedsIt(t *testing.T) {
	x := newCrowd(t, 2, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 10})
	x.pod("first", on("n0001"))
	x.rest()
	spread := on("n0001")
	spread["topologySpreadConstraints"] = []any{map[string]any{
		"maxSkew": int64(1), "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "Ignore",
		"labelSelector": map[string]any{"matchLabels": map[string]any{"app": "web"}}}}
	x.pod("second", spread)
	x.rest()
	if x.waits("first") || !x.waits("second") {
		t.Fatalf("the second is to wait: %v", x.sched.reasons[x.uidOf("second")])
	}
	x.pod("third", on("n0000"))
	x.rest()
	if x.waits("second") {
		t.Errorf("nobody told the second: %v", x.sched.reasons[x.uidOf("second")])
	}
	for _, bad := range x.AuditPlan() {
		t.Error(bad)
	}
}
