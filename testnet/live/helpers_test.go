package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	patience    = time.Minute // until a wait counts as failed
	lookEvery   = 50 * time.Millisecond
	commandTime = 2 * time.Minute // until a command counts as hanging
	manifest    = "../../examples/web.yaml"
)

// Programs under test; HOLON_BIN names another directory than bin.
var holonProgram, webProgram string

func TestMain(m *testing.M) {
	if err := findPrograms(); err != nil {
		fmt.Fprintln(os.Stderr, "testnet/live:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func findPrograms() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("these tests make mounts, network namespaces and containers: run them as root, or by 'make test', which uses sudo")
	}
	dir := os.Getenv("HOLON_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	holonProgram, webProgram = filepath.Join(dir, "holon"), filepath.Join(dir, "web")
	for _, p := range []string{holonProgram, webProgram} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w; build it with 'make build web'", err)
		}
	}
	for _, p := range []string{"podman", "ip", "iptables", "nft", "nsenter", "unshare", "mount"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%w; 'make deps' installs what is missing", err)
		}
	}
	// Nodes inherit it: with the process runtime this is where pods find `web`.
	return os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// result is what one command came to.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.err)
}

// command runs holon in an environment that knows no node but by its arguments.
func command(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return execute(t, stdin, holonProgram, args...)
}

func execute(t testing.TB, stdin, program string, args ...string) result {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "KUBECONFIG=") })
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &problem
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(commandTime, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !hang.Stop() {
		t.Fatalf("%s %v did not end within %v\nstdout: %s\nstderr: %s", filepath.Base(program), args, commandTime, &out, &problem)
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{out.String(), problem.String(), cmd.ProcessState.ExitCode()}
}

// network is one testnet of one test.
type network struct {
	t    testing.TB
	dir  string
	kind string // podman or process
}

// up starts a testnet of n nodes. When the test ends, the testnet is taken down
// and nothing may be left of it.
func up(t testing.TB, n int, runtime string) *network {
	t.Helper()
	dir, err := os.MkdirTemp("", "live")
	if err != nil {
		t.Fatal(err)
	}
	net := &network{t: t, dir: dir, kind: runtime}
	t.Cleanup(func() {
		net.down()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	r := command(t, "", "testnet", "up", "--nodes", fmt.Sprint(n), "--runtime", runtime, "--dir", net.at("net"))
	if r.code != 0 {
		t.Fatalf("testnet up: %v", r)
	}
	t.Logf("%d nodes Ready after %.1f s", n, time.Since(began).Seconds())
	return net
}

func (n *network) at(path ...string) string {
	return filepath.Join(append([]string{n.dir}, path...)...)
}

// down ends the testnet, unless the test has done so, and looks for leavings.
func (n *network) down() {
	n.t.Helper()
	if _, err := os.Stat(n.at("net")); err != nil {
		return
	}
	if n.t.Failed() {
		n.showLogs()
	}
	before := n.traces()
	if r := n.testnet("down"); r.code != 0 {
		n.t.Errorf("testnet down: %v", r)
	}
	for _, left := range before.left() {
		n.t.Errorf("left behind: %s", left)
	}
}

func (n *network) showLogs() {
	logs, _ := filepath.Glob(n.at("net", "n*", "daemon.log"))
	for _, log := range logs {
		data, _ := os.ReadFile(log)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		n.t.Logf("%s:\n%s", filepath.Base(filepath.Dir(log)), strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
}

// testnet types a testnet verb.
func (n *network) testnet(verb string, args ...string) result {
	n.t.Helper()
	return command(n.t, "", append([]string{"testnet", verb, "--dir", n.at("net")}, args...)...)
}

// must types a testnet verb that has to succeed.
func (n *network) must(verb string, args ...string) string {
	n.t.Helper()
	r := n.testnet(verb, args...)
	if r.code != 0 {
		n.t.Fatalf("testnet %s %v: %v", verb, args, r)
	}
	return r.out
}

// ask types a command to one node, which may fail.
func (n *network) ask(node string, args ...string) result {
	n.t.Helper()
	return n.feed(node, "", args...)
}

func (n *network) feed(node, stdin string, args ...string) result {
	n.t.Helper()
	return command(n.t, stdin, append([]string{"--kubeconfig", n.at("net", "kubeconfig"), "--context", node}, args...)...)
}

// on types a command to one node that has to succeed, and returns its output.
func (n *network) on(node string, args ...string) string {
	n.t.Helper()
	r := n.ask(node, args...)
	if r.code != 0 {
		n.t.Fatalf("holon --context %s %s: %v", node, strings.Join(args, " "), r)
	}
	return r.out
}

// apply sends a manifest to one node.
func (n *network) apply(node, text string) {
	n.t.Helper()
	if r := n.feed(node, text, "apply", "-f", "-"); r.code != 0 {
		n.t.Fatalf("apply on %s: %v\n%s", node, r, text)
	}
}

// deployWeb applies the example and waits until want replicas serve.
func (n *network) deployWeb(want int) {
	n.t.Helper()
	n.must("load-image", "localhost/holon-web:demo", "/bin/web="+webProgram)
	text, err := os.ReadFile(manifest)
	if err != nil {
		n.t.Fatal(err)
	}
	n.apply("n1", strings.ReplaceAll(string(text), "replicas: 6", fmt.Sprintf("replicas: %d", want)))
	n.awaitServing("n1", want)
}

func (n *network) names() []string {
	dirs, _ := filepath.Glob(n.at("net", "n*"))
	var names []string
	for _, d := range dirs {
		names = append(names, filepath.Base(d))
	}
	return names
}

// nodeStatus is one entry of `testnet status -o json`.
type nodeStatus struct {
	Name, State, Server, Runtime string
	PID, Peers                   int
	Ready                        bool
}

func (n *network) status() []nodeStatus {
	n.t.Helper()
	var all []nodeStatus
	if err := json.Unmarshal([]byte(n.must("status", "-o", "json")), &all); err != nil {
		n.t.Fatal(err)
	}
	return all
}

func (n *network) node(name string) nodeStatus {
	n.t.Helper()
	for _, s := range n.status() {
		if s.Name == name {
			return s
		}
	}
	n.t.Fatalf("testnet status does not name %s", name)
	return nodeStatus{}
}

// pod is what these tests look at in a Pod.
type pod struct {
	Metadata struct {
		Name, UID   string
		Annotations map[string]string
	}
	Spec   struct{ NodeName string }
	Status struct {
		Phase, PodIP, StartTime string
		Conditions              []struct{ Type, Status, Reason string }
		ContainerStatuses       []struct {
			ContainerID  string
			RestartCount int
			State        map[string]struct {
				StartedAt, Reason string
				ExitCode          int
			}
		}
	}
}

func (p *pod) name() string { return p.Metadata.Name }
func (p *pod) node() string { return p.Spec.NodeName }
func (p *pod) ready() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status, Reason string }) bool {
		return c.Type == "Ready" && c.Status == "True"
	})
}
func (p *pod) restarts() int {
	total := 0
	for _, c := range p.Status.ContainerStatuses {
		total += c.RestartCount
	}
	return total
}

// life is what stays the same as long as a pod is not restarted.
func (p *pod) life() string {
	text := p.Metadata.UID + " " + p.Status.StartTime
	for _, c := range p.Status.ContainerStatuses {
		text += fmt.Sprintf(" %s %d %s", c.ContainerID, c.RestartCount, c.State["running"].StartedAt)
	}
	return text
}

func (p *pod) String() string {
	return fmt.Sprintf("%s on %s at %s: %s, ready=%v", p.name(), p.node(), p.Status.PodIP, p.Status.Phase, p.ready())
}

// pods lists the pods that a node shows, those with a label or all.
func (n *network) pods(node, selector string) ([]pod, error) {
	n.t.Helper()
	args := []string{"get", "pods", "-o", "json"}
	if selector != "" {
		args = append(args, "-l", selector)
	}
	r := n.ask(node, args...)
	if r.code != 0 {
		return nil, fmt.Errorf("get pods: %v", r)
	}
	var list struct{ Items []pod }
	err := json.Unmarshal([]byte(r.out), &list)
	return list.Items, err
}

// awaitServing waits until a node shows exactly want pods of web, all Ready, and
// each of them answers with a run of its own. It returns them by name, and the
// run that each of them answered with.
func (n *network) awaitServing(node string, want int) (byName map[string]pod, runs map[string]string) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s sees exactly %d replicas serve", node, want), func() error {
		pods, err := n.pods(node, "app=web")
		if err != nil {
			return err
		}
		if len(pods) != want {
			return fmt.Errorf("%d pods: %v", len(pods), describe(pods))
		}
		byName, runs = map[string]pod{}, map[string]string{}
		seen := map[string]bool{}
		for _, p := range pods {
			if !p.ready() {
				return fmt.Errorf("%s is not ready: %v", p.name(), describe(pods))
			}
			run, err := n.fetch(&p)
			if err != nil {
				return err
			}
			if seen[run] {
				return fmt.Errorf("two pods are the same run %s", run)
			}
			seen[run], byName[p.name()], runs[p.name()] = true, p, run
		}
		return nil
	})
	return byName, runs
}

func describe(pods []pod) []string {
	var lines []string
	for i := range pods {
		lines = append(lines, "\n  "+pods[i].String())
	}
	return lines
}

var (
	page   = regexp.MustCompile(`^hello from (\S+) on (\S+), host (\S+), run (\S+), version (\S*)$`)
	client = http.Client{Timeout: 2 * time.Second}
)

// get returns the page at an address.
func get(address string) (string, error) {
	answer, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(body)), err
}

// fetch gets the page of a pod of web and returns the run that answered; it must
// be that pod's.
func (n *network) fetch(p *pod) (run string, err error) {
	text, err := get(p.Status.PodIP + ":8080")
	if err != nil {
		return "", err
	}
	m := page.FindStringSubmatch(text)
	if m == nil || m[1] != p.name() || m[2] != p.node() {
		return "", fmt.Errorf("%v answered %q", p, text)
	}
	return m[4], nil
}

// why is what `why -o json` says.
type why struct {
	Scheduler string
	Standbys  []string
}

func (n *network) scheduler(node, workload string) string {
	n.t.Helper()
	var w why
	if err := json.Unmarshal([]byte(n.on(node, "why", workload, "-o", "json")), &w); err != nil {
		n.t.Fatal(err)
	}
	return w.Scheduler
}

// awaitOutput waits until a command prints want.
func (n *network) awaitOutput(node, want string, args ...string) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s answers %q to %v", node, want, args), func() error {
		if r := n.ask(node, args...); r.code != 0 || strings.TrimSpace(r.out) != want {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
}

// eventually looks again and again until look returns nil.
func eventually(t testing.TB, what string, look func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		time.Sleep(lookEvery)
	}
}

// others returns the names without some.
func others(names []string, without ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(without, name) })
}

// eachRuntime runs a scenario on both runtimes.
func eachRuntime(t *testing.T, scenario func(t *testing.T, runtime string)) {
	for _, runtime := range []string{"process", "podman"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			scenario(t, runtime)
		})
	}
}
