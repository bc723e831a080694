package live

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two secrets, told apart on disk: one goes into an environment, one into a file.
const (
	envSecret  = "battery-staple-in-the-environment"
	fileSecret = "correct-horse-in-a-file"
)

var secretManifest = fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: in-env}
stringData: {password: %s}
---
apiVersion: v1
kind: Secret
metadata: {name: in-file}
stringData: {key: %s}
---
apiVersion: v1
kind: Pod
metadata:
  name: tools
  labels: {app: tools}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/holon-tools:live
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    env:
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: in-env, key: password}}}
    - {name: NOBODY, valueFrom: {secretKeyRef: {name: nothing, key: key, optional: true}}}
    envFrom:
    - {prefix: ALL_, secretRef: {name: in-env}}
    volumeMounts:
    - {name: keys, mountPath: /mnt}
  volumes:
  - name: keys
    secret: {secretName: in-file, defaultMode: 0400}
`, envSecret, fileSecret)

// holding lists the files below dir that hold a text or its base64, and the
// command lines of this machine that do.
func holding(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	forms := [][]byte{[]byte(text), []byte(base64.StdEncoding.EncodeToString([]byte(text)))}
	look := func(name string) {
		data, err := os.ReadFile(name)
		if err != nil {
			return // gone meanwhile, or no file
		}
		for _, form := range forms {
			if bytes.Contains(data, form) {
				found = append(found, name)
				return
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			look(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		look(line)
	}
	return found
}

// TestSecrets brings secrets into a container through nodes that did not take
// them, and looks for them on every disk and command line.
func TestSecrets(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 2, runtime)
		n.loadTools("sh", "sleep", "cat", "stat", "printenv")
		n.apply("n1", secretManifest)
		eventually(t, "the pod runs", func() error {
			pods, err := n.pods("n2", "app=tools")
			if err != nil || len(pods) != 1 || !pods[0].ready() {
				return fmt.Errorf("%v %v", describe(pods), err)
			}
			return nil
		})
		inside := func(command ...string) string {
			return n.on("n2", append([]string{"exec", "tools", "--"}, command...)...)
		}
		check := func() {
			t.Helper()
			if got := inside("sh", "-c", "echo $PASSWORD $ALL_password $NOBODY"); got != envSecret+" "+envSecret+"\n" {
				t.Errorf("the environment holds %q", got)
			}
			if got := inside("cat", "/mnt/key"); got != fileSecret {
				t.Errorf("the file holds %q", got)
			}
			if got := inside("stat", "-L", "-c", "%a", "/mnt/key"); got != "400\n" {
				t.Errorf("the file has the mode %q", got)
			}
		}
		check()

		n.on("n2", "secrets", "rotate")
		eventually(t, "both nodes have the new key", func() error {
			for _, node := range n.names() {
				if keys := n.on(node, "secrets", "keys"); strings.Count(keys, "\n") != 3 || strings.Contains(keys, "not on this node") {
					return fmt.Errorf("%s: %s", node, keys)
				}
			}
			return nil
		})
		n.on("n2", "patch", "secret", "in-file", "-p", `{"stringData":{"more":"`+fileSecret+`"}}`)
		for _, text := range []string{
			n.on("n1", "describe", "secret", "in-file"), n.on("n1", "describe", "pod", "tools"), n.on("n1", "get", "events"), n.on("n1", "why", "pod/tools"),
		} {
			if strings.Contains(text, fileSecret) || strings.Contains(text, envSecret) {
				t.Errorf("a secret is shown: %s", text)
			}
		}
		for _, name := range holding(t, n.at("net"), fileSecret) {
			t.Errorf("the secret for a file can be read in %s", name)
		}
		for _, name := range holding(t, n.at("net"), envSecret) {
			// Podman keeps the environment of a container in its own storage: the README says so.
			if runtime == "process" || !strings.HasPrefix(name, n.at("net", "podman")) {
				t.Errorf("the secret for an environment can be read in %s", name)
			}
		}

		// A planted one is found, so the search works.
		n.on("n1", "create", "-f", writeTemp(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: open}\ndata: {key: "+fileSecret+"}\n"))
		if found := holding(t, n.at("net"), fileSecret); len(found) == 0 {
			t.Error("a value in a ConfigMap is not found on any disk")
		}

		// A power cut takes what is in memory; the pod gets it again.
		owner, err := n.pods("n2", "app=tools")
		if err != nil || len(owner) != 1 {
			t.Fatal(owner, err)
		}
		n.must("kill", owner[0].node())
		n.must("start", owner[0].node())
		eventually(t, "the pod runs again", func() error {
			pods, err := n.pods("n2", "app=tools")
			if err != nil || len(pods) != 1 || !pods[0].ready() || pods[0].life() == owner[0].life() {
				return fmt.Errorf("%v %v", describe(pods), err)
			}
			return nil
		})
		check()
	})
}

func writeTemp(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "object.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
