package live

import (
	"fmt"
	"os/exec"
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
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Fatalf("%v; 'make deps' installs busybox-static", err)
		}
		n.must("load-image", "localhost/holon-tools:live", "/bin/sh="+busybox, "/bin/sleep="+busybox, "/bin/head="+busybox)
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
