package live

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shop runs from an image that no registry has.
const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: localhost/shop:1
        command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
`

// podmanURL is a Podman service of the test's own, with storage of its own: that of
// a testnet that is there for nothing else.
func podmanURL(t *testing.T) (*network, string) {
	t.Helper()
	n := up(t, 1, "podman")
	n.must("kill", "n1")
	return n, "unix://" + n.at("net", "podman", "podman.sock")
}

// TestImageOutlivesItsNode: an image is loaded on one node only and no registry has
// it. The node is lost, and the stand-in runs from the copy that the other node
// had fetched meanwhile.
func TestImageOutlivesItsNode(t *testing.T) {
	t.Parallel()
	maker, urlA := podmanURL(t)
	_, urlB := podmanURL(t)
	base := t.TempDir()
	archive := filepath.Join(base, "shop.tar")
	maker.must("load-image", "localhost/shop:1", "/bin/sh=/bin/busybox", "/bin/sleep=/bin/busybox")
	for _, args := range [][]string{{"save", "--quiet", "--output", archive, "localhost/shop:1"}, {"rmi", "localhost/shop:1"}} {
		if r := execute(t, "", "podman", append([]string{"--remote", "--url", urlA}, args...)...); r.code != 0 {
			t.Fatalf("podman %v: %v", args, r)
		}
	}
	info, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}

	a := startDaemon(t, filepath.Join(base, "a"), loneAddress(), nil, "--runtime", "podman", "--podman-url", urlA).awaitUp()
	b := startDaemon(t, filepath.Join(base, "b"), loneAddress(), nil, "--runtime", "podman", "--podman-url", urlB, "--join", a.must("token", "create")).awaitUp()
	eventually(t, "b is a member", func() error { return sees(a, "b") })
	b.must("cordon", "b") // so that the pod begins on a
	eventually(t, "a sees that", func() error { return says(a.ask("get", "node", "b"), "SchedulingDisabled") })
	if text := a.must("image", "load", archive); !strings.Contains(text, "image localhost/shop:1 loaded on a (") {
		t.Errorf("image load: %s", text)
	}
	if r := a.apply(shop); r.code != 0 {
		t.Fatal(r)
	}
	eventually(t, "shop runs on a", func() error { return says(b.ask("get", "pods", "-o", "wide"), "1/1", " a ") })
	ready := time.Now()
	eventually(t, "b keeps a copy", func() error { return says(b.ask("image", "ls"), "localhost/shop:1 ", "a,b") })
	t.Logf("%d bytes were on b %.1f s after the pod was seen Ready", info.Size(), time.Since(ready).Seconds())

	a.must("uncordon", "b")
	eventually(t, "b sees that", func() error {
		if r := b.ask("get", "node", "b"); strings.Contains(r.out, "SchedulingDisabled") {
			return &unseen{r}
		}
		return nil
	})
	_ = a.cmd.Process.Kill()
	<-a.exited
	lost := time.Now()
	eventually(t, "a stand-in runs on b", func() error { return says(b.ask("get", "pods", "-o", "wide"), "1/1", " b ") })
	t.Logf("the stand-in was seen Ready %.1f s after the node was lost", time.Since(lost).Seconds())
	if r := b.ask("image", "ls"); !strings.Contains(r.err, "no answer from a") {
		t.Errorf("image ls does not name the node that is lost: %v", r)
	}
	for _, d := range []*daemon{a, b} {
		if left, _ := os.ReadDir(filepath.Join(d.dir, "images")); len(left) > 0 {
			t.Errorf("left in %s: %v", d.dir, left)
		}
	}
}

// says reports whether a line of an answer holds every one of some words.
func says(r result, words ...string) error {
	for line := range strings.Lines(r.out) {
		missing := false
		for _, w := range words {
			missing = missing || !strings.Contains(line, w)
		}
		if r.code == 0 && !missing {
			return nil
		}
	}
	return fmt.Errorf("no line with %q: %v", words, r)
}
