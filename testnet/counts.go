package testnet

import (
	"reflect"

	"holon/node/core"
)

// Counts are what happened in a history; a rule that was never put to the test
// proves nothing.
type Counts struct {
	Ops, Acked, Refused                              int // of clients
	Crashes, PowerCuts, Partitions, Heals, DiskLosts int // faults
	Lost, Duplicated, Pauses, Kills, RuntimeDowns    int
	Restartings, Drains, RecordDrains                int // goodbyes for a while
	MemberEvictions, Forgotten                       int // members, the latter after the storm
	Orphaned                                         int // clusters in which nobody is left who counted
	Taints, Halts, Evictions, Rebalanced             int // where workloads have policies
	Relabels, OrderedStarts, SetTwice                int // where there are StatefulSets and DaemonSets
	JobsDone, JobsFailed                             int // after the calm
	ProbesFailed, ProbeKills                         int // where containers have probes
	Hooks, InitsRun                                  int // where pods have init containers
	ClaimStarts, RunsAway, Abandoned                 int // where there are claims
	VolumesRemoved, VolumesUnused                    int
	Squeezes, Pressed, PressedPods, Filled           int // where memory or room for files is short
	CopiesWritten, CopiesRemoved, CopiesRefused      int // where there are Snapshots
	CronRuns, ClocksSet                              int // where there are CronJobs
	Ended, Released, Collected                       int // deleted; finalizers taken; deleted with their owners
	Torn                                             int // crashes between a drop and what follows from it
	Unsynced                                         int // batches that a crash took before they were durable
	Conflicts                                        int // registers written on both sides
	Takes, Drops, Compactions                        int // acknowledged
	Pulls, Repairs                                   int // chunks of records sent; those that brought news
	StandIns, StandInStarts, HandBacks, HomeMoves    int
	Surges, Rejections, Orphans                      int
	Restarts, BackOffs                               int // of containers, at once and after a wait
	RollbacksSeen, RollbacksUnseen                   int // disks put back, noticed at boot or not
	Late                                             int // frames that came seconds after they were sent
	Core                                             core.Counters
	Steps                                            int
}

// Add sums two counts.
func (c *Counts) Add(o Counts) {
	add(reflect.ValueOf(c).Elem(), reflect.ValueOf(o), 1)
}

func add(sum, more reflect.Value, sign int64) {
	for i := range sum.NumField() {
		if f := sum.Field(i); f.Kind() == reflect.Struct {
			add(f, more.Field(i), sign)
		} else {
			f.SetInt(f.Int() + sign*more.Field(i).Int())
		}
	}
}

// accounts counts what a core's counters say beyond what they said before.
func (c *Counts) accounts(now, before core.Counters) {
	if now == before {
		return
	}
	sum := reflect.ValueOf(&c.Core).Elem()
	add(sum, reflect.ValueOf(now), 1)
	add(sum, reflect.ValueOf(before), -1)
}

// rare are shown by stories, and by the histories of kind policies: nodes that keep the rules forge nothing and flood
// nobody, and what the fingerprints find is what all else has missed.
var rare = map[string]bool{"Squeezes": true, "Pressed": true, "PressedPods": true, "Filled": true, "Released": true, "Collected": true, "ClaimStarts": true, "RunsAway": true, "Abandoned": true, "VolumesRemoved": true, "VolumesUnused": true, "CopiesWritten": true, "CopiesRemoved": true, "CopiesRefused": true, "Orphaned": true, "ProbesFailed": true, "ProbeKills": true, "Hooks": true, "InitsRun": true, "JobsDone": true, "JobsFailed": true, "CronRuns": true, "ClocksSet": true, "Relabels": true, "OrderedStarts": true, "SetTwice": true, "Taints": true, "Halts": true, "Evictions": true, "Rebalanced": true, "Poisoned": true, "Limited": true, "Divergences": true, "Repaired": true, "SentBack": true}

// Zeros names what never happened.
func (c *Counts) Zeros() []string { return zeros(reflect.ValueOf(c).Elem()) }

func zeros(v reflect.Value) (names []string) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			names = append(names, zeros(f)...)
		case f.Int() == 0 && !rare[name]:
			names = append(names, name)
		}
	}
	return names
}

// fact counts what a core says of itself.
func (c *Counts) fact(f core.Fact) {
	switch f.Reason {
	case "OrphanRemoved":
		c.Orphans++
	case "OutOfcpu", "OutOfmemory", "OutOfpods":
		c.Rejections++
	}
}
