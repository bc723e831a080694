package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// row is one line of the goals, with all figures that belong to it.
type row struct {
	id, about string
	run       func(ctx context.Context, b *bench) error
}

// rows in the order in which they are measured and reported.
var rows = []row{
	{"overhead", "the bench's own clients against a server that does nothing", overhead},
	{"P1", "a write is visible on all members, N=3, durable", visibility},
	{"P2", "a write is visible on all members, N=10, in one process", spread},
	{"P3", "converged writes per second, N=3, 64 clients, fsync", throughput},
	{"P4", "converged batched keys per second, N=3, in one process", batches},
	{"P5", "bytes on the wire per write", wireBytes},
	{"P6", "disk after overwrites", diskGrowth},
	{"P7", "catch-up after missed writes", catchUp},
	{"P8", "from the death of a member until all others have declared it", detection},
	{"P9", "from a power cut to the replacement's main()", replacementStarts},
	{"P10", "longest gap between writes when a node is killed", writeGap},
	{"P11", "placement core", placement},
	{"P12", "submit to durable visible assignment: the store's half", assignments},
	{"P13", "memory and disk, idle and with many ConfigMaps; restart", footprint},
	{"API", "the Kubernetes API of one node that shows the objects of a hundred, over TLS and HTTP/2", kubernetesAPI},
	{"start", "until a testnet is Ready", startTimes},
	{"replace", "from a power cut or a dead container to the last served page", replacements},
	{"size", "of the program", programSize},
}

func rowNames() string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.id
	}
	return strings.Join(names, ", ")
}

// bench is one run of the measurements.
type bench struct {
	options
	holon    string
	began    time.Time
	load     string
	figures  []*figure
	failures []string
}

func newBench(o options, holon string) *bench {
	return &bench{options: o, holon: holon, began: time.Now(), load: load()}
}

// scaled is how much of something to do: n, or with -quick a part of it.
func (b *bench) scaled(n, quick int) int {
	if b.quick {
		return quick
	}
	return n
}

// goal is what a figure must reach: a bound on the ratio to the peer of the same
// round, or without a peer on the figure itself.
type goal struct {
	text  string
	bound float64
	least bool // the bound is the least allowed, not the most
}

func atMost(text string, bound float64) goal  { return goal{text: text, bound: bound} }
func atLeast(text string, bound float64) goal { return goal{text: text, bound: bound, least: true} }

func (g goal) met(value float64) bool {
	if g.least {
		return value >= g.bound
	}
	return value <= g.bound
}

// figure is one measured quantity, round by round.
type figure struct {
	row, what string
	unit      string
	peerName  string
	goal      goal // without text: for information
	holon     series
	peer      series
}

// figure finds or makes a figure, so that each round can add to it.
func (b *bench) figure(row, what, unit, peerName string, g goal) *figure {
	at := slices.IndexFunc(b.figures, func(f *figure) bool { return f.row == row && f.what == what && f.peerName == peerName })
	if at >= 0 {
		return b.figures[at]
	}
	f := &figure{row: row, what: what, unit: unit, peerName: peerName, goal: g}
	b.figures = append(b.figures, f)
	return f
}

// add records one round.
func (f *figure) add(holon, peer float64) {
	f.holon = append(f.holon, holon)
	if f.peerName != "" {
		f.peer = append(f.peer, peer)
		say("%s %s: holon %s, %s %s, ratio %.2f", f.row, f.what, show(holon, f.unit), f.peerName, show(peer, f.unit), holon/peer)
		return
	}
	say("%s %s: %s", f.row, f.what, show(holon, f.unit))
}

// judged is the series that the goal speaks of.
func (f *figure) judged() series {
	if f.peerName == "" {
		return f.holon
	}
	ratios := make(series, len(f.holon))
	for i := range f.holon {
		ratios[i] = f.holon[i] / f.peer[i]
	}
	return ratios
}

func (f *figure) verdict() string {
	switch {
	case f.goal.text == "":
		return ""
	case f.goal.met(f.judged().median()):
		return "met"
	}
	return "**missed**"
}

// series are the samples of one quantity.
type series []float64

func (s series) min() float64 { return slices.Min(s) }
func (s series) max() float64 { return slices.Max(s) }
func (s series) median() float64 {
	t := slices.Sorted(slices.Values(s))
	return (t[(len(t)-1)/2] + t[len(t)/2]) / 2
}

// quantile is the smallest sample that is not below the part q of all.
func (s series) quantile(q float64) float64 {
	t := slices.Sorted(slices.Values(s))
	return t[min(int(q*float64(len(t))), len(t)-1)]
}

// show writes a value with three figures that matter. A ratio to a peer that has
// nothing of the kind, such as bytes said while idle, has no value.
func show(v float64, unit string) string {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return "-"
	}
	text := fmt.Sprintf("%.0f", v)
	switch {
	case v < 10:
		text = fmt.Sprintf("%.2f", v)
	case v < 100:
		text = fmt.Sprintf("%.1f", v)
	}
	return strings.TrimSpace(text + " " + unit)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
