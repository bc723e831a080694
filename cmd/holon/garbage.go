package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Go lets a heap grow to twice of what lives in it before it collects. That is
// half of the memory of a node with many records, and a collection for each few
// megabytes in a node with few: a quarter of its processor time under load. So the
// room above what lives is a figure here, by what a node does, and not a share.
const (
	roomQuiet = 8 << 20  // or a sixteenth of what lives
	roomBusy  = 32 << 20 // or half
	// busyWithin is how soon one collection follows another in a busy node, and
	// quietAfter how long a quiet one goes without a second.
	busyWithin = time.Second
	quietAfter = 5 * time.Second
	// quietTurns is how often a node collects that has become quiet: what a sync.Pool
	// holds outlives one collection, and what was written meanwhile needs another one.
	quietTurns = 3
	// percentMax bounds GOGC: what is set after one collection must not be absurd
	// when more lives at the next.
	percentMax = 400
)

// roomFor is how much may be allocated between collections.
func roomFor(live uint64, busy bool) uint64 {
	if busy {
		return max(roomBusy, live/2)
	}
	return max(roomQuiet, live/16)
}

// percentFor is the GOGC that gives the room: the runtime counts it from what
// lives and from the roots (stacks and globals).
func percentFor(live, roots uint64, busy bool) int {
	return int(min(roomFor(live, busy)*100/max(live+roots, 1), percentMax))
}

// paceGarbage keeps the collector's pace until ctx ends, unless the user has set
// GOGC or GOMEMLIMIT.
//
// A node under load gets more room, and gives it back when the load ends.
func paceGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	collected := make(chan struct{}, 1)
	awaitCollection(ctx, collected)
	tick := time.NewTicker(quietAfter)
	defer tick.Stop()
	var last time.Time
	busy, since, percent, turns := false, 0, 100, 0
	for {
		select {
		case <-collected:
			now := time.Now()
			busy = busy || now.Sub(last) < busyWithin
			last = now
			since++
		case <-tick.C:
			if busy && since <= 1 {
				busy, turns = false, quietTurns
			}
			if turns > 0 && !busy {
				turns--
				debug.FreeOSMemory() // a quiet node may not collect for minutes
			}
			since = 0
		case <-ctx.Done():
			return
		}
		live, roots := liveBytes()
		if next := percentFor(live, roots, busy); next != percent {
			percent = next
			debug.SetGCPercent(next)
		}
	}
}

// collectable has a pointer, so that it is not allocated together with others.
type collectable struct{ _ *byte }

// awaitCollection tells of each collection until ctx ends: the finalizer of what
// nobody holds runs after each.
func awaitCollection(ctx context.Context, collected chan<- struct{}) {
	runtime.SetFinalizer(new(collectable), func(*collectable) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		awaitCollection(ctx, collected)
	})
}

// liveBytes is what the last collection found alive, and what it began from.
func liveBytes() (live, roots uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64(), sample[1].Value.Uint64() + sample[2].Value.Uint64()
}
