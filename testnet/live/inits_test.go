package live

import (
	"fmt"
	"strings"
	"testing"
)

// inTurn is a pod whose containers write down in a volume when they had their turn. The
// second init container fails once, and would fail for ever if the sidecar were not there.
const inTurn = `
apiVersion: v1
kind: Pod
metadata: {name: turns, labels: {app: turns}}
spec:
  terminationGracePeriodSeconds: 10
  volumes: [{name: v}]
  initContainers:
  - name: one
    image: localhost/holon-tools:live
    command: [sh, -c, "echo one >> /mnt/log"]
    volumeMounts: [{name: v, mountPath: /mnt}]
  - name: side
    image: localhost/holon-tools:live
    restartPolicy: Always
    command: [sh, -c, "trap 'exit 0' TERM; echo side >> /mnt/log; while :; do sleep 0.2; done"]
    lifecycle: {postStart: {exec: {command: [sh, -c, "sleep 1; echo hook >> /mnt/log; echo > /mnt/hooked"]}}}
    startupProbe: {exec: {command: [cat, /mnt/hooked]}, periodSeconds: 1, failureThreshold: 30}
    volumeMounts: [{name: v, mountPath: /mnt}]
  - name: two
    image: localhost/holon-tools:live
    command: [sh, -c, "cat /mnt/hooked && cat /mnt/tried || { echo > /mnt/tried; exit 3; }; echo two >> /mnt/log"]
    volumeMounts: [{name: v, mountPath: /mnt}]
  containers:
  - name: main
    image: localhost/holon-tools:live
    command: [sh, -c, "echo main >> /mnt/log; cat /mnt/log; trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    lifecycle: {preStop: {exec: {command: [sh, -c, "exit 5"]}}}
    volumeMounts: [{name: v, mountPath: /mnt}]
`

// TestInTurn: containers begin in their turn, after a power cut nothing is prepared again,
// and a hook that fails before the end is an Event, and no obstacle.
func TestInTurn(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 1, runtime)
		n.loadTools("sh", "cat", "sleep")
		n.apply("n1", inTurn)
		n.awaitOutput("n1", "one\nside\nhook\ntwo\nmain", "logs", "turns")
		eventually(t, "the pod is ready", func() error {
			pods, err := n.pods("n1", "app=turns")
			if err != nil || len(pods) != 1 || !pods[0].ready() {
				return fmt.Errorf("%v %v", describe(pods), err)
			}
			return nil
		})
		if row := n.on("n1", "get", "pods"); !strings.Contains(row, "2/2     Running") {
			t.Errorf("it is shown as %s", row)
		}
		n.must("kill", "n1") // and all that it runs
		n.must("start", "n1")
		eventually(t, "it runs again, and nothing was prepared twice", func() error {
			r := n.ask("n1", "exec", "turns", "-c", "side", "--", "cat", "/mnt/log")
			if strings.Count(r.out, "main\n") != 2 || strings.Count(r.out, "side\n") != 2 || strings.Count(r.out, "one\n") != 1 || strings.Count(r.out, "two\n") != 1 {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
		n.on("n1", "delete", "pod", "turns")
		eventually(t, "the failed hook is an Event", func() error {
			if said := n.on("n1", "get", "events"); !strings.Contains(said, "FailedPreStopHook") {
				return fmt.Errorf("%s", said)
			}
			return nil
		})
	})
}
