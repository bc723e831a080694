package live

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUpStatusDown brings a testnet up and down on both runtimes.
func TestUpStatusDown(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 3, runtime)
		all := n.status()
		if len(all) != 3 {
			t.Fatalf("%d nodes, want 3", len(all))
		}
		for i, s := range all {
			if s.Name != fmt.Sprintf("n%d", i+1) || s.State != "running" || !s.Ready || s.Runtime != runtime || s.Peers != 2 || s.PID == 0 {
				t.Errorf("status of node %d: %+v", i+1, s)
			}
		}
		for _, node := range n.names() {
			if out := n.on(node, "get", "nodes", "-o", "name"); out != "node/n1\nnode/n2\nnode/n3\n" {
				t.Errorf("%s lists the nodes as %q", node, out)
			}
		}
		info, err := os.Stat(n.at("net", "kubeconfig"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("kubeconfig: mode %v, %v; want 0600", info.Mode(), err)
		}
		n.down()
	})
}

// TestEachNodeAlone stops four of five nodes, each time others: the one that is
// left answers reads and takes a write. When all are back, all have all writes.
func TestEachNodeAlone(t *testing.T) {
	t.Parallel()
	n := up(t, 5, "process")
	names := n.names()
	for _, alone := range names {
		rest := others(names, alone)
		n.must("kill", rest...)
		if out := n.on(alone, "get", "nodes", "-o", "name"); strings.Count(out, "node/") != 5 {
			t.Errorf("%s alone does not know all nodes: %q", alone, out)
		}
		n.apply(alone, configMap("from-"+alone, "written", "alone"))
		n.must("start", rest...)
	}
	for _, node := range names {
		for _, writer := range names {
			n.awaitOutput(node, "alone", "get", "configmap", "from-"+writer, "-o", "jsonpath={.data.written}")
		}
	}
}

func configMap(name string, pairs ...string) string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata:\n"
	for i := 0; i < len(pairs); i += 2 {
		text += fmt.Sprintf("  %s: %q\n", pairs[i], pairs[i+1])
	}
	return text
}

// TestDaemonCrash kills daemons and leaves their pods: the next daemon adopts
// them as they are. Then a container dies behind holon's back: it is restarted.
func TestDaemonCrash(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 3, runtime)
		n.deployWeb(4)
		before, runs := n.awaitServing("n1", 4)
		n.must("kill", "--daemon-only", "n1", "n2", "n3")
		for _, p := range before {
			if run, err := n.fetch(&p); err != nil || run != runs[p.name()] {
				t.Errorf("%s does not serve while its daemon is dead: %v", p.name(), err)
			}
		}
		n.must("start", "n1", "n2", "n3")
		for _, node := range n.names() {
			after, again := n.awaitServing(node, 4)
			for name, p := range before {
				q := after[name]
				if p.life() != q.life() || runs[name] != again[name] {
					t.Errorf("%s sees %s restarted: before %s, run %s; after %s, run %s", node, name, p.life(), runs[name], q.life(), again[name])
				}
			}
		}
		n.killOneBehindItsBack(before)
	})
}

// killOneBehindItsBack kills the program of one pod and waits for its restart.
func (n *network) killOneBehindItsBack(pods map[string]pod) {
	n.t.Helper()
	var victim pod
	for _, victim = range pods {
		break
	}
	n.killProgram(victim.name())
	began := time.Now()
	eventually(n.t, "the killed container of "+victim.name()+" runs again", func() error {
		all, err := n.pods("n1", "app=web")
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(p pod) bool { return p.name() == victim.name() })
		if i < 0 || all[i].restarts() != 1 || !all[i].ready() {
			return fmt.Errorf("%v", describe(all))
		}
		_, err = n.fetch(&all[i])
		return err
	})
	n.t.Logf("a dead container serves again after %.1f s", time.Since(began).Seconds())
}

// killProgram kills the process that serves a pod, found by its environment.
func (n *network) killProgram(podName string) {
	n.t.Helper()
	for _, pid := range processes() {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || !strings.HasSuffix(exe, "/web") {
			continue
		}
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if !strings.Contains("\x00"+string(env), "\x00POD_NAME="+podName+"\x00") {
			continue
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			n.t.Fatal(err)
		}
		return
	}
	n.t.Fatalf("no process serves %s", podName)
}

// TestPauseResume freezes one node: the others take it for dead and stand in for
// it, and give way when it goes on.
func TestPauseResume(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.deployWeb(3)
	before, _ := n.awaitServing("n1", 3)
	n.must("pause", "n3", "--all")
	if s := n.node("n3"); s.State != "paused" {
		t.Errorf("n3 is %q, want paused", s.State)
	}
	eventually(t, "three replicas serve without n3", func() error { return n.served("n1", 3, "n3") })
	n.must("resume", "n3")
	eventually(t, "n3 sees its peers again", func() error {
		if s := n.node("n3"); s.State != "running" || !s.Ready || s.Peers != 2 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	after, _ := n.awaitServing("n1", 3)
	for name, p := range before {
		if q := after[name]; p.life() != q.life() {
			t.Errorf("%s was restarted: %s, then %s", name, p.life(), q.life())
		}
	}
}

// served reports whether want replicas off one node are Ready and answer.
func (n *network) served(node string, want int, off string) error {
	n.t.Helper()
	pods, err := n.pods(node, "app=web")
	if err != nil {
		return err
	}
	count := 0
	for i := range pods {
		if p := &pods[i]; p.node() != off && p.ready() {
			if _, err := n.fetch(p); err != nil {
				return err
			}
			count++
		}
	}
	if count != want {
		return fmt.Errorf("%d serve: %v", count, describe(pods))
	}
	return nil
}
