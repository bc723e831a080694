package live

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// greedy is a pod that writes more than it may once it is told to.
const greedy = `
apiVersion: v1
kind: Pod
metadata: {name: writer, labels: {app: writer}}
spec:
  volumes: [{name: scratch, emptyDir: {sizeLimit: 1Mi}}]
  containers:
  - name: main
    image: localhost/holon-tools:live
    command: [sh, -c, "echo began; until [ -e /mnt/go ]; do sleep 0.2; done; head -c 2000000 /dev/zero > /mnt/large; while :; do sleep 1; done"]
    volumeMounts: [{name: scratch, mountPath: /mnt}]
`

// TestWhoWritesTooMuch is evicted, for good, and the node tells of its pressures.
func TestWhoWritesTooMuch(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 1, runtime)
		n.loadTools("sh", "sleep", "head")
		n.apply("n1", greedy)
		n.awaitOutput("n1", "began", "logs", "writer")
		if said := n.on("n1", "describe", "node", "n1"); !strings.Contains(said, "HolonHasSufficientMemory") || !strings.Contains(said, "HolonHasNoDiskPressure") {
			t.Errorf("the node is described as\n%s", said)
		}
		n.on("n1", "exec", "writer", "--", "sh", "-c", "echo > /mnt/go")
		evicted := func() error {
			if row := n.on("n1", "get", "pods"); !strings.Contains(row, "0/1     Evicted") {
				return fmt.Errorf("it is shown as %s", row)
			}
			return nil
		}
		eventually(t, "it is evicted", evicted)
		if said := n.on("n1", "describe", "pod", "writer"); !strings.Contains(said, `Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".`) {
			t.Errorf("it is described as\n%s", said)
		}
		n.must("kill", "n1")
		n.must("start", "n1")
		eventually(t, "it stays evicted", evicted)
		n.on("n1", "delete", "pod", "writer")
	})
}

// hungry are two pods of one workload, and one of nobody that needs n1.
const hungry = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: none, command: [sh, -c, "sleep 1000"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: bare}}
spec: {nodeName: n1, containers: [{name: main, image: none, command: [sh, -c, "sleep 1000"]}]}
`

// TestNoMemoryLeft: a node that reads that its memory is short evicts one pod after the
// other, and the other node takes what may move. Only what the node reads is made up.
func TestNoMemoryLeft(t *testing.T) {
	n := up(t, 2, "process")
	truth, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	told := n.at("meminfo")
	if err := os.WriteFile(told, truth, 0o600); err != nil {
		t.Fatal(err)
	}
	n.must("kill", "n1")
	if r := execute(t, "", "unshare", "-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" /proc/meminfo && exec "$@"`, told,
		holonProgram, "testnet", "--dir", n.at("net"), "start", "n1"); r.code != 0 {
		t.Fatalf("start n1 where its memory is made up: %v", r)
	}
	n.apply("n2", hungry)
	on := func(want string) func() error {
		return func() error {
			web, err := n.pods("n2", "app=web")
			if err != nil {
				return err
			}
			nodes := []string{}
			for _, p := range web {
				if p.ready() {
					nodes = append(nodes, p.Spec.NodeName)
				}
			}
			if slices.Sort(nodes); strings.Join(nodes, " ") != want {
				return fmt.Errorf("they are on %v: %v", nodes, describe(web))
			}
			return nil
		}
	}
	eventually(t, "one pod is on each node", on("n1 n2"))
	low := regexp.MustCompile(`(?m)^MemAvailable:.*$`).ReplaceAll(truth, []byte("MemAvailable: 80000 kB"))
	if err := os.WriteFile(told, low, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bare pod is evicted", func() error {
		if row := n.on("n2", "get", "pod", "bare"); !strings.Contains(row, "0/1     Evicted") {
			return fmt.Errorf("it is shown as %s", row)
		}
		return nil
	})
	eventually(t, "both others are on n2", on("n2 n2"))
	if said := n.on("n2", "status"); !strings.Contains(said, "n1 says MemoryPressure") {
		t.Errorf("the status is\n%s", said)
	}
	n.on("n2", "delete", "pod/bare", "deployment/web")
}
