package live

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

// copiesOf lists the files that a node keeps for Snapshots.
func (n *network) copiesOf(node string) (names []string) {
	entries, err := os.ReadDir(n.at("net", node, "snapshots"))
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// awaitCopies waits until a node keeps so many copies.
func (n *network) awaitCopies(node string, want int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s keeps %d copies", node, want), func() error {
		if got := n.copiesOf(node); len(got) != want {
			return fmt.Errorf("it keeps %q", got)
		}
		return nil
	})
}

// TestSnapshotsOnEveryNode: every node keeps a copy; they go with the object, also on a node that
// was killed before it was deleted; and out of one that another node keeps comes a new cluster.
func TestSnapshotsOnEveryNode(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.apply("n1", configMap("c", "v", "before"))
	if out := n.on("n2", "snapshot", "create", "first", "--wait"); !strings.Contains(out, "kept by 3 nodes") {
		t.Errorf("create says %q", out)
	}
	for _, node := range []string{"n1", "n2", "n3"} {
		n.awaitCopies(node, 1)
	}
	kept := n.copiesOf("n3")[0]
	n.must("kill", "n3")
	n.on("n1", "snapshot", "rm", "first")
	n.awaitCopies("n1", 0)
	n.awaitCopies("n2", 0)
	if left := n.copiesOf("n3"); len(left) != 1 || left[0] != kept {
		t.Errorf("n3, which is dead, keeps %q", left)
	}
	n.must("start", "n3")
	n.awaitCopies("n3", 0)

	n.on("n3", "snapshot", "create", "second", "--nodes", "n1,n3", "--wait")
	n.apply("n1", configMap("c", "v", "after"))
	file := n.at("second.snap")
	n.on("n2", "snapshot", "save", file, "--of", "second", "--node", "n3")
	if s := inspect(t, file); s.Node != "n3" || s.Checksum != "ok" {
		t.Errorf("%+v", s)
	}
	if r := n.ask("n2", "snapshot", "save", n.at("none.snap"), "--of", "second", "--node", "n2"); r.code != 1 || !strings.Contains(r.err, "n2 keeps no copy") {
		t.Errorf("the copy of a node that was not asked for one: %v", r)
	}
	server, err := url.Parse(n.node("n1").Server)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		n.must("kill", name)
	}
	dir := n.at("r1")
	n.mustLocal("snapshot", "restore", file, "--new-cluster", "--data-dir", dir, "--name", "r1")
	d := startDaemon(t, dir, server.Hostname(), nil).awaitUp()
	defer func() {
		if r := command(t, "", "down", "--data-dir", dir); r.code != 0 {
			t.Errorf("down: %v", r)
		}
	}()
	if got := d.must("get", "configmap", "c", "-o", "jsonpath={.data.v}"); got != "before" {
		t.Errorf("c is %q", got)
	}
	if got := d.must("snapshot", "ls"); got != "no snapshots\n" && got != "no snapshots" {
		t.Errorf("Snapshots came along: %q", got)
	}
}
