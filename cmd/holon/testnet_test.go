package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestParsePartition(t *testing.T) {
	names := []string{"n1", "n2", "n3", "n4", "n5"}
	for spec, want := range map[string]string{
		"n1,n2|n3,n4,n5": "[[n1 n2] [n3 n4 n5]]",
		" n1 , n2 | n3":  "[[n1 n2] [n3] [n4 n5]]",
		"n1":             "[[n1] [n2 n3 n4 n5]]",
		"n1|":            "[[n1] [n2 n3 n4 n5]]",
		"":               "error",
		"|":              "error",
		"n1,n2,n3,n4,n5": "error",
		"n1|n1":          "error",
		"n1|n9":          "error",
	} {
		got := "error"
		if groups, err := parsePartition(spec, names); err == nil {
			got = fmt.Sprint(groups)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", spec, got, want)
		}
	}
}

func TestPartitionBlocksBothWays(t *testing.T) {
	s := testnetState{Partition: [][]string{{"n1", "n2"}, {"n3"}, {"n4"}}}
	for name, want := range map[string]string{"n1": "[n3 n4]", "n3": "[n1 n2 n4]", "n4": "[n1 n2 n3]"} {
		if got := fmt.Sprint(s.blockedFor(name)); got != want {
			t.Errorf("%s must not see %s, want %s", name, got, want)
		}
	}
	healed := testnetState{}
	if got := healed.blockedFor("n1"); got == nil || len(got) != 0 {
		t.Errorf("healing must send an empty list, not %v", got)
	}
}

// child starts a process that lives until it is killed.
func child(t *testing.T) (*exec.Cmd, procID) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, p
}

func TestOnlyTheNamedProcessIsSignalled(t *testing.T) {
	cmd, p := child(t)
	stranger := procID{p.PID, "1"} // the same pid, in a later life
	if err := stranger.signal(syscall.SIGKILL); !errors.Is(err, errProcGone) {
		t.Fatalf("signal to a reused pid: %v", err)
	}
	if err := stranger.kill(context.Background()); err != nil {
		t.Fatalf("kill of a process that has ended: %v", err)
	}
	if !p.alive() || stranger.alive() {
		t.Fatal("the wrong process was hit")
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for state := byte(0); state != 'T'; { // stopping is not awaited by the kernel
		var err error
		if state, err = p.state(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Nobody has waited for it: a zombie counts as gone.
	if p.alive() {
		t.Error("alive after kill")
	}
	_ = cmd.Wait()
	if (procID{}).alive() {
		t.Error("the process of a node that never ran is alive")
	}
}

func TestWaitGoneHonoursItsContext(t *testing.T) {
	_, p := child(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := p.waitGone(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

// home gives the test a user of its own.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	return dir
}

func TestTestnetsTakeDifferentAddresses(t *testing.T) {
	dir := home(t)
	const together = 4
	octets := make(chan int, together)
	var wait sync.WaitGroup
	for i := range together {
		wait.Go(func() {
			c := &testnetCommands{app: &app{err: os.Stderr}, dir: filepath.Join(dir, fmt.Sprintf("net%d", i))}
			n, unlock, err := c.create(t.Context(), upOptions{nodes: 2})
			if err != nil {
				t.Error(err)
				return
			}
			unlock()
			octets <- n.state.Octet
		})
	}
	wait.Wait()
	close(octets)
	seen := map[int]bool{}
	for o := range octets {
		if seen[o] {
			t.Errorf("127.%d.0.0/16 was given twice", o)
		}
		seen[o] = true
	}
	r, err := readRegistry()
	if err != nil || len(r.Testnets) != together || r.Last == "" {
		t.Errorf("registry %+v, %v", r, err)
	}
	// A testnet that is gone does not keep its addresses.
	if err := os.RemoveAll(r.Last); err != nil {
		t.Fatal(err)
	}
	if r, err = readRegistry(); err != nil || len(r.Testnets) != together-1 || r.Last == "" {
		t.Errorf("registry %+v, %v", r, err)
	}
}

func TestAnAddressInUseIsPassedOver(t *testing.T) {
	home(t)
	var r registry
	free := func() int {
		octet, release, err := r.freeOctet(1)
		must(t, err)
		release()
		return octet
	}
	first := free()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", testnetIP(first, 1), testnetAPIPort))
	must(t, err)
	defer l.Close()
	if next := free(); next == first {
		t.Errorf("octet %d was chosen again, though somebody listens there", next)
	}
	// Another user's `up` that has chosen, and does not listen yet.
	octet, release, err := r.freeOctet(1)
	must(t, err)
	defer release()
	if next := free(); next == octet {
		t.Errorf("octet %d was chosen again, though somebody has reserved it", next)
	}
}

func TestUpRefusesADirectoryInUse(t *testing.T) {
	dir := home(t)
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	for path, want := range map[string]string{full: "is not empty (photos)", long: "too long"} {
		c := &testnetCommands{app: &app{err: os.Stderr}, dir: path}
		if _, _, err := c.create(t.Context(), upOptions{nodes: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	again := &testnetCommands{app: &app{err: os.Stderr}, dir: filepath.Join(dir, "net")}
	_, unlock, err := again.create(t.Context(), upOptions{nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, _, err := again.create(t.Context(), upOptions{nodes: 1}); err == nil || !strings.Contains(err.Error(), "holon testnet down --dir") {
		t.Errorf("a second testnet in one directory: %v", err)
	}
}

func TestTwoVerbsDoNotRace(t *testing.T) {
	dir := home(t)
	c := &testnetCommands{app: &app{err: os.Stderr}, dir: filepath.Join(dir, "net")}
	_, unlock, err := c.create(t.Context(), upOptions{nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	const verbs = 8
	var wait sync.WaitGroup
	for range verbs {
		wait.Go(func() {
			err := c.change(t.Context(), func(n *testnet) error {
				n.state.Nodes[0].Process.PID++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	n, err := c.open()
	if err != nil || n.state.Nodes[0].Process.PID != verbs {
		t.Errorf("%d of %d changes survived (%v)", n.state.Nodes[0].Process.PID, verbs, err)
	}
}

// TestALockIsNotWaitedForForEver: not past its patience, not past the caller's,
// and whoever holds it is named.
func TestALockIsNotWaitedForForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, 0)
	must(t, err)
	_, err = lockFile(t.Context(), path, time.Millisecond)
	if want := fmt.Sprintf("pid %d", os.Getpid()); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("a lock that another holds: %v, want %s named", err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that another holds, for an impatient caller: %v", err)
	}
	unlock()
	unlock, err = lockFile(t.Context(), path, 0)
	must(t, err)
	unlock()
}

func TestDownOfADeadTestnetLeavesNothing(t *testing.T) {
	dir := home(t)
	kept := filepath.Join(dir, "kept")
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, wantDir := range map[string]bool{filepath.Join(dir, "made"): false, kept: true} {
		c := &testnetCommands{app: &app{out: os.Stderr, err: os.Stderr}, dir: path}
		n, unlock, err := c.create(t.Context(), upOptions{nodes: 2})
		if err != nil {
			t.Fatal(err)
		}
		cmd, p := child(t)
		n.state.Runtime = "process"
		n.state.Nodes[0].Process = p
		if err := os.MkdirAll(n.nodeDir(n.state.Nodes[0]), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := n.save(); err != nil {
			t.Fatal(err)
		}
		unlock()
		if err := c.change(t.Context(), func(n *testnet) error { return n.tearDown(context.Background(), false) }); err != nil {
			t.Fatal(err)
		}
		if p.alive() {
			t.Error("the daemon lives")
		}
		_ = cmd.Wait()
		left, err := os.ReadDir(path)
		if len(left) > 0 || (err == nil) != wantDir {
			t.Errorf("%s: %v, %v", path, left, err)
		}
	}
}
