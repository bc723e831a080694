package testnet

import (
	"strings"
	"testing"
)

// plantedSeeds bounds how many histories a planted bug may survive.
const plantedSeeds = 100

// plantedKinds are the kinds of history for bugs that the usual one seldom shows.
var plantedKinds = map[Bug]string{
	EagerHomes:   "long-splits", // homes are lost only after a while
	RunTwice:     "sets",
	TwoNames:     "crons",
	AllAtOnce:    "inits",
	NoHold:       "lives",
	NoRelease:    "lives",
	NoProof:      "lives",
	StrayRuns:    "volumes-split",
	EvictEagerly: "pressure",
	EvictAll:     "pressure",
	TakeBack:     "pressure",
	LoseCopies:   "snapshots",
	HastyCopies:  "snapshots",
	NoOrphanRule: "blackouts", // who dropped a workload buries what is left of it, if he lives
}

// TestPlantedBugs shows that every rule is needed: each bug is caught, by the
// rule that is there for it, within a few histories.
func TestPlantedBugs(t *testing.T) {
	for _, bug := range []Bug{SendFirst, AckFirst, ReuseCounters, DeafSync, KeepRuns, OpenDoor, EagerHomes, RunTwice, AllAtOnce, NoStalePath, NoIngestRule, NoOrphanRule, KeepReplica, TwoNames, StrayRuns, EvictEagerly, EvictAll, TakeBack, NoHold, NoRelease, NoProof, LoseCopies, HastyCopies} {
		t.Run(string(bug), func(t *testing.T) {
			t.Parallel()
			for s := uint64(1); s <= plantedSeeds; s++ {
				cfg, shape := historyOf(s, plantedKinds[bug])
				cfg.Bug = bug
				if bug == KeepRuns { // or what is kept exceeds the room first
					shape.Ops = 30
				}
				_, bad := Play(cfg, shape)
				for _, b := range bad {
					if strings.Contains(b, bug.Rule()) {
						t.Logf("seed %d: %s", s, b)
						return
					}
				}
				if len(bad) > 0 {
					t.Logf("seed %d is caught by another rule: %s", s, bad[0])
				}
			}
			t.Errorf("%d histories do not show this bug to the rule %q", plantedSeeds, bug.Rule())
		})
	}
}
