package runtimetest

import (
	"context"
	"io"
	"strings"
	"time"

	"holon/runtime"
)

// attach attaches to main in the background. wait ends with it.
func (h *harness) attach(ctx context.Context, id runtime.RunID, opts runtime.AttachOptions) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- h.rt.Attach(ctx, id, "main", opts) }()
	return func() error {
		h.t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(h.Patience):
			h.t.Fatal("attach does not return")
			return nil
		}
	}
}

func testAttachOutput(h *harness) {
	spec := h.pod(h.container("main", "echo before; until [ -e over ]; do echo out; echo err >&2; sleep 0.1; done; echo last; exit 3"))
	h.ensure(spec)
	h.awaitLog(spec.ID, "main", "out")
	for _, ends := range []bool{false, true} {
		ctx, cancel := context.WithCancel(h.ctx)
		var out, errOut syncBuffer
		wait := h.attach(ctx, spec.ID, runtime.AttachOptions{Stdout: &out, Stderr: &errOut})
		h.eventually("both outputs come", func() bool {
			return strings.Contains(out.String(), "out\n") && strings.Contains(errOut.String(), "err\n")
		}, func() string { return out.String() + errOut.String() })
		if ends {
			if code, err := h.exec(spec.ID, ": > over", runtime.ExecOptions{}); err != nil || code != 0 {
				h.t.Fatalf("exec: code %d, error %v", code, err)
			}
		} else {
			cancel()
		}
		if err := wait(); err != nil {
			h.t.Errorf("attach: %v", err)
		}
		cancel()
		if strings.Contains(out.String(), "err") || strings.Contains(errOut.String(), "out") || strings.Contains(out.String(), "before") {
			h.t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
		}
		if ends && !strings.HasSuffix(out.String(), "last\n") {
			h.t.Errorf("the last words are not in %q", out.String())
		}
	}
	if c := h.awaitState(spec.ID, "main", 0, runtime.Exited); c.ExitCode != 3 {
		h.t.Errorf("exit code %d, want 3: who detaches is not noticed", c.ExitCode)
	}
}

func testAttachRefuses(h *harness) {
	spec := h.pod(h.container("main", "while :; do sleep 1; done"), h.container("done", "exit 0"))
	h.ensure(spec)
	h.awaitState(spec.ID, "done", 0, runtime.Exited)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
	for what, try := range map[string]struct {
		id        runtime.RunID
		container string
		opts      runtime.AttachOptions
		kind      runtime.Kind
	}{
		"a pod that is not there":       {"nobody", "main", runtime.AttachOptions{}, runtime.NotFound},
		"a container that is not there": {spec.ID, "nobody", runtime.AttachOptions{}, runtime.NotFound},
		"a container that has exited":   {spec.ID, "done", runtime.AttachOptions{}, runtime.Failed},
		"a container without input":     {spec.ID, "main", runtime.AttachOptions{Stdin: strings.NewReader("x")}, runtime.Failed},
	} {
		h.wantKind("attach to "+what, h.rt.Attach(h.ctx, try.id, try.container, try.opts), try.kind)
	}
}

// withInput is a pod whose container was given standard input. Where there is none,
// the container says so.
func (h *harness) withInput(script string, tty bool) (spec runtime.Spec, ok bool) {
	c := h.container("main", script)
	c.Stdin, c.TTY = true, tty
	spec = h.pod(c)
	h.ensure(spec)
	if !h.NoInput {
		h.awaitState(spec.ID, "main", 0, runtime.Running)
		return spec, true
	}
	// It may read the end of its input, and be over, before anybody looks.
	s := h.await(spec.ID, "container main has started", func(s runtime.Status) bool { return find(s, "main").ID != "" })
	if said := find(s, "main").Message; !strings.Contains(said, "standard input") {
		h.t.Errorf("a container that was to have standard input says %q", said)
	}
	return spec, false
}

// detaches are the keys that detach a client of Podman or Docker; here they are input.
const detaches = "\x10\x11"

// typist gives one byte at a time, as a person does, so that each is seen by itself.
type typist struct{ text string }

func (t *typist) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	n := copy(p[:min(len(p), 1)], t.text)
	if n == 0 {
		return 0, io.EOF
	}
	t.text = t.text[n:]
	return n, nil
}

func testAttachInput(h *harness) {
	spec, ok := h.withInput("cat; echo over; exit 5", false)
	if !ok {
		return
	}
	var out syncBuffer
	said := strings.Repeat("0123456789abcdef", 1<<12) + detaches + "words\n"
	in := io.MultiReader(strings.NewReader(said[:1<<16]), &typist{detaches + "words\n"})
	wait := h.attach(h.ctx, spec.ID, runtime.AttachOptions{Stdin: in, Stdout: &out})
	if err := wait(); err != nil || out.String() != said+"over\n" {
		h.t.Errorf("%d bytes through a container: error %v, %d bytes came back", len(said), err, len(out.String()))
	}
	if c := h.awaitState(spec.ID, "main", 0, runtime.Exited); c.ExitCode != 5 {
		h.t.Errorf("exit code %d, want 5", c.ExitCode)
	}
}

func testAttachTTY(h *harness) {
	spec, ok := h.withInput(`test -t 0 && test -t 1 && echo terminal
		until [ "$(stty size)" = "40 120" ]; do sleep 0.05; done; echo first
		until [ "$(stty size)" = "25 81" ]; do sleep 0.05; done; echo second
		read line; echo "got $line"; exec sleep 1000`, true)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(h.ctx)
	var out syncBuffer
	resize := make(chan runtime.Size, 2)
	resize <- runtime.Size{Width: 120, Height: 40} // at once after one that is too large, as kubectl does
	wait := h.attach(ctx, spec.ID, runtime.AttachOptions{
		Stdin: blockedReader{ctx}, Stdout: &out, Size: runtime.Size{Width: 121, Height: 41}, Resize: resize,
	})
	h.awaitLog(spec.ID, "main", "first")
	resize <- runtime.Size{Width: 81, Height: 25}
	h.eventually("the second size arrives", func() bool { return strings.Contains(out.String(), "second") }, out.String)
	cancel()
	if err := wait(); err != nil {
		h.t.Errorf("attach: %v", err)
	}

	// The next one finds the terminal as it was left.
	ctx, cancel = context.WithCancel(h.ctx)
	out = syncBuffer{}
	wait = h.attach(ctx, spec.ID, runtime.AttachOptions{Stdin: strings.NewReader("words\n"), Stdout: &out})
	h.eventually("what is typed arrives", func() bool { return strings.Contains(out.String(), "got words") }, out.String)
	cancel()
	if err := wait(); err != nil {
		h.t.Errorf("attach again: %v", err)
	}
	h.awaitState(spec.ID, "main", 0, runtime.Running)
}
