//go:build remote

package podman

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

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
		if left := leftBehind(dir, before); left != "" {
			t.Errorf("left behind:\n%s", left)
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
	for _, word := range []string{"process", "mount", "hln", "veth", "netns", "cgroup", "rule -A NETAVARK-HOSTPORT-DNAT"} {
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
