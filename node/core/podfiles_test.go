package core

import (
	"errors"
	"strings"
	"testing"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// mounting is a pod with files of ConfigMap c, and of an optional one in a projection.
func mounting(t *testing.T) (*crowd, Order) {
	return orderOf(t, object{"containers": []any{object{"name": "app", "image": "app"}}, "volumes": []any{
		object{"name": "v", "configMap": object{"name": "c"}},
		object{"name": "p", "projected": object{"sources": []any{object{"configMap": object{"name": "late", "optional": true}}}}},
	}}, map[string]object{"c": {"a": "old"}})
}

// edit writes a ConfigMap and gives the orders that follow.
func (x *crowd) edit(name string, data object) (orders []Order) {
	x.put(state.MakeKey(state.ConfigMaps, "default", name), crdt.UID{9, byte(len(name))}, object{"data": data})
	for range 5 {
		orders = append(orders, x.step(Woke{})...)
	}
	return orders
}

// running lets an order be carried out.
func (x *crowd) running(o Order) []Order {
	x.step(Observed{Pods: x.pods(o)})
	return x.step(Ordered{Order: o})
}

// TestFilesFollowTheirObjects: an edit is one order for those who show it, with what it
// says now, and nothing for others; what comes while an order is under way is another.
func TestFilesFollowTheirObjects(t *testing.T) {
	x, o := mounting(t)
	if orders := x.running(o); len(orders) > 0 {
		t.Fatalf("what has just started gets %v", orders)
	}
	if orders := x.edit("another", object{"a": "b"}); len(orders) > 0 {
		t.Errorf("a ConfigMap that it does not have makes %v", orders)
	}
	orders := x.edit("c", object{"a": "new"})
	if len(orders) != 1 || orders[0].Kind != Update || string(orders[0].Spec.Volumes[0].Files[0].Data) != "new" {
		t.Fatalf("an edit makes %+v", orders)
	}
	if more := x.edit("c", object{"a": "newest"}); len(more) > 0 {
		t.Fatalf("two orders at once: %v", more)
	}
	again := x.step(Ordered{Order: orders[0]})
	if len(again) != 1 || string(again[0].Spec.Volumes[0].Files[0].Data) != "newest" {
		t.Fatalf("an edit under way makes %+v", again)
	}
	if more := x.step(Ordered{Order: again[0]}); len(more) > 0 {
		t.Errorf("nothing has changed, and %v", more)
	}
	if late := x.edit("late", object{"b": "c"}); len(late) != 1 || len(late[0].Spec.Volumes[1].Files) != 1 {
		t.Errorf("one that was not there makes %+v", late)
	}
	for _, bad := range x.AuditPlan() {
		t.Error(bad)
	}
}

// TestFilesThatCannotBeWrittenAreTriedAgain, and the pod is no worse for it.
func TestFilesThatCannotBeWrittenAreTriedAgain(t *testing.T) {
	x, o := mounting(t)
	x.running(o)
	orders := x.edit("c", object{"a": "new"})
	x.now++
	ready := x.Step(x.now, Ordered{Order: orders[0], Err: &runtime.Error{Kind: runtime.Failed, Op: "write", Err: errors.New("the disk is full")}})
	if len(ready.Run) > 0 || len(ready.Facts) != 1 || ready.Facts[0].Reason != "FailedMount" || !strings.Contains(ready.Facts[0].Message, "full") {
		t.Errorf("a failure makes %+v, %+v", ready.Run, ready.Facts)
	}
	for _, r := range x.runner.runs {
		if r.reason != "" {
			t.Errorf("the pod says %s", r.reason)
		}
	}
	x.now += orderRetryMax
	if again := x.step(Woke{}); len(again) != 1 || again[0].Kind != Update {
		t.Errorf("after a while: %+v", again)
	}
}

// TestFilesAreWrittenOnceAfterABoot: what changed while the daemon was down is not missed.
func TestFilesAreWrittenOnceAfterABoot(t *testing.T) {
	x, o := mounting(t)
	for _, r := range x.runner.runs { // what a boot begins with
		x.runner.drop(r)
	}
	x.runner.starting, x.runner.unsureAll, x.runner.dirty = 0, true, true
	orders := x.step(Observed{Pods: x.pods(o)})
	for range 5 {
		orders = append(orders, x.step(Woke{})...)
	}
	if len(orders) != 1 || orders[0].Kind != Update {
		t.Errorf("a pod that is found makes %+v", orders)
	}
}
