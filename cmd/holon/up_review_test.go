package main

import (
	"strings"
	"testing"

	"holon/crdt/state"
)

func TestReviewForProcessesNamesIgnoredImagesAndMissingCommands(t *testing.T) {
	pod := func(container map[string]any) map[string]any {
		return map[string]any{"spec": map[string]any{"containers": []any{container}}}
	}
	with := map[string]any{"image": "web", "command": []any{"/web"}}
	if got := reviewForProcesses(state.Pods, pod(with)); len(got) != 1 || !strings.HasPrefix(got[0], "spec.containers[0].image: ignored") {
		t.Errorf("a pod with an image: %q", got)
	}
	if got := reviewForProcesses(state.Pods, pod(map[string]any{})); len(got) != 1 || !strings.HasPrefix(got[0], "spec.containers[0].command: required") {
		t.Errorf("a pod without a command: %q", got)
	}
	for path, want := range map[string]int{"/dev/termination-log": 0, "/tmp/ends": 1} {
		got := reviewForProcesses(state.Pods, pod(map[string]any{"command": []any{"/web"}, "terminationMessagePath": path}))
		if len(got) != want || want > 0 && !strings.HasPrefix(got[0], "spec.containers[0].terminationMessagePath: $HOLON_POD_DIR"+path) {
			t.Errorf("a message at %s: %q", path, got)
		}
	}
	deployment := map[string]any{"spec": map[string]any{"template": pod(with)}}
	if got := reviewForProcesses(state.Deployments, deployment); len(got) != 1 || !strings.HasPrefix(got[0], "spec.template.spec.containers[0].image") {
		t.Errorf("a deployment: %q", got)
	}
	if got := reviewForProcesses(state.ConfigMaps, pod(with)); got != nil {
		t.Errorf("a configmap: %q", got)
	}
}
