package main

import (
	"context"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

// TestRoomForGarbage: the percentage gives the room that is wanted, but where less
// lives than a fourth of it, and a quiet node is never given more than a busy one.
func TestRoomForGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live, roots := rapid.Uint64Max(64<<30).Draw(t, "live"), rapid.Uint64Max(64<<20).Draw(t, "roots")
		quiet, busy := percentFor(live, roots, false), percentFor(live, roots, true)
		if quiet > busy || quiet < 0 || busy > percentMax {
			t.Fatalf("GOGC is %d, and %d if busy", quiet, busy)
		}
		counted := live + roots
		for percent, room := range map[int]uint64{quiet: roomFor(live, false), busy: roomFor(live, true)} {
			given := counted * uint64(percent) / 100
			if given > room || percent < percentMax && room-given > counted/100+1 {
				t.Fatalf("GOGC %d gives %d of %d bytes above %d", percent, given, room, counted)
			}
		}
	})
}

func TestEachCollectionIsTold(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	collected := make(chan struct{}, 1)
	awaitCollection(ctx, collected)
	for range 3 {
		runtime.GC()
		<-collected
	}
	end()
}
