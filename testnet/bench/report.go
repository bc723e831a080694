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
	"time"
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

// report writes the results in Markdown, without the hand-written part.
func (b *bench) report(wanted []row) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("# Benchmarks")
	line("")
	line("Written by `make bench`; numbers by hand do not belong here. holon and each peer are taken in turn in one run. A")
	line("cell is the median of the rounds; the range is the smallest and the largest ratio (without a peer: value). A goal")
	line("bounds the ratio holon / peer of one round, or without a peer the value; it is missed if the median misses it.")
	line("")
	line("- Machine: %s", machine())
	line("- Load average when it began: %s (the bench itself uses all cores while it runs)", b.load)
	line("- Program: %s", version(b.holon))
	line("- Date: %s, %d s in all", b.began.UTC().Format("2006-01-02 15:04 UTC"), int(time.Since(b.began).Seconds()))
	line("- Command: `%s`", b.command())
	if b.quick {
		line("- With -quick: a part of the load, so the figures are provisional.")
	}
	for _, r := range wanted {
		b.reportRow(line, r)
	}
	if len(b.failures) > 0 {
		line("")
		line("## Not measured")
		line("")
		for _, f := range b.failures {
			line("- %s", strings.ReplaceAll(f, "\n", " "))
		}
	}
	return s.String()
}

func (b *bench) reportRow(line func(string, ...any), r row) {
	begun := false
	for _, f := range b.figures {
		if f.row != r.id || len(f.holon) == 0 {
			continue
		}
		if !begun {
			line("")
			line("## %s: %s", r.id, r.about)
			line("")
			line("| figure | holon | peer | ratio | goal | verdict | range | rounds |")
			line("|---|---|---|---|---|---|---|---|")
			begun = true
		}
		peer, ratio := "", ""
		judged, unit := f.judged(), f.unit
		if f.peerName != "" {
			peer = f.peerName + " " + show(f.peer.median(), f.unit)
			ratio, unit = show(judged.median(), "")+"x", "x"
		}
		line("| %s | %s | %s | %s | %s | %s | %s | %d |", f.what, show(f.holon.median(), f.unit), peer, ratio, f.goal.text, f.verdict(),
			spanOf(judged, unit), len(judged))
	}
}

func spanOf(s series, unit string) string {
	return show(s.min(), "") + " to " + show(s.max(), unit)
}

// command is how to get this report again.
func (b *bench) command() string {
	parts := []string{"cd testnet/bench && go run ."}
	if b.rows != "" {
		parts = append(parts, "-rows "+b.rows)
	}
	parts = append(parts, fmt.Sprintf("-rounds %d -cuts %d", b.rounds, b.cuts))
	if b.quick {
		parts = append(parts, "-quick")
	}
	return strings.Join(parts, " ")
}

// writeReport replaces a report and keeps what was written by hand in it.
func writeReport(path, report string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(report+"\n"+notesOf(string(old))), 0o644)
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
