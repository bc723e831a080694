package runtimetest

import (
	"fmt"
	"strings"

	"holon/runtime"
)

// endsAs runs a script as the next attempt of "main" and returns the status of its end.
func (h *harness) endsAs(spec *runtime.Spec, script string) runtime.ContainerStatus {
	h.t.Helper()
	message := spec.Containers[0].Message
	spec.Containers[0] = h.container("main", script)
	spec.Containers[0].Message = message
	attempt := 0
	if s, there := h.status(spec.ID); there {
		attempt = find(s, "main").Attempt + 1
	}
	if attempt == 0 {
		h.ensure(*spec)
	} else if err := h.rt.StartContainer(h.ctx, *spec, "main", attempt); err != nil {
		h.t.Fatalf("StartContainer %d: %v", attempt, err)
	}
	return h.awaitState(spec.ID, "main", attempt, runtime.Exited)
}

// testMessage: what a program leaves in its file is the message of the attempt, and of no
// other one, also when it is the one before, and to the next daemon.
func testMessage(h *harness) {
	spec := h.pod(h.container("main", ""))
	spec.Containers[0].Message.Path = "/dev/termination-log"
	file := h.Path("/dev/termination-log")
	if c := h.endsAs(&spec, fmt.Sprintf(`test -w %s; echo "left: $?" > %s; exit 3`, file, file)); c.Message != "left: 0\n" {
		h.t.Errorf("it says %q of its end: %+v", c.Message, c)
	}
	if c := h.endsAs(&spec, "exit 4"); c.Last.Message != "left: 0\n" || strings.Contains(c.Message, "left") {
		h.t.Errorf("one that says nothing says %q, the one before %q", c.Message, c.Last.Message)
	}
	long := fmt.Sprintf("printf begin > %s; printf %%0%dd 0 >> %s; printf end >> %s", file, runtime.MessageMax, file, file)
	want := strings.Repeat("0", runtime.MessageMax-3) + "end"
	if c := h.endsAs(&spec, long); c.Message != want || c.ExitCode != 0 {
		h.t.Errorf("too much is cut to %d bytes, %.10q..., want the last %d", len(c.Message), c.Message, runtime.MessageMax)
	}
	h.rt.Close()
	h.rt = h.New()
	if s, _ := h.status(spec.ID); find(s, "main").Message != want {
		h.t.Errorf("to the next daemon it says %.20q", find(s, "main").Message)
	}
	c := h.endsAs(&spec, "exit 0")
	h.rt.Close()
	h.rt = h.New()
	if s, _ := h.status(spec.ID); c.Last.Message != want || find(s, "main").Last.Message != want {
		h.t.Errorf("of the one before it says %.20q, to the next daemon %.20q", c.Last.Message, find(s, "main").Last.Message)
	}
}

// testMessageFromLog: of one that failed without a word the end of its log is told, if that
// was asked for.
func testMessageFromLog(h *harness) {
	spec := h.pod(h.container("main", ""))
	spec.Containers[0].Message = runtime.Message{Path: "/dev/termination-log", FromLog: true}
	lines := func(from, to int) (text string) {
		for i := from; i <= to; i++ {
			text += fmt.Sprintf("%d\n", i)
		}
		return text
	}
	const count = "i=0; while test $i -lt 200; do i=$((i+1)); echo $i; done"
	if c := h.endsAs(&spec, count+"; exit 1"); c.Message != lines(201-runtime.LogMessageLines, 200) {
		h.t.Errorf("it says %q", c.Message)
	}
	if c := h.endsAs(&spec, count); strings.Contains(c.Message, "200") || !strings.HasSuffix(c.Last.Message, "\n200\n") {
		h.t.Errorf("one that ended well says %q, the one before %q", c.Message, c.Last.Message)
	}
	if c := h.endsAs(&spec, fmt.Sprintf("printf %%0%dd 0; echo end; exit 1", 2*runtime.LogMessageMax)); c.Message != strings.Repeat("0", runtime.LogMessageMax-4)+"end\n" {
		h.t.Errorf("a long line is cut to %d bytes, want its last %d", len(c.Message), runtime.LogMessageMax)
	}
	if c := h.endsAs(&spec, fmt.Sprintf("echo logged; echo left > %s; exit 1", h.Path("/dev/termination-log"))); c.Message != "left\n" {
		h.t.Errorf("what it left counts more than its log, and it says %q", c.Message)
	}
	spec.Containers[0].Message.FromLog = false
	if c := h.endsAs(&spec, "echo logged; exit 1"); strings.Contains(c.Message, "logged") {
		h.t.Errorf("nobody asked for its log, and it says %q", c.Message)
	}
}
