package core

import (
	"errors"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/runtime"
)

// pulling makes a pod that waits for its image, and gives the order that said so.
func pulling(t *testing.T) (*crowd, Order) {
	x := newCrowd(t, 1, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 4})
	x.create(0, map[string]any{})
	for range 9 {
		if orders := x.step(Woke{}); len(orders) > 0 {
			return x, orders[0]
		}
	}
	t.Fatal("nothing is ordered")
	return nil, Order{}
}

func (x *crowd) step(ev Event) []Order {
	x.now += time.Millisecond
	return x.Step(x.now, ev).Run
}

func (x *crowd) waitsFor(o Order) []Order {
	return x.step(Ordered{Order: o, Err: &runtime.Error{Kind: runtime.Pulling, Err: errors.New("half of it is here")}})
}

// TestPullingBacksOff: an image that takes ten minutes does not make its pod be
// ordered twice a second, and the pauses are bounded.
func TestPullingBacksOff(t *testing.T) {
	x, o := pulling(t)
	orders := 0
	for began, last := x.now, x.now; x.now < began+10*time.Minute; {
		again := x.waitsFor(o)
		for len(again) == 0 {
			if x.now += 10 * time.Millisecond; x.now > last+2*pullingMax {
				t.Fatal("it is not ordered again")
			}
			again = x.step(Woke{})
		}
		orders, last, o = orders+1, x.now, again[0]
	}
	if orders < 100 || orders > 130 {
		t.Errorf("ordered %d times in ten minutes", orders)
	}
	for _, bad := range x.AuditPlan() {
		t.Error(bad)
	}
}

// TestArrivedOrdersAtOnce, whether the word comes before that of the order, or after.
func TestArrivedOrdersAtOnce(t *testing.T) {
	x, o := pulling(t)
	for range 5 {
		x.waitsFor(o)
		orders := x.step(Arrived{Run: o.Run})
		if len(orders) != 1 || orders[0].Run != o.Run {
			t.Fatalf("ordered %v once its image is there", orders)
		}
		x.step(Arrived{Run: o.Run})
		orders = x.waitsFor(orders[0])
		if len(orders) != 1 || orders[0].Run != o.Run {
			t.Fatalf("ordered %v once its image was there", orders)
		}
		if orders := x.waitsFor(orders[0]); len(orders) > 0 {
			t.Fatalf("ordered %v while its image is on its way", orders)
		}
		x.now += pullingMax
		if orders := x.step(Woke{}); len(orders) != 1 {
			t.Fatalf("ordered %v after a while", orders)
		}
	}
	x.step(Arrived{Run: "another"})
}
