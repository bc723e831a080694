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

	"github.com/containers/podman/v5/pkg/bindings/containers"
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
	for policy, words := range map[string]string{"Never": "imagePullPolicy is Never", "IfNotPresent": "pull image", "": "pull image", "Always": "pull image"} {
		spec := pod(t, r, "imagemissing", forever)
		spec.Containers[0].Image, spec.Containers[0].PullPolicy = "holon-has-no-such-image:1", policy
		wantKind(t, r.EnsurePod(t.Context(), spec), runtime.ImageMissing, words, "podman load", "holon-has-no-such-image:1")
		if s, there := status(t, r, spec.ID); there {
			t.Errorf("%q: something was made: %+v", policy, s)
		}
	}
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
	if c := awaitState(t, r, spec.ID, 0, runtime.Exited); c.ExitCode == 0 {
		t.Errorf("a container over its memory limit ended well: %+v", c)
	}
}

// startOwnService starts a service for one test, which removes it and asserts
// that nothing is left of it.
func startOwnService(t *testing.T) (ServiceConfig, *Service) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hk")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	before := leavings(dir)
	t.Cleanup(func() {
		if err := CleanService(ctx, dir); err != nil {
			t.Error(err)
		}
		if after := leavings(dir); after != before {
			t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
		}
	})
	cfg := ServiceConfig{Dir: dir}
	s, err := StartService(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := LoadImage(ctx, s.URL, testImage, busyboxFiles(), nil); err != nil {
		t.Fatal(err)
	}
	return cfg, s
}

// The cleaning does not depend on Podman's books: here they are lost while a
// pod with a published port runs.
func TestCleanWithoutPodmansBooks(t *testing.T) {
	cfg, s := startOwnService(t)
	conf := testConfig(t, "books", "n1")
	conf.URL, conf.Dir = s.URL, filepath.Join(cfg.Dir, "volumes")
	r, err := New(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ensure(t, r, runtime.Spec{ID: "books", Name: "books", Containers: []runtime.Container{{
		Name: "main", Image: testImage, Command: []string{"/bin/sh", "-c", forever},
		Ports: []runtime.Port{{ContainerPort: 80, HostPort: 47801}},
	}}})
	awaitState(t, r, "books", 0, runtime.Running)
	planted := leavings(cfg.Dir)
	for _, word := range []string{"process", "mount", "hln", "veth", "netns", "cgroup", "NETAVARK-DN-"} {
		if !strings.Contains(planted, word) {
			t.Errorf("the check for leavings does not see %s of a running pod:\n%s", word, planted)
		}
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(cfg.Dir, "root", "libpod")); err != nil {
		t.Fatal(err)
	}
}

// A daemon that is killed leaves nothing in memory: the next one, on a service
// that was killed as well, goes on where it was.
func TestServiceKilledAndAdopted(t *testing.T) {
	cfg, s := startOwnService(t)
	ctx, dir := context.Background(), cfg.Dir
	conf := testConfig(t, "adopt", "n1")
	conf.URL, conf.Dir = s.URL, filepath.Join(dir, "volumes")
	r, err := New(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec := runtime.Spec{
		ID: "adopted", Name: "adopted", Containers: []runtime.Container{
			{Name: "main", Image: testImage, Command: []string{"/bin/sh", "-c", forever}},
		},
	}
	ensure(t, r, spec)
	first := awaitState(t, r, spec.ID, 0, runtime.Running)

	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, r, "the service is down", func() bool {
		_, err := r.Info(ctx)
		return runtime.KindOf(err) == runtime.Unavailable
	})
	downIsCheap(t, r)

	again, err := StartService(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again.PID == s.PID || again.OCIRuntime != s.OCIRuntime {
		t.Errorf("restarted as %+v, was %+v", again, s)
	}
	await(t, r, "the service is back", func() bool { _, err := r.Info(ctx); return err == nil })
	if now := awaitState(t, r, spec.ID, 0, runtime.Running); now.ID != first.ID {
		t.Errorf("adopted %+v, was %+v", now, first)
	}
	if code, err := r.Exec(ctx, spec.ID, "main", runtime.ExecOptions{Command: []string{"/bin/sh", "-c", "exit 7"}}); err != nil || code != 7 {
		t.Errorf("exec after adoption: %d, %v", code, err)
	}
	awaitHint(t, r, spec.ID)

	same, err := StartService(ctx, cfg)
	if err != nil || same.PID != again.PID {
		t.Errorf("a second StartService made %+v (%v), want the running one, %d", same, err, again.PID)
	}
	// A power cut for the cleaning to cope with: nothing ended in good order.
	for _, pid := range processesOf(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// downIsCheap: while the service is down, callers are answered at once.
func downIsCheap(t *testing.T, r *Runtime) {
	t.Helper()
	start := time.Now()
	const calls = 100
	for range calls {
		if _, err := r.Pods(t.Context()); runtime.KindOf(err) != runtime.Unavailable {
			t.Fatalf("Pods while the service is down: %v", err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("%d calls while the service is down took %v", calls, took)
	}
}

// awaitHint: events flow again on the new connection.
func awaitHint(t *testing.T, r *Runtime, run runtime.RunID) {
	t.Helper()
	s, _ := status(t, r, run)
	quiet(r)
	if err := r.change(t.Context(), "kill", killContainer(s.Containers[0].ID)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.Changes():
	case <-time.After(10 * time.Second):
		t.Error("no hint of a killed container")
	}
	awaitState(t, r, run, 0, runtime.Exited)
}

// quiet waits until Changes has been silent for a while.
func quiet(r *Runtime) {
	for {
		select {
		case <-r.Changes():
		case <-time.After(500 * time.Millisecond):
			return
		}
	}
}

func killContainer(id string) func(context.Context) error {
	return func(ctx context.Context) error {
		return containers.Kill(ctx, id, &containers.KillOptions{Signal: ptr("KILL")})
	}
}

func TestNewWhileTheSocketIsDown(t *testing.T) {
	cfg := testConfig(t, "down", "n1")
	cfg.URL = "unix:///tmp/holon-no-such-socket"
	r, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = r.Info(t.Context())
	wantKind(t, err, runtime.Unavailable, "/tmp/holon-no-such-socket", "podman system service")
	downIsCheap(t, r)
	wantKind(t, r.EnsurePod(t.Context(), pod(t, newRuntime(t, "down", "n2"), "down", forever)), runtime.Unavailable)
	if _, err := New(t.Context(), Config{Node: "n", Cluster: "c", Dir: "relative"}); err == nil {
		t.Error("a relative directory is taken")
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
