package schedulertest

import "testing"

// Without its constraint a load would measure something else, so each is given more
// than the constraint lets pass. Four nodes: two in zone a, one in b and c each, room
// for 110 pods on each.
func TestEachConstraintHolds(t *testing.T) {
	for c, want := range map[Constraint]int{
		Plain: 440, Spread: 110 + 110 + 111, AntiAffinity: 4, Affinity: 220,
	} {
		l := NewLoad(c, 4, 1, 500)
		if got := l.Place(); got != want {
			t.Errorf("%s: %d of %d slots are placed, want %d", c, got, l.Pods(), want)
		}
	}
}
