package testnet

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seed      = flag.Uint64("seed", 0, "play only this history, and print what it did")
	histories = flag.Int("histories", 500, "how many histories to play")
	ops       = flag.Int("ops", 200, "client operations per history")
	first     = flag.Uint64("first", 1, "seed of the first history")
	kind      = flag.String("kind", "", "what is worse than usual: see kinds in history_test.go")
)

// kinds of history: the usual one, and those in which one thing is worse.
var kinds = map[string]func(*Config, *Shape){
	"":           func(*Config, *Shape) {},
	"partitions": func(_ *Config, s *Shape) { s.Odds = 2 },
	"blackouts":  func(_ *Config, s *Shape) { s.Blackouts, s.Odds, s.Tears = true, 2, 2 },
	"two-nodes":  func(c *Config, _ *Shape) { c.Nodes = 2 },
	"dead-sleep": func(_ *Config, s *Shape) { s.Outage = 40 * time.Second },
	"lossy":      func(c *Config, _ *Shape) { c.Loss, c.Duplicate = 0.2, 0.1 },
	"slow": func(c *Config, s *Shape) {
		c.DelayMax, c.SyncMax, s.Every = 150*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond
	},
	"policies":          func(_ *Config, s *Shape) { s.Policies = true },
	"sets":              func(_ *Config, s *Shape) { s.Sets = true },
	"sets-and-policies": func(_ *Config, s *Shape) { s.Sets, s.Policies = true, true },
	"sets-split":        func(_ *Config, s *Shape) { s.Sets, s.Odds = true, 2 },
	"long-splits":       func(_ *Config, s *Shape) { s.Every, s.Odds = 500*time.Millisecond, 12 },
	"jobs":              func(_ *Config, s *Shape) { s.Jobs, s.Calm = true, time.Minute },
	"probes":            func(_ *Config, s *Shape) { s.Probes, s.Calm = true, time.Minute },
	"inits":             func(_ *Config, s *Shape) { s.Inits, s.Jobs, s.Calm = true, true, time.Minute },
	"pressure": func(_ *Config, s *Shape) {
		s.Pressure, s.Policies, s.Jobs, s.Ops, s.Every, s.Calm = true, true, true, s.Ops/2, time.Second, time.Minute
	},
	"lives":           func(_ *Config, s *Shape) { s.Lives = true },
	"volumes":         func(_ *Config, s *Shape) { s.Volumes = true },
	"volumes-split":   func(_ *Config, s *Shape) { s.Volumes, s.Odds = true, 2 },
	"snapshots":       func(_ *Config, s *Shape) { s.Snapshots, s.Calm = true, 50*time.Second },
	"snapshots-split": func(_ *Config, s *Shape) { s.Snapshots, s.Calm, s.Odds = true, 50*time.Second, 2 },
	"crons": func(_ *Config, s *Shape) {
		s.Crons, s.Ops, s.Every, s.Calm = true, s.Ops/2, 3*time.Second, 3*time.Minute
	},
}

// historyOf draws a world from its seed and the kind asked for.
func historyOf(seed uint64, kind string) (Config, Shape) {
	cfg := Config{
		Seed: seed, Nodes: 3 + int(seed%5),
		Loss: float64(seed%4) * 0.02, Duplicate: float64(seed%3) * 0.02,
		DelayMax: time.Duration(1+seed%20) * time.Millisecond, SyncMax: time.Duration(1+seed%10) * time.Millisecond,
		LostAfter: time.Duration(3+seed%9) * time.Second, FloorEvery: time.Duration(500+500*(seed%4)) * time.Millisecond,
	}
	shape := Shape{Ops: *ops, Every: 100 * time.Millisecond, Calm: 30 * time.Second}
	kinds[kind](&cfg, &shape)
	return cfg, shape
}

// TestHistories plays seeded histories on both cores of the machine and prints
// what they did. A failure names its seed.
func TestHistories(t *testing.T) {
	if *seed != 0 {
		w, bad := Play(historyOf(*seed, *kind))
		t.Logf("seed %d: %+v trace %x", *seed, w.Counts, w.Trace())
		t.Logf("%s\n%s%s", strings.Join(w.Log(), "\n"), w.Dump(), w.table())
		for _, b := range bad {
			t.Error(b)
		}
		return
	}
	var (
		mu    sync.Mutex
		total Counts
		group sync.WaitGroup
		seeds = make(chan uint64)
	)
	for range goruntime.GOMAXPROCS(0) {
		group.Go(func() {
			for s := range seeds {
				w, bad := Play(historyOf(s, *kind))
				mu.Lock()
				total.Add(w.Counts)
				if len(bad) > 0 {
					t.Errorf("seed %d: %d violations, the first: %s\n%s", s, len(bad), bad[0], keepLog(t, w, s))
				}
				mu.Unlock()
			}
		})
	}
	count := historiesMax()
	for s := range count {
		seeds <- *first + uint64(s)
	}
	close(seeds)
	group.Wait()
	fmt.Printf("histories: %d from seed %d, %+v\n", count, *first, total)
	if zeros := total.Zeros(); count >= enough && *kind == "" && len(zeros) > 0 {
		t.Errorf("in %d histories there was never any of %v: these rules were not put to the test", count, zeros)
	}
}

// playKinds plays the first histories of each kind, side by side, and counts what they did.
func playKinds(t *testing.T, played int, kinds ...string) (total Counts) {
	if raceEnabled {
		t.Skip("too slow under the race detector, and one goroutine each: make test plays it without, see WORLD_FLAGS")
	}
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for _, kind := range kinds {
			for s := range uint64(played) {
				t.Run(fmt.Sprint(kind, s+1), func(t *testing.T) {
					t.Parallel()
					w, bad := Play(historyOf(s+1, kind))
					mu.Lock()
					defer mu.Unlock()
					total.Add(w.Counts)
					if len(bad) > 0 {
						t.Errorf("%d violations, the first: %s", len(bad), bad[0])
					}
				})
			}
		}
	})
	return total
}

// policiesPlayed is how many histories TestWorkloadsWithPolicies plays: each of what it
// is about happens in some of them.
const policiesPlayed = 30

// TestWorkloadsWithPolicies plays histories in which workloads say how they want to be
// treated, nodes expel pods, and people evict and rebalance.
func TestWorkloadsWithPolicies(t *testing.T) {
	total := playKinds(t, policiesPlayed, "policies")
	if c := &total; c.Taints == 0 || c.Halts == 0 || c.Evictions == 0 || c.Rebalanced == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// jobsPlayed is how many histories TestJobsInHistories plays.
const jobsPlayed = 30

// TestJobsInHistories plays histories in which Jobs come, end and go.
func TestJobsInHistories(t *testing.T) {
	total := playKinds(t, jobsPlayed, "jobs")
	if c := &total; c.JobsDone == 0 || c.JobsFailed == 0 {
		t.Errorf("no Job came to an end: %+v", total)
	}
}

// probesPlayed is how many histories TestProbesInHistories plays.
const probesPlayed = 30

// TestProbesInHistories plays histories in which containers fail their probes for a while.
func TestProbesInHistories(t *testing.T) {
	total := playKinds(t, probesPlayed, "probes")
	if c := &total; c.ProbesFailed == 0 || c.ProbeKills == 0 {
		t.Errorf("no probe failed, or nobody heeded it: %+v", total)
	}
}

// initsPlayed is how many histories TestInitsInHistories plays.
const initsPlayed = 20

// TestInitsInHistories plays histories in which pods begin and end in an order.
func TestInitsInHistories(t *testing.T) {
	total := playKinds(t, initsPlayed, "inits")
	if c := &total; c.InitsRun == 0 || c.Hooks == 0 || c.ProbesFailed == 0 || c.JobsDone == 0 || c.PowerCuts == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// volumesPlayed is how many histories TestVolumesInHistories plays of each kind.
const volumesPlayed = 12

// TestVolumesInHistories plays histories in which pods have claims, and people give data
// up and delete it.
func TestVolumesInHistories(t *testing.T) {
	total := playKinds(t, volumesPlayed, "volumes", "volumes-split")
	if c := &total; c.ClaimStarts == 0 || c.RunsAway == 0 || c.Abandoned == 0 || c.VolumesRemoved == 0 || c.VolumesUnused == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// snapshotsPlayed is how many histories TestSnapshotsInHistories plays of each kind.
const snapshotsPlayed = 10

// TestSnapshotsInHistories plays histories in which nodes are asked to keep copies, and people
// delete what asks for them.
func TestSnapshotsInHistories(t *testing.T) {
	total := playKinds(t, snapshotsPlayed, "snapshots", "snapshots-split")
	if c := &total; c.CopiesWritten == 0 || c.CopiesRemoved == 0 || c.CopiesRefused == 0 || c.PowerCuts == 0 || c.DiskLosts == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// cronsPlayed is how many histories TestCronJobsInHistories plays.
const cronsPlayed = 20

// TestCronJobsInHistories plays histories in which clocks are wrong and CronJobs go by
// them.
func TestCronJobsInHistories(t *testing.T) {
	total := playKinds(t, cronsPlayed, "crons")
	if c := &total; c.CronRuns == 0 || c.ClocksSet == 0 || c.JobsDone == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// livesPlayed is how many histories TestLivesInHistories plays.
const livesPlayed = 40

// TestLivesInHistories plays histories in which objects have finalizers and owners.
func TestLivesInHistories(t *testing.T) {
	total := playKinds(t, livesPlayed, "lives")
	if c := &total; c.Released == 0 || c.Collected == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// pressurePlayed is how many histories TestPressureInHistories plays.
const pressurePlayed = 20

// TestPressureInHistories plays histories in which hosts have no memory left for a while,
// one of them until the end, and pods write more than they may.
func TestPressureInHistories(t *testing.T) {
	total := playKinds(t, pressurePlayed, "pressure")
	if c := &total; c.Squeezes == 0 || c.Pressed == 0 || c.PressedPods == 0 || c.Filled == 0 || c.JobsDone == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// enough is how many histories must have seen everything that can happen.
const enough = 100

// historiesMax bounds the histories under the race detector, which is ten times
// as slow; the full number is played without it.
func historiesMax() int {
	if raceEnabled {
		return min(*histories, 8)
	}
	return *histories
}

// keepLog writes down what broke a rule, and says how to play it again.
func keepLog(t *testing.T, w *World, seed uint64) string {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("holon-history-%s%d.log", *kind, seed))
	text := strings.Join(append(w.Log(), w.Violations()...), "\n")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Log(err)
	}
	return fmt.Sprintf("log: %s; again: go test ./testnet -run TestHistories -v -seed=%d -kind=%s -ops=%d", name, seed, *kind, *ops)
}
