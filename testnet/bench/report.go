package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"time"
)

// report writes the results in Markdown.
func (b *bench) report(r *results) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("# Benchmarks")
	line("")
	line("Written by `make bench`; numbers by hand do not belong here. Pods are plain host processes, nodes are real")
	line("`holon up` processes on loopback. Times are taken from outside: a replica counts when its page has been fetched.")
	line("")
	line("- Machine: %s", machine())
	line("- Load average when it began: %s", r.load)
	line("- Program: %s", version(b.holon))
	line("- Date: %s, %d s in all", r.began.UTC().Format("2006-01-02 15:04 UTC"), int(time.Since(r.began).Seconds()))
	line("")
	line("| what | goal | min | median | max | samples |")
	line("|---|---|---|---|---|---|")
	for _, n := range sizes {
		goal := ""
		if n == 10 {
			goal = "5 s"
		}
		row(line, fmt.Sprintf("`testnet up`, %d nodes, until all see all Ready", n), goal, "s", r.ready[n])
	}
	row(line, "power cut of the scheduler, until all replicas serve", "4 s", "s", r.scheduler)
	row(line, "power cut of another node, until all replicas serve", "4 s", "s", r.other)
	row(line, "dead container, until its pod serves again", "", "s", r.dead)
	row(line, "idle RSS of a node, of ten", "80 MiB", "MiB", r.rss["VmRSS"])
	row(line, "- of which anonymous (RssAnon)", "", "MiB", r.rss["RssAnon"])
	row(line, "- of which the program's file, shared by all nodes (RssFile)", "", "MiB", r.rss["RssFile"])
	line("| size of the program, stripped | 60 MB | | %.1f MB | | 1 |", float64(r.size)/1e6)
	return s.String()
}

func row(line func(string, ...any), what, goal, unit string, s series) {
	format := "| %s | %s | %.2f %s | %.2f %s | %.2f %s | %d |"
	if unit == "MiB" {
		format = "| %s | %s | %.0f %s | %.0f %s | %.0f %s | %d |"
	}
	line(format, what, goal, s.min(), unit, s.median(), unit, s.max(), unit, len(s))
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
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d x %s, %s, Linux %s, %s", goruntime.NumCPU(), cpu, memory, strings.TrimSpace(string(kernel)), goruntime.Version())
}

// scan reads "name : value" lines.
func scan(path string, line func(name, value string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		line(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func version(holon string) string {
	out, err := exec.Command(holon, "version").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
