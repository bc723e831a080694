package crdt_test

import (
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// A replica that crashes at any point, also between persisting a block and using
// it, issues no counter and no time twice, and its writes ascend.
func TestACrashReusesNoNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var disk crdt.Marks
		h := crdt.Resume(disk)
		var last crdt.Write
		var seen uint64 // since the last crash: a restart witnesses its records again
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"write", "reserve", "lose reserve", "crash", "witness"}).Draw(t, "step") {
			case "write":
				for range rapid.IntRange(1, 3000).Draw(t, "writes") {
					left := h.Left()
					w, ok := h.Next(replicaN(1))
					if ok != (left > 0) {
						t.Fatalf("%d left, yet Next is %v", left, ok)
					}
					if !ok {
						break
					}
					if w.Dot.Counter <= last.Dot.Counter || w.Stamp.Time <= max(last.Stamp.Time, seen) {
						t.Fatalf("%v after %v, with %d seen", w, last, seen)
					}
					if w.Dot.Counter > disk.Counter || w.Stamp.Time > disk.Time {
						t.Fatalf("%v beyond what is durable, %v", w, disk)
					}
					last = w
				}
			case "reserve":
				h, disk = h.Reserve()
				if h.Left() == 0 {
					t.Fatal("nothing left after a reservation")
				}
			case "lose reserve": // crashed after persisting
				_, disk = h.Reserve()
				h, seen = crdt.Resume(disk), 0
			case "crash":
				h, seen = crdt.Resume(disk), 0
			case "witness":
				seen = last.Stamp.Time + rapid.Uint64Range(0, 3*crdt.ReserveBlock).Draw(t, "ahead")
				h.Witness(seen)
			}
		}
	})
}

// No number wraps around, whatever a peer claims to have seen.
func TestTheClockEnds(t *testing.T) {
	h := crdt.Resume(crdt.Marks{})
	h.Witness(1<<64 - 1)
	h, marks := h.Reserve()
	if _, ok := h.Next(replicaN(1)); ok || marks.Time != crdt.TimeMax {
		t.Errorf("issued a write after the end of time; marks %v", marks)
	}
}

func TestLeftCountsWhatTheClockHasUsedUp(t *testing.T) {
	h, _ := crdt.Resume(crdt.Marks{Counter: 7, Time: 9}).Reserve()
	h.Witness(9 + 100)
	left, issued := h.Left(), uint64(0)
	for {
		if _, ok := h.Next(replicaN(1)); !ok {
			break
		}
		issued++
	}
	if left != crdt.ReserveBlock-100 || issued != left {
		t.Errorf("%d left, %d issued, want %d", left, issued, crdt.ReserveBlock-100)
	}
}
