package process

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"holon/runtime"
)

// rss returns the resident and the private resident memory of a process in KiB.
func rss(t testing.TB, pid int) (all, anon int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &all)
		fmt.Sscanf(line, "RssAnon: %d kB", &anon)
	}
	return all, anon
}

// Many pods cost the daemon no goroutine each, and a list of them is cheap.
// HOLON_TEST_PODS and HOLON_TEST_SHIM (a program whose subcommand "shim" is
// Shim) measure others.
func TestManyPods(t *testing.T) {
	pods := 50
	if n := os.Getenv("HOLON_TEST_PODS"); n != "" {
		fmt.Sscan(n, &pods)
	}
	cfg := testConfig(t)
	cfg.Shim = []string{self(t), "shim"}
	if program := os.Getenv("HOLON_TEST_SHIM"); program != "" {
		cfg.Shim[0] = program
	}
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	goroutines := goruntime.NumGoroutine()
	start := time.Now()
	each := func(do func(id string) error) {
		t.Helper()
		slots := make(chan struct{}, 4) // at most 4 starts at once per node
		var wg sync.WaitGroup
		for i := range pods {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if err := do(fmt.Sprint("p", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	each(func(id string) error { return r.EnsurePod(ctx, shPod(id, "exec sleep 1000")) })
	took := time.Since(start)
	if n := goruntime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines with %d pods, %d without", n, pods, goroutines)
	}
	list, err := r.Pods(ctx)
	if err != nil || len(list) != pods {
		t.Fatalf("%d pods, %v", len(list), err)
	}
	start = time.Now()
	for range 100 {
		r.Pods(ctx)
	}
	perList := time.Since(start) / 100
	var all, anon int
	for _, p := range list {
		if p.Containers[0].State != runtime.Running {
			t.Errorf("%+v", p)
		}
		a, b := rss(t, newestOf(t, r, p.ID, "c0").Shim.PID)
		all, anon = all+a, anon+b
	}
	t.Logf("%d pods started in %v (%v each), shim RSS %d KiB of which private %d KiB, Pods %v",
		pods, took.Round(time.Millisecond), (took / time.Duration(pods)).Round(time.Microsecond), all/pods, anon/pods, perList)
	r.Close()
	start = time.Now()
	r = open(t, cfg)
	t.Logf("adopted in %v", time.Since(start).Round(time.Microsecond))
	start = time.Now()
	each(func(id string) error { return r.StopPod(ctx, runtime.RunID(id), 0) })
	t.Logf("stopped in %v", time.Since(start).Round(time.Millisecond))
}
