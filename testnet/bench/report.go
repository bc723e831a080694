package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
)

// The hand-written part of the report lies between these lines; the generator
// keeps it.
const (
	notesBegin = "<!-- notes: written by hand, kept by the generator -->"
	notesEnd   = "<!-- end of notes -->"
)

const emptyNotes = notesBegin + `

## Notes on missed rows

None yet.

` + notesEnd + "\n"

// head says how figures are made and read.
const head = `# Benchmarks

Written by ` + "`make bench`" + `; numbers by hand do not belong here. holon and each peer are taken in turn in one run. A
cell is the median of the rounds; the range is the smallest and the largest ratio (without a peer: value). A goal
bounds the ratio holon / peer of one round, or without a peer the value; it is missed if the median misses it. Each
section says when and where it was measured; a run of some rows keeps the sections of the others.
`

// report is the text of the rows of this run.
func (b *bench) report(wanted []row) string {
	var s strings.Builder
	for _, r := range wanted {
		s.WriteString(b.section(r))
	}
	for _, f := range b.failures {
		fmt.Fprintf(&s, "Not measured: %s\n", f)
	}
	return s.String()
}

// section is the text of one row; empty if nothing was measured.
func (b *bench) section(r row) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	begun := false
	for _, f := range b.figures {
		if f.row != r.id || len(f.holon) == 0 {
			continue
		}
		if !begun {
			line("%s%s", sectionBegin(r), r.about)
			line("")
			line("%s; load average %s when it began; %s; %s.", machine(), b.load, version(b.holon), b.began.UTC().Format("2006-01-02 15:04 UTC"))
			line("`%s`", b.command(r))
			line("")
			line("| figure | holon | peer | ratio | goal | verdict | range | rounds |")
			line("|---|---|---|---|---|---|---|---|")
			begun = true
		}
		peer, ratio := "", ""
		judged, unit := f.judged(), f.unit
		if f.peerName != "" {
			peer = f.peerName + " " + show(f.peer.median(), f.unit)
			ratio, unit = show(judged.median(), "x"), "x"
		}
		line("| %s | %s | %s | %s | %s | %s | %s | %d |", f.what, show(f.holon.median(), f.unit), peer, ratio, f.goal.text, f.verdict(),
			spanOf(judged, unit), len(judged))
	}
	if begun {
		line("")
	}
	return s.String()
}

func sectionBegin(r row) string { return "## " + r.id + ": " }

func spanOf(s series, unit string) string {
	return show(s.min(), "") + " to " + show(s.max(), unit)
}

// command is how to get a row again.
func (b *bench) command(r row) string {
	text := fmt.Sprintf("cd testnet/bench && go run . -rows %s -rounds %d -cuts %d", r.id, b.rounds, b.cuts)
	if b.runtime != "process" {
		text += " -runtime " + b.runtime
	}
	if b.quick {
		text += " -quick"
	}
	return text
}

// writeReport replaces the sections of the rows of this run in the report, and
// keeps the others and what was written by hand.
func (b *bench) writeReport(wanted []row) error {
	text, err := os.ReadFile(b.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := string(text)
	out := head + "\n"
	for _, r := range rows {
		fresh := ""
		if slices.ContainsFunc(wanted, func(w row) bool { return w.id == r.id }) {
			fresh = b.section(r)
		}
		if fresh == "" {
			fresh = sectionOf(old, r)
		}
		out += fresh
	}
	return os.WriteFile(b.out, []byte(out+notesOf(old)), 0o644)
}

// sectionOf finds a row's section in an old report.
func sectionOf(old string, r row) string {
	_, rest, found := strings.Cut(old, "\n"+sectionBegin(r))
	if !found {
		return ""
	}
	rest = sectionBegin(r) + rest
	for _, next := range []string{"\n## ", "\n" + notesBegin} {
		if at := strings.Index(rest, next); at >= 0 {
			rest = rest[:at+1]
		}
	}
	return rest
}

func notesOf(old string) string {
	_, rest, found := strings.Cut(old, notesBegin)
	notes, _, ended := strings.Cut(rest, notesEnd)
	if !found || !ended {
		return emptyNotes
	}
	return notesBegin + notes + notesEnd + "\n"
}

func machine() string {
	cpu, memory := "unknown processor", ""
	scan("/proc/cpuinfo", func(name, value string) {
		if name == "model name" {
			cpu = value
		}
	})
	scan("/proc/meminfo", func(name, value string) {
		var kib int
		if _, err := fmt.Sscan(value, &kib); name == "MemTotal" && err == nil {
			memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
		}
	})
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d x %s, %s, Linux %s, %s", goruntime.NumCPU(), cpu, memory, strings.TrimSpace(string(kernel)), goruntime.Version())
}

// scan reads "name : value" lines.
func scan(path string, line func(name, value string)) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for s := bufio.NewScanner(strings.NewReader(string(text))); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		line(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(slices.Collect(strings.FieldsSeq(string(text)))[:3], " ")
}

func version(holon string) string {
	out, err := exec.Command(holon, "version").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
