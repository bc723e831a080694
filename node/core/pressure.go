package core

import (
	"slices"
	"time"

	"holon/crdt/state"
	"holon/runtime"
)

// What counts as too little of a host, with the kubelet's figures; of a disk the one that
// is less, or a large one would be full with much room left.
const (
	memoryLow    = 100 << 20
	diskLow      = 1 << 30
	diskLowShare = 20 // a twentieth of it
	// pressureCalm is for how long there has to be enough before a pressure is over.
	pressureCalm = 30 * time.Second
	// lookEvery is the least time between two looks at what pods use, and so between two
	// evictions: what one frees shows in the next sample.
	lookEvery = 10 * time.Second
)

// Spare is what is left of a host for more programs. What is not known has no Total.
type Spare struct {
	Memory Gauge
	Disks  []Gauge // the file systems that pods and the store grow on
}

// Gauge is how much of something there is, in bytes.
type Gauge struct{ Free, Total int64 }

func (g Gauge) lowDisk() bool { return g.Free < min(diskLow, g.Total/diskLowShare) }

// pressure is what this node lacks, by the samples that it was given.
type pressure struct {
	memory, disk strain
	lookAt       Instant // no look at what pods use before
	evicted      map[state.SlotID]eviction
}

// eviction is of a slot that is not taken back yet.
type eviction struct {
	message string
	until   Instant // 0: until memory is not short any more
}

// strain is how a node fares with one resource.
//
//	calm -> (a sample is low) -> felt -> (none was for pressureCalm) -> calm
type strain struct {
	known bool    // there was a sample
	low   bool    // the newest one was, and no eviction has answered it
	felt  bool    // there is a pressure
	since Instant // since when samples have not been low; 0: the newest is, or nothing is felt
}

// sample takes whether a sample was low.
func (s *strain) sample(low bool, now Instant) {
	s.known, s.low = true, low
	switch {
	case low:
		s.felt, s.since = true, 0
	case s.felt && s.since == 0:
		s.since = now
	case s.felt && now-s.since >= pressureCalm:
		s.felt, s.since = false, 0
	}
}

// feel takes what is left of the host. All that follows from it has its pace from these
// samples: nothing here needs a timer.
func (c *Core) feel(s Spare) {
	p := &c.pressure
	if s.Memory.Total > 0 {
		c.strain(&p.memory, s.Memory.Free < memoryLow, &memoryWords)
	}
	if len(s.Disks) > 0 {
		c.strain(&p.disk, slices.ContainsFunc(s.Disks, Gauge.lowDisk), &diskWords)
	}
	c.readmit()
	c.look()
}

// readmit lets slots in again whose time is over.
func (c *Core) readmit() {
	p := &c.pressure
	for slot, e := range p.evicted {
		if e.until == 0 && !p.memory.felt || e.until != 0 && c.now >= e.until {
			delete(p.evicted, slot)
			c.runner.dirty = true
		}
	}
}

// look asks what pods use, as far as it matters now.
func (c *Core) look() {
	p := &c.pressure
	if c.now < p.lookAt {
		return
	}
	if m := (Measure{Memory: c.short(), Dirs: c.boundedDirs()}); m.Memory || len(m.Dirs) > 0 {
		p.lookAt = c.now + lookEvery
		c.out.Measure = &m
	}
}

// short reports whether memory has to be had from pods now.
func (c *Core) short() bool { return c.pressure.memory.low || c.cfg.Ablate == ShortRule }

// strainWords say how a node fares with one resource, as the kubelet does.
type strainWords struct{ condition, lacking, enough, lackingText, enoughText, event, eventText string }

var (
	memoryWords = strainWords{
		"MemoryPressure", "HolonHasInsufficientMemory", "HolonHasSufficientMemory",
		"less than 100Mi of memory are available, or were a moment ago: pods are evicted, and no new ones are placed here", "holon has sufficient memory available",
		"NodeHasSufficientMemory", "Attempting to reclaim memory",
	}
	diskWords = strainWords{
		"DiskPressure", "HolonHasDiskPressure", "HolonHasNoDiskPressure",
		"less than 1Gi and a twentieth of a disk of this node are free, or were a moment ago: no new pods are placed here", "holon has no disk pressure",
		"NodeHasNoDiskPressure", "a disk of this node is almost full: no new pods are placed here, and nothing that runs is touched. Free some of it",
	}
)

// strain takes a sample of one resource, and tells of a pressure that begins or ends.
func (c *Core) strain(s *strain, low bool, w *strainWords) {
	before := *s
	s.sample(low, c.now)
	if s.known == before.known && s.felt == before.felt {
		return
	}
	c.status.dirty = true
	about := state.MakeKey(state.Nodes, "", c.cfg.Node)
	switch {
	case s.felt:
		c.fact(true, about, "EvictionThresholdMet", "%s", w.eventText)
	case before.felt:
		c.fact(false, about, w.event, "%s", w.enoughText)
	}
}

// conditions are what this node knows of its pressures.
func (p *pressure) conditions() (list []state.Condition) {
	for _, of := range []struct {
		*strain
		*strainWords
	}{{&p.memory, &memoryWords}, {&p.disk, &diskWords}} {
		switch {
		case !of.known:
		case of.felt:
			list = append(list, state.Condition{Type: of.condition, True: true, Reason: of.lacking, Message: of.lackingText})
		default:
			list = append(list, state.Condition{Type: of.condition, Reason: of.enough, Message: of.enoughText})
		}
	}
	return list
}

// Measure asks what pods of this node use. The shell answers with Measured.
type Measure struct {
	Memory bool // of all of them
	Dirs   []Dirs
}

// Dirs are empty directories on disk of one run.
type Dirs struct {
	Run     runtime.RunID
	Volumes []string
}

// Measured is what pods of this node use. What cannot be known is not in it.
type Measured struct {
	Pods []runtime.PodUsage
	Dirs map[runtime.RunID]map[string]int64 // bytes, by volume
}

func (Measured) event() {}
