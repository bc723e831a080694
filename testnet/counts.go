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
	Restartings, Drains                              int // goodbyes for a while
	Unsynced                                         int // batches that a crash took before they were durable
	Conflicts                                        int // registers written on both sides
	Pulls, Repairs                                   int // chunks of records sent; those that brought news
	StandIns, StandInStarts, HandBacks, HomeMoves    int
	Surges, Rejections, Orphans                      int
	Restarts, BackOffs                               int // of containers, at once and after a wait
	Steps                                            int
}

// Add sums two counts.
func (c *Counts) Add(o Counts) {
	sum, more := reflect.ValueOf(c).Elem(), reflect.ValueOf(o)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + more.Field(i).Int())
	}
}

// Zeros names what never happened.
func (c *Counts) Zeros() (names []string) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Int() == 0 {
			names = append(names, v.Type().Field(i).Name)
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
