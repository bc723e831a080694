package live

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// daemon is one `holon up` that a test started by itself, without a testnet.
type daemon struct {
	t      testing.TB
	dir    string // its data directory
	root   string // how its files are reached from here: "" or /proc/PID/root
	ip     string
	cmd    *exec.Cmd
	words  *words
	exited chan struct{}
}

// words is what a program has written so far.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

var daemonCount atomic.Int32

// loneAddress gives every daemon an address that no testnet uses: those take
// 127.77 to 127.176. Test runs at the same time differ by their process.
func loneAddress() string {
	return fmt.Sprintf("127.%d.%d.1", 180+os.Getpid()%70, daemonCount.Add(1))
}

// startDaemon starts a node on an address of its own; before is a command to run
// it under, such as unshare.
func startDaemon(t testing.TB, dir, ip string, before []string, flags ...string) *daemon {
	t.Helper()
	args := append(before, holonProgram, "up", "--data-dir", dir, "--name", strings.ReplaceAll(filepath.Base(dir), "_", "-"),
		"--listen", "/ip4/"+ip+"/udp/7946/quic-v1", "--listen", "/ip4/"+ip+"/tcp/7946",
		"--api-listen", ip+":6443", "--host-ip", ip, "--runtime", "process")
	if strings.HasPrefix(ip, "127.") {
		args = append(args, "--pod-subnet", strings.TrimSuffix(ip, "1")+"0/24")
	}
	args = append(args, flags...)
	d := &daemon{t: t, dir: dir, ip: ip, words: new(words), exited: make(chan struct{})}
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = d.words, d.words
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the daemon; Cleanup waits for it
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", dir, d.words)
		}
	})
	return d
}

func (d *daemon) socket() string { return d.root + d.dir + "/holon.sock" }

// ask types a command to the daemon's socket.
func (d *daemon) ask(args ...string) result {
	d.t.Helper()
	return command(d.t, "", append([]string{"--socket", d.socket()}, args...)...)
}

func (d *daemon) apply(text string) result {
	d.t.Helper()
	return command(d.t, text, "--socket", d.socket(), "apply", "-f", "-")
}

func (d *daemon) must(args ...string) string {
	d.t.Helper()
	r := d.ask(args...)
	if r.code != 0 {
		d.t.Fatalf("%v: %v\nthe daemon said: %s", args, r, d.words)
	}
	return strings.TrimSpace(r.out)
}

// awaitUp waits until the daemon serves.
func (d *daemon) awaitUp() *daemon {
	d.t.Helper()
	eventually(d.t, d.dir+" is up", func() error {
		select {
		case <-d.exited:
			d.t.Fatalf("the daemon ended: %s", d.words)
		default:
		}
		if r := d.ask("get", "nodes"); r.code != 0 || !strings.Contains(r.out, "Ready") {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	return d
}

// awaitExit waits until the daemon has ended by itself and returns its code.
func (d *daemon) awaitExit() int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.t.Fatalf("the daemon goes on: %s", d.words)
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop ends the daemon as Ctrl-C does.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if code := d.awaitExit(); code != 0 {
		d.t.Errorf("exit code %d after SIGTERM: %s", code, d.words)
	}
}

// fails wants a daemon to end by itself, with a reason.
func (d *daemon) fails(says ...string) {
	d.t.Helper()
	if code := d.awaitExit(); code == 0 {
		d.t.Errorf("exit code 0, want a failure: %s", d.words)
	}
	for _, s := range says {
		if !strings.Contains(d.words.String(), s) {
			d.t.Errorf("it does not say %q: %s", s, d.words)
		}
	}
}
