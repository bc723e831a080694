//go:build remote

package podman

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holon/runtime"
	"holon/runtime/runtimetest"
)

const (
	testImage = "localhost/holon-test:1"
	busybox   = "/bin/busybox"
	// testLogMax is small enough to be filled by a test.
	testLogMax = 64 << 10
)

// testService is the private service that the tests of this package share.
var testService *Service

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("/tmp", "hp")
	if err != nil {
		return complain(err)
	}
	before := leavings(dir)
	ctx := context.Background()
	defer func() {
		start := time.Now()
		if err := CleanService(ctx, dir); err != nil {
			code = complain(err)
		}
		fmt.Printf("service cleaned in %v\n", time.Since(start).Round(time.Millisecond))
		if left := leftBehind(dir, before); left != "" {
			code = complain(fmt.Errorf("left behind:\n%s", left))
		}
	}()
	start := time.Now()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if testService, err = StartService(ctx, ServiceConfig{Dir: dir, Logger: log}); err != nil {
		return complain(err)
	}
	fmt.Printf("service ready in %v: %s\n", time.Since(start).Round(time.Millisecond), strings.Join(testService.Notes, "; "))
	if err := LoadImage(ctx, testService.URL, testImage, busyboxFiles(), nil); err != nil {
		return complain(err)
	}
	return m.Run()
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// busyboxFiles is an image with a shell and what the tests run in it.
func busyboxFiles() map[string]string {
	files := make(map[string]string)
	for _, applet := range strings.Fields("busybox sh cat cut echo httpd kill ls mkdir mv nc printf pwd readlink sleep stty test touch true wc head dd ln rm") {
		files["/bin/"+applet] = busybox
	}
	return files
}

// newRuntime makes a runtime for a node; it is closed at the end of the test.
func newRuntime(t testing.TB, cluster, node string) *Runtime {
	t.Helper()
	r, err := New(t.Context(), testConfig(t, cluster, node))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func testConfig(t testing.TB, cluster, node string) Config {
	return Config{
		URL: testService.URL, Cluster: cluster, Node: node,
		HostIP: "127.0.0.1", Dir: filepath.Join(testService.Dir, "volumes", cluster+"-"+node), LogBytesMax: testLogMax,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// pod makes a spec of one container "main" that runs script, stopped at the
// end of the test.
func pod(t testing.TB, r *Runtime, id, script string) runtime.Spec {
	t.Helper()
	spec := runtime.Spec{
		ID: runtime.RunID(id), Namespace: "default", Name: "pod-" + id, UID: "uid-" + id, Slot: "w/0", Hostname: "h-" + id,
		Containers: []runtime.Container{{
			Name: "main", Image: testImage, PullPolicy: "Never", Command: []string{"/bin/sh", "-c"}, Args: []string{script},
		}},
	}
	t.Cleanup(func() {
		if err := r.StopPod(context.Background(), spec.ID, 0); err != nil {
			t.Errorf("tidy up: %v", err)
		}
	})
	return spec
}

func status(t testing.TB, r *Runtime, id runtime.RunID) (runtime.Status, bool) {
	t.Helper()
	pods, err := r.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.ID == id {
			return p, true
		}
	}
	return runtime.Status{}, false
}

// await polls until ok, woken by Changes.
func await(t testing.TB, r *Runtime, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-r.Changes():
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func awaitState(t testing.TB, r *Runtime, id runtime.RunID, attempt int, state runtime.ContainerState) runtime.ContainerStatus {
	t.Helper()
	var c runtime.ContainerStatus
	await(t, r, fmt.Sprintf("attempt %d of %s is %s", attempt, id, state), func() bool {
		s, there := status(t, r, id)
		if !there || len(s.Containers) == 0 {
			return false
		}
		c = s.Containers[0]
		return c.Attempt == attempt && c.State == state
	})
	return c
}

// podman runs the podman command on the shared service's storage.
func podman(t testing.TB, args ...string) string {
	t.Helper()
	out, err := testService.settings.command(context.Background(), testService.Dir, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("podman %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// pidOf returns the process of a Podman container.
func pidOf(t testing.TB, container string) int {
	t.Helper()
	var pid int
	out := podman(t, "inspect", "--format", "{{.State.Pid}}", container)
	if _, err := fmt.Sscan(out, &pid); err != nil || pid == 0 {
		t.Fatalf("process of container %s: %q", container, out)
	}
	return pid
}

func TestConformance(t *testing.T) {
	runtimetest.Conformance(t, func(t *testing.T) runtimetest.Fixture {
		cfg := testConfig(t, "conformance", "n1")
		cfg.Logger = nil // the suite closes values after the subtest's end
		var made sync.Mutex
		return runtimetest.Fixture{
			New: func() runtime.Runtime {
				made.Lock()
				defer made.Unlock()
				r, err := New(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				return r
			},
			Command: func(script string) ([]string, string) { return []string{"/bin/sh", "-c", script}, testImage },
			Kill: func(t *testing.T, pod runtime.Status, container string) {
				for _, c := range pod.Containers {
					if c.Name == container {
						if err := syscall.Kill(pidOf(t, c.ID), syscall.SIGKILL); err != nil {
							t.Fatal(err)
						}
						return
					}
				}
				t.Fatalf("no container %s in %+v", container, pod)
			},
			HostIP:      "127.0.0.1",
			IPReachable: true,
			Serve: func(port int) ([]string, string) {
				return []string{"/bin/sh", "-c", fmt.Sprintf("while :; do echo hello | nc -l -p %d; done", port)}, testImage
			},
			LogBytesMax: testLogMax,
			LateSize:    true, // now and then: see runExec
		}
	})
}

func logOf(t testing.TB, r *Runtime, id runtime.RunID, opts runtime.LogOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Logs(t.Context(), id, "main", opts, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
