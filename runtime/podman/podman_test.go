//go:build remote

package podman

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holon/runtime"
)

const forever = "echo started; exec sleep 1000"

func wantKind(t *testing.T, err error, kind runtime.Kind, words ...string) {
	t.Helper()
	if err == nil || runtime.KindOf(err) != kind {
		t.Fatalf("got %v of kind %v, want kind %v", err, runtime.KindOf(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func ensure(t testing.TB, r *Runtime, spec runtime.Spec) {
	t.Helper()
	if err := r.EnsurePod(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

func TestTwoNodesShareAService(t *testing.T) {
	one, two := newRuntime(t, "share", "n1"), newRuntime(t, "share", "n2")
	other := newRuntime(t, "share2", "n1")
	spec := pod(t, one, "shareone", forever)
	ensure(t, one, spec)
	for name, r := range map[string]*Runtime{"another node": two, "another cluster": other} {
		if s, there := status(t, r, spec.ID); there {
			t.Errorf("%s sees %+v", name, s)
		}
		if err := r.StopPod(t.Context(), spec.ID, 0); err != nil {
			t.Errorf("%s: StopPod: %v", name, err)
		}
		wantKind(t, r.Logs(t.Context(), spec.ID, "main", runtime.LogOptions{}, &strings.Builder{}), runtime.NotFound)
		wantKind(t, r.EnsurePod(t.Context(), spec), runtime.NameTaken)
	}
	if c := awaitState(t, one, spec.ID, 0, runtime.Running); c.Attempt != 0 {
		t.Fatalf("the others touched it: %+v", c)
	}
}

func TestForeignNamesAreNeverTouched(t *testing.T) {
	r := newRuntime(t, "foreign", "n1")
	spec := pod(t, r, "foreignpod", forever)
	podman(t, "pod", "create", "--name", podName(spec.ID))
	defer podman(t, "pod", "rm", "-f", podName(spec.ID))
	wantKind(t, r.EnsurePod(t.Context(), spec), runtime.NameTaken, "podman pod rm", podName(spec.ID))
	if err := r.StopPod(t.Context(), spec.ID, 0); err != nil {
		t.Fatal(err)
	}
	podman(t, "pod", "inspect", podName(spec.ID)) // fails the test if it is gone

	second := pod(t, r, "foreigncontainer", forever)
	name := containerName(second.ID, "main", 0)
	podman(t, "create", "--name", name, testImage, "/bin/true")
	wantKind(t, r.EnsurePod(t.Context(), second), runtime.NameTaken, "podman container rm", name)
	if err := r.StopPod(t.Context(), second.ID, 0); err != nil {
		t.Fatal(err)
	}
	podman(t, "inspect", name)
	podman(t, "rm", "-f", name)
	ensure(t, r, second)
}

func TestImageMissing(t *testing.T) {
	r := newRuntime(t, "image", "n1")
	for policy, words := range map[string]string{"Never": "not on this node", "IfNotPresent": "not on this node", "": "not on this node", "Always": "asked first"} {
		spec := pod(t, r, "imagemissing", forever)
		spec.Containers[0].Image, spec.Containers[0].PullPolicy = "holon-has-no-such-image:1", policy
		wantKind(t, r.EnsurePod(t.Context(), spec), runtime.ImageMissing, words, "holon image load", "holon-has-no-such-image:1")
		if s, there := status(t, r, spec.ID); there {
			t.Errorf("%q: something was made: %+v", policy, s)
		}
	}
	bad := pod(t, r, "imagename", forever)
	bad.Containers[0].Image = "Not/A Name"
	wantKind(t, r.EnsurePod(t.Context(), bad), runtime.BadImageName)
}

func TestResourcesReachTheCgroup(t *testing.T) {
	r := newRuntime(t, "limits", "n1")
	spec := pod(t, r, "limits", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; echo end; exec sleep 1000")
	spec.Containers[0].MemLimit, spec.Containers[0].CPULimit, spec.Containers[0].CPURequest = 48<<20, 250, 100
	ensure(t, r, spec)
	await(t, r, "limits are printed", func() bool {
		return strings.Contains(logOf(t, r, spec.ID, runtime.LogOptions{Tail: -1}), "end")
	})
	got := logOf(t, r, spec.ID, runtime.LogOptions{Tail: -1})
	if !strings.Contains(got, "50331648") || !strings.Contains(got, "25000") {
		t.Errorf("the container's cgroup says %q, want a memory limit of 50331648 and a quota of 25000", got)
	}
}

func TestOutOfMemoryIsReported(t *testing.T) {
	r := newRuntime(t, "oom", "n1")
	spec := pod(t, r, "oom", `a=0123456789abcdef; while :; do a=$a$a; done`)
	spec.Containers[0].MemLimit = 16 << 20
	ensure(t, r, spec)
	first := awaitState(t, r, spec.ID, 0, runtime.Exited)
	if first.ExitCode == 0 {
		t.Errorf("a container over its memory limit ended well: %+v", first)
	}
	if err := r.StartContainer(t.Context(), spec, "main", 1); err != nil {
		t.Fatal(err)
	}
	if c := awaitState(t, r, spec.ID, 1, runtime.Exited); c.Last != first.Ended() {
		t.Errorf("its next attempt says %+v of it, want %+v", c.Last, first.Ended())
	}
}

// A container that was made and not started, whose file a power cut has taken, is not held up by
// that for ever.
func TestMessageFileIsMadeAgain(t *testing.T) {
	r := newRuntime(t, "message", "n1")
	spec := pod(t, r, "message", "")
	spec.Containers[0].Command, spec.Containers[0].Message.Path = []string{"/no/such"}, "/dev/termination-log"
	wantKind(t, r.EnsurePod(t.Context(), spec), runtime.BadCommand)
	file := r.cfg.messageFile(spec.ID, "main", 0)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.EnsurePod(t.Context(), spec), runtime.BadCommand)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// The files of attempts go with them, and the last with the pod.
func TestMessageFilesGo(t *testing.T) {
	r := newRuntime(t, "messages", "n1")
	spec := pod(t, r, "messages", "exit 3")
	spec.Containers[0].Message.Path = "/dev/termination-log"
	ensure(t, r, spec)
	for attempt := range 4 {
		if attempt > 0 {
			if err := r.StartContainer(t.Context(), spec, "main", attempt); err != nil {
				t.Fatal(err)
			}
		}
		awaitState(t, r, spec.ID, attempt, runtime.Exited)
	}
	files, err := os.ReadDir(filepath.Dir(r.cfg.messageFile(spec.ID, "main", 0)))
	if err != nil || len(files) != 2 {
		t.Errorf("%v are there, want those of the last two attempts (%v)", files, err)
	}
	if err := r.StopPod(t.Context(), spec.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.cfg.runDir(spec.ID)); !os.IsNotExist(err) {
		t.Errorf("the pod's directory is there: %v", err)
	}
}

// How an attempt ended is asked once: what is changed in memory shows that nobody asks again.
func TestTheEndBeforeIsAskedOnce(t *testing.T) {
	r := newRuntime(t, "ends", "n1")
	spec := pod(t, r, "ends", "exit 3")
	ensure(t, r, spec)
	first := awaitState(t, r, spec.ID, 0, runtime.Exited)
	if err := r.StartContainer(t.Context(), spec, "main", 1); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, spec.ID, 1, runtime.Exited)
	r.seen.mu.Lock()
	d := r.seen.known[first.ID]
	d.oom = true
	r.seen.known[first.ID] = d
	r.seen.mu.Unlock()
	if s, _ := status(t, r, spec.ID); !s.Containers[0].Last.OOMKilled {
		t.Errorf("Podman was asked again: %+v", s.Containers[0].Last)
	}
}

func TestConmonKilledToo(t *testing.T) {
	r := newRuntime(t, "conmon", "n1")
	spec := pod(t, r, "conmon", forever)
	ensure(t, r, spec)
	c := awaitState(t, r, spec.ID, 0, runtime.Running)
	var conmon int
	for _, pid := range processesOf(testService.Dir) {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if strings.Contains(string(b), "conmon") && strings.Contains(string(b), c.ID) {
			conmon = pid
		}
	}
	if conmon == 0 {
		t.Fatal("no conmon found")
	}
	main := pidOf(t, c.ID)
	for _, pid := range []int{conmon, main} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if c := awaitState(t, r, spec.ID, 0, runtime.Exited); c.ExitCode == 0 {
		t.Errorf("killed with its conmon: %+v", c)
	}
	if err := r.StartContainer(t.Context(), spec, "main", 1); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, spec.ID, 1, runtime.Running)
}

// The sandbox owns the network: when it dies, containers count as exited and
// the next attempt gets a network again.
func TestSandboxKilled(t *testing.T) {
	r := newRuntime(t, "sandbox", "n1")
	spec := pod(t, r, "sandbox", "echo $IP; exec sleep 1000")
	spec.Containers[0].Env = []runtime.Env{{Name: "IP", PodIP: true}}
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Running)
	v, err := r.view(t.Context(), spec.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pidOf(t, v.infra.ID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if c := awaitState(t, r, spec.ID, 0, runtime.Exited); !strings.Contains(c.Message, "sandbox") {
		t.Errorf("status without a sandbox: %+v", c)
	}
	if err := r.StartContainer(t.Context(), spec, "main", 1); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, spec.ID, 1, runtime.Running)
	s, _ := status(t, r, spec.ID)
	if s.IP == "" {
		t.Errorf("no address after the restart: %+v", s)
	}
	await(t, r, "the new attempt knows the address", func() bool {
		return logOf(t, r, spec.ID, runtime.LogOptions{Tail: -1}) == s.IP+"\n"
	})
}

func TestHalfMadePods(t *testing.T) {
	r := newRuntime(t, "half", "n1")
	spec := pod(t, r, "half", forever)
	v, err := r.createPod(t.Context(), spec) // a crash right after this
	if err != nil {
		t.Fatal(err)
	}
	if s, there := status(t, r, spec.ID); !there || len(s.Containers) != 0 || s.Slot != spec.Slot {
		t.Fatalf("half a pod is listed as %+v (%t), want it without containers", s, there)
	}
	ensure(t, r, spec)
	again, err := r.view(t.Context(), spec.ID)
	if err != nil || again.pod != v.pod {
		t.Fatalf("half a pod was not completed but replaced: %v", err)
	}
	podman(t, "rm", "-f", containerName(spec.ID, "main", 0))
	if err := r.StopPod(t.Context(), spec.ID, 0); err != nil {
		t.Fatal(err)
	}
	// Labels, but no pod around them.
	podman(t, "create", "--name", containerName(spec.ID, "main", 0),
		"--label", labelCluster+"=half", "--label", labelNode+"=n1", "--label", labelRun+"="+string(spec.ID),
		"--label", labelContainer+"=main", "--label", labelAttempt+"=0", testImage, "/bin/true")
	if _, there := status(t, r, spec.ID); !there {
		t.Error("an orphan container is not listed")
	}
	if err := r.StopPod(t.Context(), spec.ID, 0); err != nil {
		t.Fatal(err)
	}
	if s, there := status(t, r, spec.ID); there {
		t.Errorf("still there: %+v", s)
	}
}

func TestEveryAttemptButTwoIsRemoved(t *testing.T) {
	r := newRuntime(t, "attempts", "n1")
	spec := pod(t, r, "attempts", "exit 1")
	ensure(t, r, spec)
	for n := range 4 {
		if n > 0 {
			if err := r.StartContainer(t.Context(), spec, "main", n); err != nil {
				t.Fatal(err)
			}
		}
		awaitState(t, r, spec.ID, n, runtime.Exited)
	}
	v, err := r.view(t.Context(), spec.ID)
	if err != nil {
		t.Fatal(err)
	}
	if as := v.attempts["main"]; len(as) != 2 || as[0].number != 2 || as[1].number != 3 {
		t.Errorf("kept attempts: %+v, want 2 and 3", as)
	}
}

func TestExecLeavesNoProcess(t *testing.T) {
	r := newRuntime(t, "execproc", "n1")
	spec := pod(t, r, "execproc", forever)
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Running)
	before := len(processesOf(testService.Dir))
	for range 5 {
		if code, err := r.Exec(t.Context(), spec.ID, "main", runtime.ExecOptions{Command: []string{"/bin/true"}}); err != nil || code != 0 {
			t.Fatal(code, err)
		}
	}
	await(t, r, "the conmons of exec end", func() bool { return len(processesOf(testService.Dir)) <= before })
}

func TestPodsInspectsOnlyWhatChanged(t *testing.T) {
	r := newRuntime(t, "cheap", "n1")
	spec := pod(t, r, "cheap", forever)
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Running)
	if _, err := r.Pods(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.seen.mu.Lock()
	for id, d := range r.seen.known {
		d.ip = "remembered"
		r.seen.known[id] = d
	}
	r.seen.mu.Unlock()
	if s, _ := status(t, r, spec.ID); s.IP != "remembered" {
		t.Errorf("the address is %q: it was inspected again", s.IP)
	}
}

func TestSubPathThroughALinkIsRefused(t *testing.T) {
	r := newRuntime(t, "link", "n1")
	spec := pod(t, r, "link", "ln -s / /data/out; exit 0")
	spec.Volumes = []runtime.Volume{{Name: "data"}}
	spec.Containers[0].Mounts = []runtime.Mount{{Volume: "data", Path: "/data"}}
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Exited)
	spec.Containers[0].Mounts = append(spec.Containers[0].Mounts, runtime.Mount{Volume: "data", Path: "/host", SubPath: "out/etc"})
	wantKind(t, r.StartContainer(t.Context(), spec, "main", 1), runtime.BadSpec, "out")
}

func TestCancelledCallReturns(t *testing.T) {
	r := newRuntime(t, "cancel", "n1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Pods(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Pods(t.Context()); err != nil {
		t.Errorf("one caller's cancelled context broke the connection: %v", err)
	}
}

// A service on another host has no files to read: Podman is asked.
func TestRemoteLog(t *testing.T) {
	r := newRuntime(t, "remotelog", "n1")
	spec := pod(t, r, "remotelog", `i=0; l=0123456789abcdef; while [ $i -lt 10 ]; do l=$l$l; i=$((i+1)); done; echo $l; echo err >&2; echo out; exit 0`)
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Exited)
	v, err := r.view(t.Context(), spec.ID)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789abcdef", 1<<10) + "\n"
	for _, opts := range []runtime.LogOptions{{Tail: -1}, {Tail: -1, Timestamps: true}, {Tail: -1, Since: time.Hour}, {Tail: -1, Follow: true}} {
		var b strings.Builder
		if err := r.copyRemoteLog(t.Context(), "read", v.newest("main").ID, opts, &b); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if !strings.Contains(got, long) || !strings.Contains(got, "err\n") || !strings.Contains(got, "out\n") || strings.Count(got, "\n") != 3 {
			t.Errorf("%+v: %q", opts, strings.ReplaceAll(got, long, "<long>\n"))
		}
	}
	wantKind(t, r.copyRemoteLog(t.Context(), "read", "nosuch", runtime.LogOptions{}, &strings.Builder{}), runtime.NotFound)
}
