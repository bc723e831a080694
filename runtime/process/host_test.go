package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
	"holon/runtime/runtimetest"
)

// A host without privileges: no control groups, no mount namespaces. What
// holds everywhere still does; what does not is said.
func TestConformanceUnprivileged(t *testing.T) {
	runtimetest.Conformance(t, func(t *testing.T) runtimetest.Fixture {
		f := fixture(t, func(c *Config) { c.withoutCgroups, c.withoutNamespaces = true, true })
		f.ReadOnlyNotEnforced, f.SubPathFollows = true, true
		return f
	})
}

func TestUnprivilegedSaysSo(t *testing.T) {
	cfg := testConfig(t)
	cfg.withoutCgroups, cfg.withoutNamespaces = true, true
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	info, err := r.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(info.Notes, "\n")
	for _, want := range []string{"memory limits", "cpu limits", "read-only", "tracked"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not speak of %q: %s", want, notes)
		}
	}
	spec := shPod("a", "sleep 1000")
	spec.Containers[0].MemLimit, spec.Containers[0].CPULimit = 1<<20, 100
	spec.Volumes = []runtime.Volume{{Name: "v"}}
	spec.Containers[0].Mounts = []runtime.Mount{{Volume: "v", Path: "/etc", ReadOnly: true}}
	ensure(t, r, spec)
	message := awaitState(t, r, "a", 0, runtime.Running).Message
	for _, want := range []string{"memory limit is not enforced", "cpu limit is not enforced", "not at /etc", "not read-only"} {
		if !strings.Contains(message, want) {
			t.Errorf("the status does not say %q: %s", want, message)
		}
	}
}

// Descendants that leave the session end with their container all the same.
func TestDescendantsEnd(t *testing.T) {
	for name, without := range map[string]bool{"cgroups": false, "no cgroups": true} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.withoutCgroups = without
			cleaned(t, cfg.Dir)
			r := open(t, cfg)
			const daemonise = "(setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; "
			ensure(t, r, shPod("a", daemonise+"echo begun; exit 0"))
			awaitState(t, r, "a", 0, runtime.Exited)
			if n := marked(cfg.Dir); n != 0 {
				t.Errorf("%d processes outlive their container", n)
			}
			ensure(t, r, shPod("b", daemonise+"echo begun; sleep 1000"))
			awaitLog(t, r, "b", "c0", "begun")
			// One by exec, which the shim is not the parent of.
			if _, err := r.Exec(ctx, "b", "c0", runtime.ExecOptions{Command: []string{"/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"}}); err != nil {
				t.Fatal(err)
			}
			stop(t, r, "b", 0)
			if n := marked(cfg.Dir); n != 0 {
				t.Errorf("%d processes outlive their pod", n)
			}
		})
	}
}

// Processes that fork and exit faster than they are listed are ended too.
func TestFleetingProcessesEnd(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	spec := shPod("a", "for i in 1 2 3 4; do sh $HOLON_POD_DIR/v/chain; done; echo begun; sleep 1000")
	spec.Volumes = []runtime.Volume{{Name: "v", Files: []runtime.File{{Path: "chain", Data: []byte("sh \"$0\" & exit 0\n")}}}}
	spec.Containers[0].Mounts = []runtime.Mount{{Volume: "v", Path: "v"}}
	ensure(t, r, spec)
	awaitLog(t, r, "a", "c0", "begun")
	stop(t, r, "a", 0)
	if n := marked(cfg.Dir); n != 0 {
		t.Errorf("%d processes outlive their pod", n)
	}
}

// A command that is executed in a container ends with it, everywhere.
func TestExecEndsWithContainer(t *testing.T) {
	for name, without := range map[string]bool{"cgroups": false, "no cgroups": true} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.withoutCgroups = without
			cleaned(t, cfg.Dir)
			r := open(t, cfg)
			ensure(t, r, shPod("a", "sleep 1000"))
			said, says := io.Pipe()
			done := make(chan int, 1)
			go func() {
				code, err := r.Exec(ctx, "a", "c0", runtime.ExecOptions{Command: []string{"/bin/sh", "-c", "echo here; sleep 1000"}, Stdout: says})
				if err != nil {
					t.Error(err)
				}
				done <- code
			}()
			if _, err := io.ReadFull(said, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if err := newestOf(t, r, "a", "c0").Main.signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {
			case code := <-done:
				if code != 137 {
					t.Errorf("exit code %d", code)
				}
			case <-time.After(patience):
				t.Error("exec outlives its container")
			}
		})
	}
}

func TestLimits(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	info, err := r.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	spec := shPod("a", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", "sleep 1000")
	spec.Containers[0].MemLimit = 32 << 20
	spec.Containers[1].CPULimit, spec.Containers[1].CPURequest = 250, 500
	ensure(t, r, spec)
	c := awaitState(t, r, "a", 0, runtime.Exited)
	if notes := strings.Join(info.Notes, " "); strings.Contains(notes, "memory limits are not enforced") {
		t.Logf("no memory limits here, and it says so: %s", notes)
	} else if !c.OOMKilled || c.ExitCode != 137 || !strings.Contains(c.Message, "memory limit") {
		t.Errorf("over its memory limit: %+v", c)
	}
	spec.Containers[0].Command = []string{"true"}
	if err := r.StartContainer(ctx, spec, "c0", 1); err != nil {
		t.Fatal(err)
	}
	if next := statusOf(t, r, "a").Containers[0]; next.Last != c.Ended() {
		t.Errorf("the next attempt says %+v of it, want %+v", next.Last, c.Ended())
	}
	var order startOrder
	if err := readJSON(filepath.Join(attemptDir(podDir(r.cfg.Dir, "a"), "c1", 0), startFile), startFileBytesMax, &order); err != nil {
		t.Fatal(err)
	}
	quota := ""
	for _, group := range append(order.Cgroups.V1, order.Cgroups.Track) {
		for _, file := range []string{"cpu.cfs_quota_us", "cpu.max"} {
			if data, err := os.ReadFile(filepath.Join(group, file)); err == nil {
				quota = strings.Fields(string(data))[0]
			}
		}
	}
	message := statusOf(t, r, "a").Containers[1].Message
	if quota != "25000" && !strings.Contains(message, "not enforced") {
		t.Errorf("250 millicores are a quota of %q us in 100000, and the status says %q", quota, message)
	}
}

// Volumes appear on paths that the host has, for the container only.
func TestVolumeOnHostPath(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	place := t.TempDir()
	spec := shPod("a", fmt.Sprintf("cat %s/f $HOLON_POD_DIR%s/f /no-such-place/f; ls %s; sleep 1000", place, place, place))
	spec.Volumes = []runtime.Volume{{Name: "v", Files: []runtime.File{{Path: "f", Data: []byte("inside\n")}}}}
	spec.Containers[0].Mounts = []runtime.Mount{{Volume: "v", Path: place}, {Volume: "v", Path: "/no-such-place"}}
	ensure(t, r, spec)
	if !r.private {
		if m := statusOf(t, r, "a").Containers[0].Message; !strings.Contains(m, "CAP_SYS_ADMIN") {
			t.Errorf("the status does not say where the volume is: %q", m)
		}
		return
	}
	awaitLog(t, r, "a", "c0", "\nf\n")
	log := logOf(t, r, "a", "c0")
	if strings.Count(log, "inside\n") != 2 {
		t.Errorf("the container read %q", log)
	}
	mustNotExist(t, filepath.Join(place, "f"))
	if m := statusOf(t, r, "a").Containers[0].Message; !strings.Contains(m, "$HOLON_POD_DIR/no-such-place") {
		t.Errorf("the status does not say where the volume is: %q", m)
	}
	var out strings.Builder
	if code, err := r.Exec(ctx, "a", "c0", runtime.ExecOptions{Command: []string{"cat", filepath.Join(place, "f")}, Stdout: &out}); err != nil || code != 0 || out.String() != "inside\n" {
		t.Errorf("exec sees %q, code %d, %v", out.String(), code, err)
	}
}

func TestBadCommands(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for command, words := range map[string]string{
		"no-such-command-of-holon": "PATH", "./relative": "no such file", "/tmp": "directory", plain: "executable", script: "no such file",
	} {
		err := r.EnsurePod(ctx, runtime.Spec{ID: "a", Name: "a", Containers: []runtime.Container{{Name: "c", Command: []string{command}}}})
		wantKind(t, command, err, runtime.BadCommand, command, words)
		stop(t, r, "a", 0)
	}
	err := r.EnsurePod(ctx, runtime.Spec{ID: "a", Containers: []runtime.Container{{Name: "c", Image: "nginx"}}})
	wantKind(t, "no command", err, runtime.BadSpec, "the process runtime ignores images: give a command")
	for _, id := range []runtime.RunID{"", "A", "../x", "a/b", runtime.RunID(strings.Repeat("a", 33))} {
		wantKind(t, string(id), r.EnsurePod(ctx, runtime.Spec{ID: id}), runtime.BadSpec)
	}
	// Arguments alone are a command.
	ensure(t, r, runtime.Spec{ID: "b", Containers: []runtime.Container{{Name: "c", Args: []string{"sh", "-c", "exit 4"}}}})
	if c := awaitState(t, r, "b", 0, runtime.Exited); c.ExitCode != 4 {
		t.Errorf("%+v", c)
	}
}

// A shim program that is gone, or is none, is an error in words.
func TestBadShim(t *testing.T) {
	for name, shim := range map[string][]string{"gone": {"/no/such/holon", "shim"}, "silent": {"/bin/true"}} {
		cfg := testConfig(t)
		cfg.Shim = shim
		cleaned(t, cfg.Dir)
		r := open(t, cfg)
		wantKind(t, name, r.EnsurePod(ctx, shPod("a", "sleep 1000")), runtime.Failed, "shim")
		stop(t, r, "a", 0)
	}
	if code := Shim([]string{"by", "hand"}); code != 2 { // its sentence on stderr is the test output's
		t.Errorf("a shim run by hand exits with %d", code)
	}
}

func TestBadConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"relative":  func(c *Config) { c.Dir = "x" },
		"no shim":   func(c *Config) { c.Shim = nil },
		"host IP":   func(c *Config) { c.HostIP = "" },
		"log bytes": func(c *Config) { c.LogBytesMax = -1 },
	} {
		cfg := testConfig(t)
		change(&cfg)
		if _, err := New(ctx, cfg); runtime.KindOf(err) != runtime.BadSpec {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tinyDisk mounts a file system of its own, if that is allowed here.
func tinyDisk(t *testing.T, size string) (dir string, remount func(flags uintptr), ok bool) {
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Logf("no file system of our own here: %v", err)
		return dir, nil, false
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}, true
}

func TestDiskErrorsAreTyped(t *testing.T) {
	for errno, words := range map[syscall.Errno]string{
		unix.ENOSPC: "free some space", unix.EROFS: "writable", unix.EACCES: "write to", unix.EIO: "check the disk", unix.EMFILE: "ulimit",
	} {
		err := diskError("op", "/dir", &os.PathError{Op: "write", Path: "/dir/x", Err: errno})
		wantKind(t, errno.Error(), err, runtime.Unavailable, words)
	}
	wantKind(t, "memory", diskError("op", "/dir", unix.ENOMEM), runtime.OutOfMemory)
}

func TestDiskFull(t *testing.T) {
	dir, _, ok := tinyDisk(t, "1m")
	if !ok {
		return // TestDiskErrorsAreTyped has what can be tested without
	}
	cfg := testConfig(t)
	cfg.Dir, cfg.LogBytesMax = filepath.Join(dir, "state"), 10<<20
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	// A container that fills the disk with its log runs on, its end is on disk,
	// and it is told what is lost.
	ensure(t, r, shPod("a", "head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 100; exit 6"))
	c := awaitState(t, r, "a", 0, runtime.Exited)
	if c.ExitCode != 6 || !strings.Contains(c.Message, "log are lost") {
		t.Errorf("status on a full disk: %+v", c)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	filler.Close()
	wantKind(t, "EnsurePod on a full disk", r.EnsurePod(ctx, shPod("b", "sleep 1000")), runtime.Unavailable, "free some space")
	wantKind(t, "a volume on a full disk", r.EnsurePod(ctx, shPod("b", "sleep 1000")), runtime.Unavailable)
	_, err = r.Info(ctx)
	wantKind(t, "Info on a full disk", err, runtime.Unavailable, "free some space")
	wantKind(t, "a restart on a full disk", r.StartContainer(ctx, shPod("a", "sleep 1000"), "c0", 1), runtime.Unavailable)
	_, err = New(ctx, cfg)
	wantKind(t, "New on a full disk", err, runtime.Unavailable, "free some space")
	leftovers(t, r.cfg.Dir)

	// What can be stopped without room is stopped, and then all is well.
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	stop(t, r, "a", 0)
	ensure(t, r, shPod("b", "sleep 1000"))
	awaitState(t, r, "b", 0, runtime.Running)
	if _, err := r.Info(ctx); err != nil {
		t.Errorf("nothing is latched: %v", err)
	}
}

func TestDiskReadOnly(t *testing.T) {
	dir, remount, ok := tinyDisk(t, "4m")
	if !ok {
		return // TestDiskErrorsAreTyped has what can be tested without
	}
	cfg := testConfig(t)
	cfg.Dir = filepath.Join(dir, "state")
	r := open(t, cfg)
	ensure(t, r, shPod("a", "sleep 1000"))
	stop(t, r, "a", time.Second)
	remount(unix.MS_RDONLY)
	wantKind(t, "EnsurePod", r.EnsurePod(ctx, shPod("a", "sleep 1000")), runtime.Unavailable, "writable")
	_, err := r.Info(ctx)
	wantKind(t, "Info", err, runtime.Unavailable, "writable")
	_, err = New(context.Background(), cfg)
	wantKind(t, "New", err, runtime.Unavailable, "writable")
	remount(0)
	ensure(t, r, shPod("a", "sleep 1000"))
	stop(t, r, "a", 0)
	if err := Clean(cfg.Dir); err != nil {
		t.Error(err)
	}
}
