package live

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// summary is what `snapshot inspect -o json` says.
type summary struct {
	Cluster, Node, Checksum string
	Objects                 int
}

func inspect(t testing.TB, file string) (s summary) {
	t.Helper()
	r := command(t, "", "snapshot", "inspect", file, "-o", "json")
	if r.code != 0 {
		t.Fatalf("inspect %s: %v", file, r)
	}
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// mustLocal types a command that asks no node and has to succeed.
func (n *network) mustLocal(args ...string) {
	n.t.Helper()
	if r := command(n.t, "", args...); r.code != 0 {
		n.t.Fatalf("%v: %v", args, r)
	}
}

// writer writes ConfigMaps to one node, one after the other, and counts those that
// were acknowledged.
type writer struct {
	acknowledged atomic.Int64
	stop         chan struct{}
	done         sync.WaitGroup
}

func (n *network) write(node string) *writer {
	w := &writer{stop: make(chan struct{})}
	w.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			default:
			}
			if r := n.feed(node, configMap(fmt.Sprintf("w%d", i), "v", itoa(i)), "apply", "-f", "-"); r.code != 0 {
				n.t.Errorf("write %d on %s: %v", i, node, r)
				return
			}
			w.acknowledged.Store(int64(i + 1))
		}
	})
	return w
}

func (w *writer) end() {
	close(w.stop)
	w.done.Wait()
}

// TestANewClusterOutOfASnapshot loses all nodes at once. What was acknowledged when
// the snapshot began is there in the new cluster, and runs; the old nodes, back
// again and calling at addresses that they know, are strangers to it.
func TestANewClusterOutOfASnapshot(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.deployWeb(3)
	w := n.write("n2")
	eventually(t, "some writes are acknowledged", func() error {
		if got := w.acknowledged.Load(); got < 10 {
			return fmt.Errorf("%d so far", got)
		}
		return nil
	})
	file := n.at("c.snap")
	before := int(w.acknowledged.Load())
	if out := n.on("n2", "snapshot", "save", file); !strings.Contains(out, "not the data in volumes") {
		t.Errorf("save says %q", out)
	}
	w.end()
	if s := inspect(t, file); s.Node != "n2" || s.Checksum != "ok" || s.Objects < before {
		t.Errorf("%+v, %d writes were acknowledged before", s, before)
	}
	if r := command(t, "", "snapshot", "save", n.at("disk.snap"), "--data-dir", n.at("net", "n1")); r.code != 1 || !strings.Contains(r.err, "leave out --data-dir") {
		t.Errorf("the disk of a node that runs: %v", r)
	}
	server, err := url.Parse(n.node("n1").Server)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		n.must("kill", name)
	}

	// The last disk that is left has everything, too.
	n.mustLocal("snapshot", "save", n.at("disk.snap"), "--data-dir", n.at("net", "n2"))
	if s := inspect(t, n.at("disk.snap")); s.Node != "n2" || s.Objects < int(w.acknowledged.Load()) {
		t.Errorf("%+v on disk, %d writes were acknowledged in all", s, w.acknowledged.Load())
	}
	n.mustLocal("snapshot", "restore", n.at("disk.snap"), "--new-cluster", "--data-dir", n.at("r2"), "--name", "r2")
	n.mustLocal("snapshot", "save", n.at("r2.snap"), "--data-dir", n.at("r2"))
	if a, b := inspect(t, n.at("disk.snap")), inspect(t, n.at("r2.snap")); a.Objects != b.Objects || a.Cluster == b.Cluster {
		t.Errorf("out of %+v became %+v", a, b)
	}

	dir := n.at("r1")
	n.mustLocal("snapshot", "restore", file, "--new-cluster", "--data-dir", dir, "--name", "r1")
	d := startDaemon(t, dir, server.Hostname(), nil).awaitUp()
	defer func() {
		if r := command(t, "", "down", "--data-dir", dir); r.code != 0 {
			t.Errorf("down: %v", r)
		}
	}()
	for i := range before {
		if got := d.must("get", "configmap", fmt.Sprintf("w%d", i), "-o", "jsonpath={.data.v}"); got != itoa(i) {
			t.Errorf("w%d is %q", i, got)
		}
	}
	eventually(t, "the new cluster runs the workload", func() error {
		if got := d.must("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}"); got != "3" {
			return fmt.Errorf("%s replicas are ready", got)
		}
		return nil
	})

	// An old node finds another cluster where n1 was.
	_ = n.testnet("start", "n3") // whether it waits for the others is not the question
	n.apply("n3", configMap("old", "side", "old"))
	if r := d.apply(configMap("new", "side", "new")); r.code != 0 {
		t.Fatal(r)
	}
	for range 20 {
		status := d.must("status")
		if strings.Contains(status, "\nn3 ") || !strings.Contains(status, "it sees the majority") {
			t.Fatalf("the new cluster sees an old node:\n%s", status)
		}
		if r := d.ask("get", "configmap", "old"); r.code == 0 {
			t.Fatal("an object of the old cluster came over")
		}
		if r := n.ask("n3", "get", "configmap", "new"); r.code == 0 {
			t.Fatal("an object of the new cluster came over")
		}
	}
}

// TestObjectsOutOfASnapshot undoes a delete and an edit and nothing else.
func TestObjectsOutOfASnapshot(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.deployWeb(2)
	for _, name := range []string{"a", "b", "c"} {
		n.apply("n1", configMap(name, "v", "old"))
	}
	n.awaitOutput("n3", "old", "get", "configmap", "c", "-o", "jsonpath={.data.v}")
	file := n.at("c.snap")
	n.on("n3", "snapshot", "save", file)

	n.on("n1", "delete", "deploy", "web")
	n.on("n1", "delete", "configmap", "a")
	n.apply("n1", configMap("b", "v", "new"))
	n.apply("n1", configMap("c", "v", "new"))
	n.awaitOutput("n2", "new", "get", "configmap", "c", "-o", "jsonpath={.data.v}")
	eventually(t, "n2 knows of the deletes", func() error {
		if r := n.ask("n2", "get", "configmap", "a"); r.code != 1 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})

	dry := n.on("n2", "snapshot", "restore", file, "--objects", "deploy/web,cm/a,cm/b", "--dry-run")
	for _, want := range []string{"configmap/a create", "configmap/b change", `.data.v: "new" -> "old"`, "deployment.apps/web create"} {
		if !strings.Contains(dry, want) {
			t.Errorf("the dry run does not say %q: %s", want, dry)
		}
	}
	n.on("n2", "snapshot", "restore", file, "--objects", "deploy/web,cm/a,cm/b")
	n.awaitServing("n1", 2)
	n.awaitOutput("n3", "old", "get", "configmap", "a", "-o", "jsonpath={.data.v}")
	n.awaitOutput("n3", "old", "get", "configmap", "b", "-o", "jsonpath={.data.v}")
	for _, node := range n.names() {
		n.awaitOutput(node, "new", "get", "configmap", "c", "-o", "jsonpath={.data.v}")
	}
	if out := n.on("n1", "snapshot", "restore", file, "--objects", "cm/a,cm/b,deploy/web"); strings.Count(out, "unchanged") != 3 {
		t.Errorf("a second time: %s", out)
	}

	// A snapshot that was cut short changes nothing.
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.at("cut.snap"), data[:len(data)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	if r := n.ask("n1", "snapshot", "restore", n.at("cut.snap"), "--objects", "cm/c"); r.code != 1 || !strings.Contains(r.err, "damaged") {
		t.Errorf("a cut snapshot: %v", r)
	}
	n.awaitOutput("n1", "new", "get", "configmap", "c", "-o", "jsonpath={.data.v}")
}
