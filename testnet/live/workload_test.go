package live

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// tools is a pod with a shell, for both runtimes: an image of busybox, or the
// host's own programs.
const tools = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  greeting: hello
  file.conf: |
    colour = blue
---
apiVersion: v1
kind: Pod
metadata:
  name: tools
  labels: {app: tools, tier: test}
  annotations: {note: kept}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/holon-tools:live
    command: ["sh", "-c", "echo started; echo to stderr >&2; trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    env:
    - {name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}
    - {name: NOBODY, valueFrom: {configMapKeyRef: {name: settings, key: nobody, optional: true}}}
    - {name: COMPOSED, value: "$(GREETING) from $(MY_NAME)"}
    - {name: MY_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: MY_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: MY_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    - {name: MY_TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: MY_NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: MY_NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: MY_HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: MY_POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    envFrom:
    - {prefix: ALL_, configMapRef: {name: settings}}
    volumeMounts:
    - {name: settings, mountPath: /mnt}
  volumes:
  - name: settings
    configMap: {name: settings}
`

// loadTools makes the image localhost/holon-tools:live of some of busybox's programs.
func (n *network) loadTools(names ...string) {
	n.t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		n.t.Fatalf("%v; 'make deps' installs busybox-static", err)
	}
	args := []string{"localhost/holon-tools:live"}
	for _, name := range names {
		args = append(args, "/bin/"+name+"="+busybox)
	}
	n.must("load-image", args...)
}

// runTools applies tools and returns its pod once it runs.
func (n *network) runTools() pod {
	n.t.Helper()
	n.loadTools("sh", "sleep", "cat", "env", "stty")
	n.apply("n1", tools)
	var found pod
	for _, node := range n.names() {
		eventually(n.t, node+" sees the pod tools run", func() error {
			pods, err := n.pods(node, "app=tools")
			if err != nil || len(pods) != 1 || !pods[0].ready() || pods[0].Status.PodIP == "" {
				return fmt.Errorf("%v %v", describe(pods), err)
			}
			found = pods[0]
			return nil
		})
	}
	return found
}

// TestConfiguration reads ConfigMaps and the downward API inside a container.
func TestConfiguration(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 2, runtime)
		p := n.runTools()
		hostIP := strings.TrimSpace(n.on("n1", "get", "node", p.node(), "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`))
		inside := map[string]string{}
		for line := range strings.Lines(n.on("n2", "exec", "tools", "--", "env")) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			inside[name] = value
		}
		for name, want := range map[string]string{
			"GREETING": "hello", "ALL_greeting": "hello", "COMPOSED": "hello from $(MY_NAME)",
			"MY_NAME": "tools", "MY_NAMESPACE": "default", "MY_UID": p.Metadata.UID, "MY_TIER": "test", "MY_NOTE": "kept",
			"MY_NODE": p.node(), "MY_HOST_IP": hostIP, "MY_POD_IP": p.Status.PodIP,
		} {
			if inside[name] != want {
				t.Errorf("%s is %q in the container, want %q", name, inside[name], want)
			}
		}
		if value, there := inside["NOBODY"]; there {
			t.Errorf("an optional key that is missing became %q", value)
		}
		if got := n.on("n1", "exec", "tools", "--", "cat", "/mnt/greeting", "/mnt/file.conf"); got != "hellocolour = blue\n" {
			t.Errorf("the files of the ConfigMap hold %q", got)
		}
	})
}

// TestDeploymentLife updates, scales, loses a pod by deletion, and is deleted.
func TestDeploymentLife(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 3, runtime)
		n.deployWeb(3)
		before, _ := n.awaitServing("n1", 3)

		n.on("n2", "patch", "deploy", "web", "-p", `{"spec":{"template":{"metadata":{"annotations":{"round":"2"}}}}}`)
		eventually(t, "all pods are of the new revision, and three were ready all the time", func() error {
			pods, err := n.pods("n1", "app=web")
			if err != nil {
				return err
			}
			ready, old := 0, 0
			for i := range pods {
				if _, was := before[pods[i].name()]; was {
					old++
				}
				if pods[i].ready() {
					ready++
				}
			}
			if ready < 3 {
				t.Errorf("only %d ready during the update, though maxUnavailable 25%% of 3 is none: %v", ready, describe(pods))
			}
			if old > 0 {
				return fmt.Errorf("%d old ones: %v", old, describe(pods))
			}
			return nil
		})
		n.on("n3", "rollout", "status", "deploy/web", "--timeout", "30s")

		n.on("n3", "scale", "deploy/web", "--replicas", "5")
		n.awaitServing("n2", 5)
		n.on("n2", "scale", "deploy/web", "--replicas", "2")
		now, _ := n.awaitServing("n1", 2)

		var victim string
		for victim = range now {
			break
		}
		n.on("n1", "delete", "pod", victim)
		after, _ := n.awaitServing("n3", 2)
		if _, there := after[victim]; there {
			t.Errorf("%s is still there after it was deleted", victim)
		}

		n.on("n2", "delete", "deploy", "web")
		for _, node := range n.names() {
			n.awaitOutput(node, "", "get", "deploy,rs,pods", "-o", "name")
		}
		eventually(t, "no server runs any more", func() error { return n.noServerRuns() })
	})
}

// noServerRuns fails while a process of web belongs to this testnet.
func (n *network) noServerRuns() error {
	mine := traces{dir: n.dir}
	for _, pid := range processes() {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && strings.HasSuffix(exe, "/web") && mine.owns(pid) {
			return fmt.Errorf("process %d runs", pid)
		}
	}
	return nil
}

// TestRefusedWishes types what cannot be done: each is refused with the cause.
func TestRefusedWishes(t *testing.T) {
	t.Parallel()
	n := up(t, 1, "process")
	for _, c := range []struct {
		about, text, says string
	}{
		{"wrong YAML", "kind: [", "stdin:1"},
		{"an unknown kind", "apiVersion: v1\nkind: Unicorn\nmetadata: {name: u}", "Unicorn"},
		{"a bad name", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}", "Not_A_Name"},
		{"an unknown field", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndatas: {}", "datas"},
		{"a pod without a container", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}", "spec.containers"},
	} {
		if r := n.feed("n1", c.text, "apply", "-f", "-"); r.code != 1 || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: want exit code 1 and %q: %v", c.about, c.says, r)
		}
	}
	for _, args := range [][]string{{"get"}, {"get", "pods", "--unknown"}, {"frobnicate"}, {"scale", "deploy/web"}} {
		if r := n.ask("n1", args...); r.code != 2 || r.err == "" {
			t.Errorf("%v: want exit code 2 and a reason: %v", args, r)
		}
	}
	n.apply("n1", strings.ReplaceAll(tools, "  - name: main\n", "  - name: main\n    resources: {requests: {cpu: \"1000\"}}\n"))
	eventually(t, "the impossible pod says why it waits", func() error {
		if out := n.on("n1", "describe", "pod", "tools"); !strings.Contains(out, "cpu") || !strings.Contains(out, "Pending") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
