package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReportKeepsNotesAndOtherRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.md")
	size, start := rowNamed(t, "size"), rowNamed(t, "start")
	first := &bench{options: options{out: path}}
	first.figure("start", "three", "s", "", atMost("<= 5 s", 5)).add(7, 0)
	first.figure("size", "program", "MB", "", goal{}).add(48, 0)
	if err := first.writeReport([]row{start, size}); err != nil {
		t.Fatal(err)
	}
	text := read(t, path)
	text = strings.Replace(text, "None yet.", "A profile.", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second := &bench{options: options{out: path}}
	second.figure("size", "program", "MB", "", goal{}).add(61, 0)
	if err := second.writeReport([]row{size}); err != nil {
		t.Fatal(err)
	}
	text = read(t, path)
	for want, times := range map[string]int{
		"A profile.": 1, "| three | 7.00 s |": 1, "**missed**": 1, "| program | 61.0 MB |": 1, "48.0": 0,
		sectionBegin(start): 1, sectionBegin(size): 1, notesBegin: 1, notesEnd: 1,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", want, n, times, text)
		}
	}
}

func rowNamed(t *testing.T, id string) row {
	t.Helper()
	wanted, err := selectRows(id)
	if err != nil {
		t.Fatal(err)
	}
	return wanted[0]
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestVerdictIsTheMedians(t *testing.T) {
	for _, c := range []struct {
		goal goal
		want string
	}{{atMost("", 2), ""}, {atMost("x", 2), "met"}, {atMost("x", 1.9), "**missed**"}, {atLeast("x", 2), "met"}, {atLeast("x", 2.1), "**missed**"}} {
		f := figure{goal: c.goal, peerName: "peer", holon: series{9, 4, 1}, peer: series{1, 2, 1}} // ratios 9, 2, 1
		if got := f.verdict(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.goal, got, c.want)
		}
	}
}

func TestMarkerIsFoundInAnyEncoding(t *testing.T) {
	w := write{key: 12345, id: 67890123}
	value := valueOf(w, largeValue)
	if len(value) != largeValue {
		t.Errorf("value of %d bytes, want %d", len(value), largeValue)
	}
	if got, ok := findMarker([]byte("\x0a\x07" + value)); !ok || got != w {
		t.Errorf("found %v, %v", got, ok)
	}
	other := write{1, 2}
	if got, ok := findMarker(withMarker([]byte("\x0a"+value), other)); !ok || got != other {
		t.Errorf("found %v, %v after the marker was replaced", got, ok)
	}
	if _, ok := findMarker([]byte(value[:markerLen-1])); ok {
		t.Error("half a marker was found")
	}
}

func TestTrackerWaitsForEveryMember(t *testing.T) {
	tr := newTracker(2)
	tr.expect(write{1, 5}, time.Now())
	tr.expect(write{1, 6}, time.Now())
	tr.seen(0, write{1, 6})
	tr.seen(1, write{1, 5})
	if n := tr.lost(); n != 1 {
		t.Errorf("%d writes open after one member has shown both and the other the first, want 1", n)
	}
	tr.seen(1, write{1, 6})
	if n := tr.lost(); n != 0 {
		t.Errorf("%d writes open at the end", n)
	}
	if n := len(tr.latencies()); n != 2 {
		t.Errorf("%d times taken of 2 writes", n)
	}
}

func TestDeathIsDeclaredWhenTheLastHasDeclaredIt(t *testing.T) {
	o := newOpinions(3)
	all := func(of int, state opinionState, by ...int) {
		for _, m := range by {
			o.say(m, of, state)
		}
	}
	all(0, alive, 1, 2)
	all(1, alive, 0, 2)
	all(2, alive, 0)
	if o.allAlive() == nil {
		t.Error("member 1 has not said anything about member 2")
	}
	o.say(1, 2, alive)
	if err := o.allAlive(); err != nil {
		t.Error(err)
	}
	o.say(1, 0, dead)
	if _, err := o.declared(0); err == nil {
		t.Error("member 2 has declared nothing")
	}
	before := time.Now()
	o.say(2, 0, dead)
	after := time.Now()
	o.say(1, 0, dead) // again: not news
	if last, err := o.declared(0); err != nil || last.Before(before) || last.After(after) {
		t.Errorf("declared at %v, %v; want between %v and %v", last, err, before, after)
	}
	if n := o.count(); n != 2 {
		t.Errorf("%d verdicts, want 2", n)
	}
	o.forget(1)
	if _, err := o.declared(0); err == nil {
		t.Error("member 1 has begun anew and declared nothing")
	}
}

func TestLinesAreWholeHoweverTheyArrive(t *testing.T) {
	var got []string
	l := &lines{of: func(line string) { got = append(got, line) }, began: make(chan struct{}, 1)}
	for _, part := range []string{"1 ", "2\n2 1\njoi", "ned\n3", " 2\n"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if text := strings.Join(got, "|"); text != "1 2|2 1|3 2" || len(l.began) != 1 {
		t.Errorf("read %q, joined %d times", text, len(l.began))
	}
}
