package runtimetest

import (
	"context"
	"fmt"
	"strings"
	"testing/iotest"
	"time"

	"holon/runtime"
)

// exec runs a script in a container with the given streams.
func (h *harness) exec(id runtime.RunID, script string, opts runtime.ExecOptions) (int, error) {
	opts.Command, _ = h.Command(script)
	return h.rt.Exec(h.ctx, id, "main", opts)
}

func (h *harness) sleeper() runtime.Spec {
	spec := h.pod(h.container("main", forever))
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
	return spec
}

func testExecExitCode(h *harness) {
	spec := h.sleeper()
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -9 $$": 137} {
		code, err := h.exec(spec.ID, script, runtime.ExecOptions{})
		if err != nil || code != want {
			h.t.Errorf("exec %q: code %d, error %v, want code %d", script, code, err, want)
		}
	}
	code, err := h.rt.Exec(h.ctx, spec.ID, "main", runtime.ExecOptions{Command: []string{"/no/such/program-of-holon"}})
	if err != nil || (code != 127 && code != 126) {
		h.t.Errorf("exec of a missing command: code %d, error %v, want 127 or 126", code, err)
	}
	_, err = h.rt.Exec(h.ctx, spec.ID, "main", runtime.ExecOptions{})
	h.wantKind("exec of nothing", err, runtime.BadSpec)

	done := h.pod(h.container("main", "exit 0"))
	h.ensure(done)
	h.awaitState(done.ID, "main", 0, runtime.Exited)
	if _, err := h.exec(done.ID, "exit 0", runtime.ExecOptions{}); err == nil {
		h.t.Error("exec in a container that has exited succeeds")
	}
}

func testExecStreams(h *harness) {
	spec := h.sleeper()
	var out, errOut syncBuffer
	code, err := h.exec(spec.ID, "echo to out; echo to err >&2; cat", runtime.ExecOptions{
		Stdin: strings.NewReader("from stdin\n"), Stdout: &out, Stderr: &errOut,
	})
	if err != nil || code != 0 {
		h.t.Fatalf("exec: code %d, error %v", code, err)
	}
	if out.String() != "to out\nfrom stdin\n" || errOut.String() != "to err\n" {
		h.t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
	}

	// Much data in small pieces arrives whole, both ways.
	long := strings.Repeat("0123456789abcdef", 1<<14)
	var echo syncBuffer
	code, err = h.exec(spec.ID, "cat", runtime.ExecOptions{Stdin: iotest.HalfReader(strings.NewReader(long)), Stdout: &echo})
	if err != nil || code != 0 || echo.String() != long {
		h.t.Errorf("%d bytes through cat: code %d, error %v, %d bytes came back", len(long), code, err, len(echo.String()))
	}

	// No stdin is a closed stdin, and nobody waits for unread output.
	code, err = h.exec(spec.ID, "cat; echo x; echo y >&2", runtime.ExecOptions{})
	if err != nil || code != 0 {
		h.t.Errorf("exec without streams: code %d, error %v", code, err)
	}

	// A stdin that never ends does not hold up a command that does.
	endless, stop := context.WithCancel(h.ctx)
	defer stop()
	code, err = h.exec(spec.ID, "exit 6", runtime.ExecOptions{Stdin: blockedReader{endless}})
	if err != nil || code != 6 {
		h.t.Errorf("exec with an endless stdin: code %d, error %v", code, err)
	}
}

// blockedReader has nothing to read until its context ends.
type blockedReader struct{ ctx context.Context }

func (b blockedReader) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func testExecContext(h *harness) {
	c := h.container("main", forever)
	c.WorkingDir = "/tmp"
	c.Env = []runtime.Env{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)2"}, {Name: "IP", PodIP: true}}
	spec := h.pod(c)
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
	s, _ := h.status(spec.ID)
	var out syncBuffer
	code, err := h.exec(spec.ID, `echo "$PWD $B $IP"`, runtime.ExecOptions{Stdout: &out})
	if want := "/tmp 12 " + s.IP + "\n"; err != nil || code != 0 || out.String() != want {
		h.t.Errorf("exec saw %q (code %d, error %v), want %q", out.String(), code, err, want)
	}
}

func testExecTTY(h *harness) {
	spec := h.sleeper()
	var out syncBuffer
	resize := make(chan runtime.Size, 2)
	done := make(chan struct{})
	var code int
	var err error
	go func() {
		defer close(done)
		code, err = h.exec(spec.ID, `test -t 0 && test -t 1 && test -t 2 && echo terminal
			until [ "$(stty size)" = "40 120" ]; do sleep 0.05; done; echo first
			until [ "$(stty size)" = "25 81" ]; do sleep 0.05; done; echo second; exit 5`,
			runtime.ExecOptions{TTY: true, Stdin: blockedReader{h.ctx}, Stdout: &out, Resize: resize})
	}()
	h.eventually("exec has a terminal", func() bool { return strings.Contains(out.String(), "terminal") }, out.String)
	resize <- runtime.Size{Width: 120, Height: 40}
	h.eventually("the first size arrives", func() bool { return strings.Contains(out.String(), "first") }, out.String)
	resize <- runtime.Size{Width: 81, Height: 25}
	h.eventually("the second size arrives", func() bool { return strings.Contains(out.String(), "second") }, out.String)
	select {
	case <-done:
	case <-time.After(h.Patience):
		h.t.Fatal("exec with a terminal does not end")
	}
	if err != nil || code != 5 {
		h.t.Errorf("code %d, error %v, want code 5", code, err)
	}

	out = syncBuffer{}
	code, err = h.exec(spec.ID, `read line; echo "got $line"`, runtime.ExecOptions{TTY: true, Stdin: strings.NewReader("words\n"), Stdout: &out})
	if err != nil || code != 0 || !strings.Contains(out.String(), "got words") {
		h.t.Errorf("typed into a terminal: code %d, error %v, output %q", code, err, out.String())
	}
}

// testExecSize runs a command that looks at its terminal at once.
func testExecSize(h *harness) {
	spec := h.sleeper()
	look := "stty size"
	if h.LateSize {
		look = untilSized
	}
	for i := range uint16(10) {
		size := runtime.Size{Width: 100 + i, Height: 30 + i}
		want := fmt.Sprintf("%d %d", size.Height, size.Width)
		var out syncBuffer
		script := fmt.Sprintf("want='%s'; %s", want, look)
		if _, err := h.exec(spec.ID, script, runtime.ExecOptions{TTY: true, Stdout: &out, Size: size}); err != nil {
			h.t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != want {
			h.t.Errorf("a command begins on a terminal of size %q instead of %s", got, want)
		}
	}
}

// untilSized gives the size ten seconds to arrive.
const untilSized = `i=0; until [ "$(stty size)" = "$want" ] || [ $i = 100 ]; do sleep 0.1; i=$((i+1)); done 2>/dev/null; stty size`

func testExecCancel(h *harness) {
	spec := h.sleeper()
	for _, tty := range []bool{false, true} {
		ctx, cancel := context.WithCancel(h.ctx)
		var out syncBuffer
		command, _ := h.Command("echo pid $$; sleep 1000")
		ended := make(chan error, 1)
		go func() {
			_, err := h.rt.Exec(ctx, spec.ID, "main", runtime.ExecOptions{Command: command, TTY: tty, Stdout: &out})
			ended <- err
		}()
		h.eventually("exec runs", func() bool { return strings.HasSuffix(out.String(), "\n") }, out.String)
		pid := strings.TrimSpace(strings.TrimPrefix(out.String(), "pid "))
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				h.t.Error("a cancelled exec returns no error")
			}
		case <-time.After(h.Patience):
			h.t.Fatal("a cancelled exec does not return")
		}
		h.eventually("a cancelled exec is killed", func() bool {
			code, err := h.exec(spec.ID, "kill -0 "+pid+" 2>/dev/null", runtime.ExecOptions{})
			return err == nil && code != 0
		}, func() string { return "pid " + pid + " lives on" })
	}
}
