package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holon/runtime"
)

const patience = 20 * time.Second

var ctx = context.Background()

func shPod(id string, scripts ...string) runtime.Spec {
	s := runtime.Spec{ID: runtime.RunID(id), Namespace: "ns", Name: id, Hostname: id}
	for i, script := range scripts {
		s.Containers = append(s.Containers, runtime.Container{Name: fmt.Sprint("c", i), Command: []string{"/bin/sh", "-c", script}})
	}
	return s
}

func ensure(t testing.TB, r *Runtime, spec runtime.Spec) {
	t.Helper()
	if err := r.EnsurePod(ctx, spec); err != nil {
		t.Fatalf("EnsurePod: %v", err)
	}
}

func stop(t testing.TB, r *Runtime, id runtime.RunID, grace time.Duration) {
	t.Helper()
	if err := r.StopPod(ctx, id, grace); err != nil {
		t.Fatalf("StopPod: %v", err)
	}
}

func statusOf(t testing.TB, r *Runtime, id runtime.RunID) runtime.Status {
	t.Helper()
	pods, err := r.Pods(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("pod %s is not listed in %+v", id, pods)
	return runtime.Status{}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond) // other processes are watched: there is no event
	}
}

func awaitState(t testing.TB, r *Runtime, id runtime.RunID, i int, state runtime.ContainerState) runtime.ContainerStatus {
	t.Helper()
	eventually(t, fmt.Sprintf("container %d of %s is %s", i, id, state), func() bool {
		return statusOf(t, r, id).Containers[i].State == state
	})
	return statusOf(t, r, id).Containers[i]
}

func logOf(t testing.TB, r *Runtime, id runtime.RunID, container string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Logs(ctx, id, container, runtime.LogOptions{Tail: -1}, &b); err != nil {
		t.Fatalf("Logs: %v", err)
	}
	return b.String()
}

func awaitLog(t testing.TB, r *Runtime, id runtime.RunID, container, text string) string {
	t.Helper()
	eventually(t, "log holds "+text, func() bool { return strings.Contains(logOf(t, r, id, container), text) })
	return logOf(t, r, id, container)
}

func newestOf(t testing.TB, r *Runtime, id runtime.RunID, container string) attemptState {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pods[id].find(container).newest.state
}

func wantKind(t testing.TB, what string, err error, kind runtime.Kind, words ...string) {
	t.Helper()
	if err == nil || runtime.KindOf(err) != kind {
		t.Fatalf("%s: got %v (%v), want %v", what, err, runtime.KindOf(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

// marked counts the processes that have dir in their environment.
func marked(dir string) int {
	n := 0
	processes(func(s procStat) {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID))
		if err == nil && s.state != 'Z' && strings.Contains(string(env), dir) {
			n++
		}
	})
	return n
}

func mustNotExist(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

func leftovers(t testing.TB, dir string) {
	t.Helper()
	for _, pattern := range []string{".new-*", ".old-*", "*/containers/*/.new-*", "*/containers/*/.old-*", "*/containers/*/*/.new-*"} {
		found, err := filepath.Glob(filepath.Join(podsDir(dir), pattern))
		if err != nil || len(found) > 0 {
			t.Errorf("left over: %v %v", found, err)
		}
	}
}
