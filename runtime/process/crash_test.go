package process

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// A daemon in another process is killed; its pods go on, and the next daemon
// sees all that happened meanwhile.
func TestDaemonIsKilled(t *testing.T) {
	dir := t.TempDir()
	cleaned(t, dir)
	cmd := exec.Command(self(t), "daemon", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if said != "ready <nil>\n" {
		t.Fatalf("the daemon said %q, %v", said, err)
	}
	// The whole process group, as a terminal or a supervisor would.
	unix.Kill(-cmd.Process.Pid, unix.SIGTERM)
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	cmd.Wait()

	read := func(container string) (state attemptState) {
		readJSON(filepath.Join(attemptDir(podDir(dir, "daemonpod"), container, 0), stateFile), stateFileBytesMax, &state)
		return state
	}
	eventually(t, "the short container ends without a daemon", func() bool { return read("short").Phase == exited })

	cfg := testConfig(t)
	cfg.Dir = dir
	r := open(t, cfg)
	s := statusOf(t, r, "daemonpod")
	if c := s.Containers[0]; c.State != runtime.Running {
		t.Errorf("main: %+v", c)
	}
	if c := s.Containers[1]; c.State != runtime.Exited || c.ExitCode != 7 {
		t.Errorf("short: %+v, want exit code 7, written while there was no daemon", c)
	}
	ticks := strings.Count(logOf(t, r, "daemonpod", "main"), "tick")
	eventually(t, "the log goes on", func() bool {
		return strings.Count(logOf(t, r, "daemonpod", "main"), "tick") > ticks+2
	})
	if log := logOf(t, r, "daemonpod", "main"); strings.Count(log, "begun") != 1 {
		t.Errorf("log %q", log)
	}
	stop(t, r, "daemonpod", 0)
	if n := marked(dir); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// A shim that is told to go by the usual signals stays.
func TestShimSurvivesSignals(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	ensure(t, r, shPod("a", "trap 'echo got it; exit 0' TERM; echo begun; while :; do sleep 0.05; done"))
	awaitLog(t, r, "a", "c0", "begun")
	state := newestOf(t, r, "a", "c0")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT} {
		if err := state.Shim.signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	// What the shim survives, its program is not made deaf to.
	if err := state.Main.signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if c := awaitState(t, r, "a", 0, runtime.Exited); c.ExitCode != 0 {
		t.Errorf("after SIGTERM: %+v", c)
	}
	awaitLog(t, r, "a", "c0", "got it")
}

// A shim that is killed takes its container along, descendants too, and the
// daemon says so.
func TestShimIsKilled(t *testing.T) {
	for name, without := range map[string]bool{"cgroups": false, "no cgroups": true} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.withoutCgroups = without
			cleaned(t, cfg.Dir)
			r := open(t, cfg)
			ensure(t, r, shPod("a", "setsid sleep 1000 & echo begun; sleep 1000"))
			awaitLog(t, r, "a", "c0", "begun")
			if err := newestOf(t, r, "a", "c0").Shim.signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c := awaitState(t, r, "a", 0, runtime.Exited)
			if c.ExitCode != 137 || !strings.Contains(c.Message, "shim") {
				t.Errorf("status %+v", c)
			}
			if n := marked(cfg.Dir); n != 0 {
				t.Errorf("%d processes of the pod run on", n)
			}
			// And it can be started again.
			if err := r.StartContainer(ctx, shPod("a", "exit 3"), "c0", 1); err != nil {
				t.Fatal(err)
			}
			if c := awaitState(t, r, "a", 0, runtime.Exited); c.Attempt != 1 || c.ExitCode != 3 {
				t.Errorf("attempt 1: %+v", c)
			}
		})
	}
}

// What a crash in the middle of a start leaves is recognised and removed; the
// order repeated starts the container once.
func TestHalfMadeAttempts(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	spec := shPod("a", "echo once; sleep 1000")
	ensure(t, r, spec)
	stop(t, r, "a", 0)
	// A pod without its container, as of a crash before the first start.
	spec.Containers[0].Command = []string{"/no/such/program"}
	wantKind(t, "bad command", r.EnsurePod(ctx, spec), runtime.BadCommand)
	r.Close()

	container := containerDir(podDir(cfg.Dir, "a"), "c0")
	mkdir := func(path string) string {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mkdir(filepath.Join(podsDir(cfg.Dir), newPrefix+"pod"))
	mkdir(filepath.Join(podsDir(cfg.Dir), oldPrefix+"pod"))
	half := mkdir(filepath.Join(container, newPrefix+"0-1"))
	lock, err := takeLock(half) // before the rename
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	lock, err = takeLock(mkdir(filepath.Join(container, "0"))) // after it, before the shim
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()

	r = open(t, cfg)
	leftovers(t, cfg.Dir)
	mustNotExist(t, filepath.Join(container, "0"))
	if c := statusOf(t, r, "a").Containers[0]; c.State != runtime.Created || !strings.Contains(c.Message, "/no/such/program") {
		t.Errorf("status %+v, want Created with the reason of the former daemon", c)
	}
	ensure(t, r, shPod("a", "echo once; sleep 1000"))
	if log := awaitLog(t, r, "a", "c0", "once"); log != "once\n" {
		t.Errorf("log %q", log)
	}
	if c := statusOf(t, r, "a").Containers[0]; c.Message != "" {
		t.Errorf("the old reason is still shown: %q", c.Message)
	}
}

// A power cut between "starting" and "running" counts as an attempt that ran:
// never a second start of the same attempt.
func TestPowerCutWhileStarting(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	ensure(t, r, shPod("a", "sleep 1000"))
	r.Close()
	if err := Kill(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(attemptDir(podDir(cfg.Dir, "a"), "c0", 0), stateFile)
	data, _ := json.Marshal(attemptState{Phase: starting, Shim: processID{1, 1}})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	if c := statusOf(t, r, "a").Containers[0]; c.State != runtime.Exited || c.ExitCode != 137 {
		t.Errorf("status %+v", c)
	}
	// Torn by the power cut: the same.
	r.Close()
	if err := os.WriteFile(path, data[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	if c := statusOf(t, r, "a").Containers[0]; c.State != runtime.Exited || c.ExitCode != 137 {
		t.Errorf("status with a torn file %+v", c)
	}
}

// A PID that was used again is never signalled.
func TestPIDReuse(t *testing.T) {
	bystander := exec.Command("sleep", "1000")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := identify(bystander.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	reused := processID{id.PID, id.Start - 1}

	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	ensure(t, r, shPod("a", "sleep 1000"))
	r.Close()
	if err := Kill(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(attemptDir(podDir(cfg.Dir, "a"), "c0", 0), stateFile)
	if err := writeJSON(path, &attemptState{Phase: running, Shim: reused, Main: reused}, durable); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	awaitState(t, r, "a", 0, runtime.Exited)
	stop(t, r, "a", 0)
	if !id.alive() {
		t.Error("a process that had nothing to do with the pod was killed")
	}
	// The check is real: with the right start time it is killed.
	if err := id.signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	bystander.Wait()
	if id.alive() {
		t.Error("the process lives on")
	}
}

// Two daemons on one directory (a crash that is not quite one) start each
// attempt once, whether or not the pod was there, and both succeed.
func TestTwoDaemonsStartOnce(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	marker := filepath.Join(t.TempDir(), "starts")
	starts := func() int {
		data, _ := os.ReadFile(marker)
		return len(data) / len("x\n")
	}
	first := open(t, cfg)
	ids := []runtime.RunID{"one", "two", "three", "four"}
	bad := shPod("two", "")
	bad.Containers[0].Command = []string{"/no/such/program"}
	wantKind(t, "bad command", first.EnsurePod(ctx, bad), runtime.BadCommand) // leaves the pod, not started
	a, b := open(t, cfg), open(t, cfg)
	both := func(do func(r *Runtime) error) {
		t.Helper()
		var wg sync.WaitGroup
		for _, r := range []*Runtime{a, b} {
			wg.Go(func() {
				if err := do(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	spec := func(id runtime.RunID) runtime.Spec { return shPod(string(id), "echo x >> "+marker+"; exit 0") }
	for round := range 3 {
		for _, id := range ids {
			both(func(r *Runtime) error {
				if round == 0 {
					return r.EnsurePod(ctx, spec(id))
				}
				return r.StartContainer(ctx, spec(id), "c0", round)
			})
			for _, r := range []*Runtime{a, b} {
				awaitState(t, r, id, 0, runtime.Exited)
			}
		}
		if n := starts(); n != len(ids)*(round+1) {
			t.Fatalf("%d starts after round %d of %d pods", n, round, len(ids))
		}
	}
}

func TestKillAndClean(t *testing.T) {
	for name, without := range map[string]bool{"cgroups": false, "no cgroups": true} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.withoutCgroups = without
			cleaned(t, cfg.Dir)
			r := open(t, cfg)
			for _, id := range []string{"a", "b", "c"} {
				ensure(t, r, shPod(id, "setsid sh -c 'setsid sleep 1000 & sleep 1000' & echo begun; sleep 1000", "trap '' TERM; sleep 1000"))
				awaitLog(t, r, runtime.RunID(id), "c0", "begun")
			}
			r.Close()
			if n := marked(cfg.Dir); n < 12 {
				t.Fatalf("only %d processes run before", n)
			}
			if err := Kill(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			if n := marked(cfg.Dir); n != 0 {
				t.Errorf("%d processes run after Kill", n)
			}
			r = open(t, cfg)
			for _, id := range []runtime.RunID{"a", "b", "c"} {
				for _, c := range statusOf(t, r, id).Containers {
					if c.State != runtime.Exited || c.ExitCode != 137 {
						t.Errorf("%s after the power cut: %+v", id, c)
					}
				}
			}
			// What was killed starts again, and so does a new pod.
			if err := r.StartContainer(ctx, shPod("a", "echo again; sleep 1000"), "c0", 1); err != nil {
				t.Fatal(err)
			}
			awaitLog(t, r, "a", "c0", "again")
			ensure(t, r, shPod("d", "echo new; sleep 1000"))
			awaitLog(t, r, "d", "c0", "new")
			for _, id := range []runtime.RunID{"a", "d"} {
				if c := statusOf(t, r, id).Containers[0]; c.State != runtime.Running {
					t.Errorf("%s does not run after the power is back: %+v", id, c)
				}
			}
			r.Close()
			if err := Clean(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			mustNotExist(t, podsDir(cfg.Dir))
			if err := Clean(cfg.Dir); err != nil {
				t.Errorf("Clean again: %v", err)
			}
			if err := Kill(filepath.Join(cfg.Dir, "nothing")); err != nil {
				t.Errorf("Kill of nothing: %v", err)
			}
		})
	}
}
