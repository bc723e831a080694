package core

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt/state"
)

func wallOf(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMilli()
}

func TestMedianOfClocks(t *testing.T) {
	unset, now, later, far := wallOf("1970-01-01T00:00:07Z"), wallOf("2026-11-29T08:00:00Z"), wallOf("2026-11-29T08:00:01Z"), wallOf("2099-12-31T23:59:59Z")
	for _, c := range []struct {
		why   string
		walls []int64
		want  int64
	}{
		{"alone", []int64{now}, now},
		{"alone, never set", []int64{unset}, unset},
		{"one was never set", []int64{unset, now}, now},
		{"most were never set", []int64{unset, unset, unset, now}, now},
		{"one of two is in 2099", []int64{far, now}, now},
		{"one of three is in 2099", []int64{far, later, now}, later},
		{"one of each", []int64{far, unset, now}, now},
	} {
		if got, ok := median(slices.Clone(c.walls)); !ok || got != c.want {
			t.Errorf("%s: %v, %v", c.why, time.UnixMilli(got).UTC(), ok)
		}
	}
	if _, ok := median(nil); ok {
		t.Error("no clock, and yet there is a time")
	}
}

// TestMedianIsAmongTheSane: where more than half of the clocks that were ever set are
// right, so is their median, whatever the others say and in whatever order.
func TestMedianIsAmongTheSane(t *testing.T) {
	right := wallOf("2026-11-29T08:00:00Z")
	rapid.Check(t, func(t *rapid.T) {
		sane := rapid.SliceOfN(rapid.Int64Range(right, right+1000), 1, 9).Draw(t, "sane")
		unset := rapid.SliceOfN(rapid.Int64Range(1, firstWall-1), 0, 9).Draw(t, "unset")
		wrong := rapid.SliceOfN(rapid.Int64Range(firstWall, 1<<50), 0, len(sane)-1).Draw(t, "wrong")
		all := rapid.Permutation(slices.Concat(sane, unset, wrong)).Draw(t, "all")
		if got, ok := median(all); !ok || got < right || got > right+1000 {
			t.Fatalf("median is %d off", got-right)
		}
	})
}

// TestThePublishedViewTellsTime: once somebody has set the clock, too, though nothing else
// has changed. A clock that was never set is none.
func TestThePublishedViewTellsTime(t *testing.T) {
	x := newCrowd(t, 1, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 10})
	for _, wall := range []int64{firstWall, 5000, firstWall + 1e10, 0} {
		told := wall >= firstWall
		x.now += time.Minute
		host := x.host
		host.Wall = wall
		v := x.Step(x.now, HostChanged{Host: host}).View
		if v == nil {
			t.Fatalf("a clock that says %d ms is not published", wall)
		}
		x.now += time.Minute
		if is, ok := v.ClusterTime(x.now); ok != told || ok && is.UnixMilli() != wall+time.Minute.Milliseconds() {
			t.Errorf("a minute after the clock said %d ms the time is %v, %v", wall, is, ok)
		}
	}
}
