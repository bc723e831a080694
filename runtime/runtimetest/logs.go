package runtimetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holon/runtime"
)

func testLogSelection(h *harness) {
	spec := h.pod(h.container("main", "for i in 1 2 3 4 5; do echo old $i; done; sleep 3; echo new; exec sleep 1000"))
	h.ensure(spec)
	h.awaitLog(spec.ID, "main", "new")

	for tail, want := range map[int]string{
		-1: "old 1\nold 2\nold 3\nold 4\nold 5\nnew\n",
		0:  "", 1: "new\n", 3: "old 4\nold 5\nnew\n", 100: "old 1\nold 2\nold 3\nold 4\nold 5\nnew\n",
	} {
		if got := h.logs(spec.ID, "main", runtime.LogOptions{Tail: tail}); got != want {
			h.t.Errorf("tail %d: got %q, want %q", tail, got, want)
		}
	}
	stamped := h.logs(spec.ID, "main", runtime.LogOptions{Tail: -1, Timestamps: true})
	var times []time.Time
	for line := range strings.Lines(stamped) {
		stamp, rest, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil || rest == "" {
			h.t.Fatalf("line %q has no RFC 3339 time stamp: %v", line, err)
		}
		times = append(times, at)
	}
	if len(times) != 6 || times[5].Sub(times[4]) < 2*time.Second {
		h.t.Fatalf("time stamps are %v, want six, the last 3 s later", times)
	}
	// The middle between the last old line and the new one, from now.
	since := time.Since(times[4].Add(times[5].Sub(times[4]) / 2))
	if got := h.logs(spec.ID, "main", runtime.LogOptions{Tail: -1, Since: since}); got != "new\n" {
		h.t.Errorf("since %v: got %q, want only the new line", since, got)
	}
	if got := h.logs(spec.ID, "main", runtime.LogOptions{Tail: -1, Since: time.Hour}); got != "old 1\nold 2\nold 3\nold 4\nold 5\nnew\n" {
		h.t.Errorf("since 1h: got %q", got)
	}
}

func testLogFollow(h *harness) {
	spec := h.pod(h.container("main", "echo one; sleep 1; echo two; sleep 1; printf three; exit 0"))
	h.ensure(spec)
	var log syncBuffer
	if err := h.rt.Logs(h.ctx, spec.ID, "main", runtime.LogOptions{Follow: true, Tail: -1}, &log); err != nil {
		h.t.Fatalf("follow: %v", err)
	}
	if got := strings.TrimSuffix(log.String(), "\n"); got != "one\ntwo\nthree" {
		h.t.Errorf("followed %q until the exit", got)
	}
	// Following what has exited returns at once.
	if err := h.rt.Logs(h.ctx, spec.ID, "main", runtime.LogOptions{Follow: true, Tail: 1}, &log); err != nil {
		h.t.Fatalf("follow after the exit: %v", err)
	}

	stay := h.pod(h.container("main", forever))
	h.ensure(stay)
	ctx, cancel := context.WithCancel(h.ctx)
	var stayLog syncBuffer
	done := make(chan error, 1)
	go func() {
		done <- h.rt.Logs(ctx, stay.ID, "main", runtime.LogOptions{Follow: true, Tail: -1}, &stayLog)
	}()
	h.eventually("the follower has a line", func() bool { return strings.Contains(stayLog.String(), "started") }, stayLog.String)
	cancel()
	select {
	case err := <-done:
		if err != nil {
			h.t.Errorf("a follower whose context ended returned %v, want nil", err)
		}
	case <-time.After(h.Patience):
		h.t.Fatal("a follower does not end with its context")
	}
}

func testLogLongLines(h *harness) {
	spec := h.pod(h.container("main", `i=0; l=0123456789abcdef; while [ $i -lt 11 ]; do l=$l$l; i=$((i+1)); done; echo $l; echo err >&2; echo out; exit 0`))
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	got := h.awaitLog(spec.ID, "main", "out\n")
	long := strings.Repeat("0123456789abcdef", 1<<11) + "\n"
	if !strings.Contains(got, long) {
		h.t.Errorf("a line of %d bytes did not come back whole (%d bytes of log)", len(long), len(got))
	}
	if !strings.Contains(got, "err\n") {
		h.t.Errorf("stderr is not in the log: %q", strings.ReplaceAll(got, long, "<long>\n"))
	}
}

func testLogRotation(h *harness) {
	if h.LogBytesMax == 0 {
		h.t.Log("the fixture does not rotate")
		return
	}
	lines := 4 * h.LogBytesMax / 100 // four files' worth of lines of 100 bytes
	script := fmt.Sprintf(`pad=%s; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "$i $pad"; done; exit 0`, strings.Repeat("x", 90), lines)
	spec := h.pod(h.container("main", script))
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	h.awaitLog(spec.ID, "main", fmt.Sprintf("\n%d xxx", lines))
	got := h.logs(spec.ID, "main", all)
	if len(got) > 2*h.LogBytesMax+4096 {
		h.t.Errorf("the log holds %d bytes, cap is 2 x %d", len(got), h.LogBytesMax)
	}
	// What is kept is the end of the log, without holes.
	var first int
	fmt.Sscan(got, &first)
	want := first
	for line := range strings.Lines(got) {
		var n int
		fmt.Sscan(line, &n)
		if n != want {
			h.t.Fatalf("line %d follows line %d", n, want-1)
		}
		want++
	}
	if want != lines+1 {
		h.t.Fatalf("the log ends at line %d of %d", want-1, lines)
	}
}
