package kube

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	nodes    = 4
	patience = time.Minute // until `eventually` gives up
	lookAt   = 100 * time.Millisecond
)

// programs are, some more of them if a test needs those, where `make build web clients` writes them.
func programs(t *testing.T, more ...string) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(more, "holon", "web", "kubectl", "helm") {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			t.Fatalf("%v; build it with 'make build web clients'", err)
		}
	}
	return dir
}

// testnet is a cluster of daemons on this machine.
type testnet struct {
	t        *testing.T
	bin, dir string
	runtime  string // process or podman
	split    bool   // in halves
}

func start(t *testing.T, more ...string) *testnet {
	t.Helper()
	return startOn(t, "process", more...)
}

func startOn(t *testing.T, runtime string, more ...string) *testnet {
	t.Helper()
	// t.TempDir is too long: Podman allows 50 characters for where it runs.
	dir, err := os.MkdirTemp("", "kube")
	if err != nil {
		t.Fatal(err)
	}
	n := &testnet{t: t, bin: programs(t, more...), dir: filepath.Join(dir, "net"), runtime: runtime}
	t.Cleanup(func() {
		if t.Failed() {
			n.showLogs()
		}
		n.verb("down")
		_ = os.RemoveAll(dir)
	})
	n.verb("up", "--nodes", fmt.Sprint(nodes), "--runtime", runtime)
	if runtime == "podman" {
		n.loadImages()
	}
	return n
}

// applets of busybox are what the images of the sessions hold besides web.
var applets = []string{"sh", "cat", "echo", "head", "ls", "mkdir", "rm", "sleep", "stty", "tar", "test", "touch", "true"}

// loadImages makes the images that the sessions name. Host processes need none.
func (n *testnet) loadImages() {
	files := []string{"/bin/web=" + filepath.Join(n.bin, "web")}
	for _, name := range applets {
		files = append(files, "/bin/"+name+"=/bin/busybox")
	}
	for _, image := range []string{"localhost/holon-web:demo", "localhost/other:2"} {
		n.verb("load-image", append([]string{image}, files...)...)
	}
}

// listen is the address that programs in pods listen on. Host processes share one
// network, so there it is the pod's own.
func (n *testnet) listen() string {
	if n.runtime == "podman" {
		return "0.0.0.0"
	}
	return "$(POD_IP)"
}

func (n *testnet) verb(verb string, args ...string) {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, "holon"), append([]string{"testnet", verb, "--dir", n.dir}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+n.bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("testnet %s: %v\n%s", verb, err, out)
	}
}

func (n *testnet) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(n.dir, "n*", "daemon.log"))
	for _, log := range logs {
		data, _ := os.ReadFile(log)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		n.t.Logf("%s:\n%s", log, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// kubeconfig is the testnet's own, with a node as its current context.
func (n *testnet) kubeconfig(node string) []byte {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "kubeconfig"))
	if err != nil {
		n.t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "current-context:") {
			lines[i] = "current-context: " + node
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// play runs the scripts that a pattern names against one node. Scripts ask by the
// condition `split` whether that node lacks a majority, and by `podman` for real containers.
func (n *testnet) play(pattern, node string) {
	n.t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		n.t.Fatalf("no script %s: %v", pattern, err)
	}
	n.t.Run(node, func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files: files, RequireExplicitExec: true, ContinueOnError: os.Getenv("KUBE_ALL") != "",
			Setup: func(env *testscript.Env) error {
				env.Setenv("HOME", env.WorkDir)
				env.Setenv("PATH", n.bin+":"+os.Getenv("PATH"))
				own := filepath.Join(env.WorkDir, "kubeconfig") // a script may change its namespace
				env.Setenv("KUBECONFIG", own)
				env.Setenv("NODE", node)
				env.Setenv("LISTEN", n.listen())
				env.Setenv("OLD", filepath.Join(n.bin, "kubectl-debian"))
				return os.WriteFile(own, n.kubeconfig(node), 0o600)
			},
			Condition: func(name string) (bool, error) {
				switch name {
				case "split":
					return n.split, nil
				case "podman":
					return n.runtime == "podman", nil
				}
				return false, fmt.Errorf("no condition is called %s", name)
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"eventually": eventually, "code": code,
				"testnet": func(_ *testscript.TestScript, _ bool, args []string) { n.verb(args[0], args[1:]...) },
			},
		})
	})
}

// eventually repeats a command until it succeeds, or fails if negated.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(lookAt) {
		err := ts.Exec(args[0], args[1:]...)
		if (err != nil) == neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v: %v: %v", patience, args, err)
		}
	}
}

// code runs a command that must end with an exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "KUBECONFIG="+ts.Getenv("KUBECONFIG"), "HOME="+ts.Getenv("HOME"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // judged by its code
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); (got == args[0]) == neg {
		ts.Fatalf("%v: exit code %s, not %s\n%s", args[1:], got, args[0], &out)
	}
}

// TestKubectl plays the sessions against one node, and again against another
// after the first was killed.
func TestKubectl(t *testing.T) {
	n := start(t)
	n.play("kubectl_*.txt", "n1")
	n.verb("kill", "n1")
	n.play("kubectl_*.txt", "n4")
}

// TestKubectlOnPodman plays those of the sessions that do something with containers, where
// they are real ones.
func TestKubectlOnPodman(t *testing.T) {
	t.Parallel()
	n := startOn(t, "podman")
	scripts := "kubectl_[sw]*.txt" // streams and workloads
	n.play(scripts, "n1")
	n.playInHalves(scripts)
	n.verb("kill", "n1")
	n.play(scripts, "n4")
}

// TestKubectlInHalves plays the sessions in each half of a split, neither of which has a
// majority, one after the other, and again when all is healed.
func TestKubectlInHalves(t *testing.T) {
	t.Parallel()
	n := start(t)
	n.playInHalves("kubectl_*.txt")
	n.play("kubectl_*.txt", "n2")
}

// playInHalves plays scripts in both halves of a split, and heals it.
func (n *testnet) playInHalves(scripts string) {
	n.t.Helper()
	n.verb("partition", "n1,n2|n3,n4")
	n.split = true
	n.t.Run("split", func(t *testing.T) {
		half := *n
		half.t = t
		half.play(scripts, "n1")
		half.play(scripts, "n3")
	})
	n.verb("heal")
	n.split = false
}

// TestOldKubectl plays the basics with the kubectl of Debian 12, which is 1.20.
func TestOldKubectl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skipf("%v: only Debian has the package", err)
	}
	start(t, "kubectl-debian").play("old_kubectl.txt", "n3")
}

// TestVolumes plays what becomes of data when pods, daemons and nodes go.
func TestVolumes(t *testing.T) {
	t.Parallel()
	start(t).play("volumes.txt", "n2")
}

func TestHelm(t *testing.T) { start(t).play("helm*.txt", "n2") }
