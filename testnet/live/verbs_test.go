package live

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEveryVerbOnEveryNode types every command to every node, of which at most
// one runs the pods that are spoken of.
func TestEveryVerbOnEveryNode(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 3, runtime)
		p := n.runTools()
		n.deployWeb(2)
		for _, node := range n.names() {
			t.Logf("asking %s; tools runs on %s", node, p.node())
			n.lookOn(node)
			n.changeOn(node)
			n.execOn(node)
		}
		for _, node := range n.names() {
			n.terminalOn(node, runtime)
		}
	})
}

// prints runs a command that has to succeed and print what the pattern says.
func (n *network) prints(node, pattern string, args ...string) {
	n.t.Helper()
	if out := n.on(node, args...); !regexp.MustCompile(`(?m)` + pattern).MatchString(out) {
		n.t.Errorf("%s: holon %s: no line matches %q in:\n%s", node, strings.Join(args, " "), pattern, out)
	}
}

// lookOn types what only looks.
func (n *network) lookOn(node string) {
	n.t.Helper()
	n.prints(node, `^NAME +READY +STATUS +RESTARTS +AGE$`, "get", "pods")
	n.prints(node, `^tools +1/1 +Running +0 +\S+ +\S+ +n\d`, "get", "po", "-o", "wide")
	n.prints(node, `^default +tools `, "get", "pods", "-A")
	n.prints(node, `^    "kind": "Pod",$`, "get", "pod", "tools", "-o", "json")
	n.prints(node, `^kind: Pod$`, "get", "pod", "tools", "-o", "yaml")
	n.prints(node, `^deployment.apps/web$`, "get", "deploy", "-o", "name")
	n.prints(node, `^n3 +Ready`, "get", "nodes")
	n.prints(node, `^default +Active`, "get", "ns")
	n.prints(node, `^web-\w+ +2 +2 +2`, "get", "rs")
	n.prints(node, `Name: +tools`, "describe", "pod", "tools")
	n.prints(node, `^started$`, "logs", "tools")
	n.prints(node, `^to stderr$`, "logs", "tools")
	n.prints(node, `\A[^\n]+\n\z`, "logs", "tools", "--tail", "1")
	n.prints(node, `listens on`, "logs", "deploy/web")
	n.prints(node, `^Scheduler: +n\d$`, "why", "deploy/web")
	n.prints(node, `tools`, "why", "pod/tools")
	n.prints(node, `Scheduled`, "events")
	n.prints(node, `as `+node+` sees it: it sees the majority`, "status")
	n.prints(node, `successfully rolled out`, "rollout", "status", "deploy/web")
	n.prints(node, `condition met`, "wait", "pod/tools", "--for", "condition=Ready", "--timeout", "20s")
	n.prints(node, `holon`, "version")
	if r := n.ask(node, "get", "pod", "nobody"); r.code != 1 || !strings.Contains(r.err, `"nobody" not found`) {
		n.t.Errorf("%s: get of a pod that is not there: %v", node, r)
	}
}

// changeOn types what changes something.
func (n *network) changeOn(node string) {
	n.t.Helper()
	name := "cm-" + node
	n.apply(node, configMap(name, "k", "v"))
	n.prints(node, `patched`, "patch", "configmap", name, "-p", `{"data":{"k":"w"}}`)
	n.prints(node, `labeled`, "label", "configmap", name, "a=b")
	if r := n.ask(node, "label", "configmap", name, "a=c"); r.code != 1 {
		n.t.Errorf("%s: a label was replaced without --overwrite: %v", node, r)
	}
	n.prints(node, `labeled`, "label", "configmap", name, "a=c", "--overwrite")
	n.prints(node, `annotated`, "annotate", "configmap", name, "x=y")
	n.prints(node, `^w c y$`, "get", "configmap", name, "-o", `jsonpath={.data.k} {.metadata.labels.a} {.metadata.annotations.x}{"\n"}`)
	n.prints(node, `unlabeled|labeled`, "label", "configmap", name, "a-")
	n.prints(node, `deleted`, "delete", "configmap", name)
	n.prints(node, `scaled`, "scale", "deploy/web", "--replicas", "2")

	token := strings.TrimSpace(n.on(node, "token", "create"))
	if !strings.HasPrefix(token, "holon1.") {
		n.t.Errorf("%s: token create printed %q", node, token)
	}
	id := strings.Fields(strings.Split(n.on(node, "token", "ls"), "\n")[1])[0]
	n.prints(node, `revoked`, "token", "revoke", id)
	n.prints(node, id+` .*revoked`, "token", "ls")
	if config := command(n.t, "", "kubeconfig", "--data-dir", n.at("net", node)); config.code != 0 || !strings.Contains(config.out, "kind: Config") {
		n.t.Errorf("%s: kubeconfig: %v", node, config)
	}
}

// execOn runs commands in a container: output, exit code, both streams, stdin.
func (n *network) execOn(node string) {
	n.t.Helper()
	r := n.ask(node, "exec", "tools", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
	if r.code != 7 || r.out != "out\n" || !strings.HasPrefix(r.err, "err\n") {
		n.t.Errorf("%s: exec: %v", node, r)
	}
	text := strings.Repeat("0123456789abcdef\n", 20_000) // more than any buffer on the way
	if r := n.feed(node, text, "exec", "-i", "tools", "--", "cat"); r.code != 0 || r.out != text {
		n.t.Errorf("%s: exec -i cat returned %d of %d bytes, exit code %d: %s", node, len(r.out), len(text), r.code, r.err)
	}
	if r := n.ask(node, "exec", "tools", "--", "not-a-program"); r.code == 0 || r.err == "" {
		n.t.Errorf("%s: exec of what is not there: %v", node, r)
	}
}

// terminalOn runs a shell on a terminal: it has the terminal's size, from the
// start on processes and a moment later at most on Podman, takes what is typed,
// and its exit code comes back.
func (n *network) terminalOn(node, runtime string) {
	n.t.Helper()
	script := `echo "it is $(stty size)"; exec sh`
	if runtime == "podman" {
		script = `i=0; until [ "$(stty size 2>/dev/null)" = "33 101" ] || [ $i = 100 ]; do sleep 0.1; i=$((i+1)); done; ` + script
	}
	text, code := n.typed(node, "exit 5\n", "exec", "-it", "tools", "--", "sh", "-c", script)
	if code != 5 {
		n.t.Errorf("%s: exec -it: exit code %d, want 5:\n%s", node, code, text)
	}
	if !strings.Contains(text, "it is 33 101") {
		n.t.Errorf("%s: exec -it: want the size 33 101 on the screen:\n%s", node, text)
	}
}

// typed types to a command on a terminal of 33 rows and 101 columns.
func (n *network) typed(node, keys string, args ...string) (screen string, code int) {
	n.t.Helper()
	cmd := exec.Command(holonProgram, append([]string{"--kubeconfig", n.at("net", "kubeconfig"), "--context", node}, args...)...)
	terminal := n.onTerminal(cmd, 33, 101)
	defer terminal.Close()
	if _, err := io.WriteString(terminal, keys); err != nil {
		n.t.Fatal(err)
	}
	hang := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hang.Stop()
	text, _ := io.ReadAll(terminal) // ends with EIO when the other side is closed
	_ = cmd.Wait()
	return string(text), cmd.ProcessState.ExitCode()
}

// onTerminal starts a program with a new terminal of the given size and returns
// the terminal's other end, pty(7).
func (n *network) onTerminal(cmd *exec.Cmd, rows, columns uint16) *os.File {
	n.t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err != nil {
		n.t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	return screen
}
