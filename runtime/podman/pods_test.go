//go:build remote

package podman

import (
	"testing"
	"time"
)

// On a busy host Podman noted a start 1.2 ms after the end that its own conmon
// had noted.
func TestNobodyEndsBeforeItBegan(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ started, finished, want time.Time }{
		"in order":         {noon, noon.Add(time.Second), noon},
		"noted too late":   {noon.Add(time.Millisecond), noon, noon},
		"not ended":        {noon, time.Time{}, noon},
		"nothing is known": {},
	} {
		started, finished := lifespan(c.started, c.finished)
		if !started.Equal(c.want) || !finished.Equal(c.finished) {
			t.Errorf("%s: %v to %v, want %v to %v", name, started, finished, c.want, c.finished)
		}
	}
}
