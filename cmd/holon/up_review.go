package main

import (
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// reviewForProcesses advises on manifests where pods are plain host processes:
// the image of a container means nothing there, and its command means all.
func reviewForProcesses(resource string, value map[string]any) []string {
	spec, _ := value["spec"].(map[string]any)
	path := "spec"
	switch resource {
	case state.Pods:
	case state.Deployments, state.StatefulSets, state.DaemonSets, state.Jobs:
		template, _ := spec["template"].(map[string]any)
		spec, _ = template["spec"].(map[string]any)
		path = "spec.template.spec"
	case state.CronJobs:
		job, _ := spec["jobTemplate"].(map[string]any)
		within, _ := job["spec"].(map[string]any)
		template, _ := within["template"].(map[string]any)
		spec, _ = template["spec"].(map[string]any)
		path = "spec.jobTemplate.spec.template.spec"
	default:
		return nil
	}
	var advice []string
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		advice = append(advice, adviseProcesses(containers, path+"."+list)...)
	}
	return advice
}

func adviseProcesses(containers []any, path string) (advice []string) {
	for i, c := range containers {
		container, _ := c.(map[string]any)
		field := fmt.Sprintf("%s[%d]", path, i)
		if image, _ := container["image"].(string); image != "" {
			advice = append(advice, fmt.Sprintf("%s.image: ignored on this node, which runs pods as plain host processes", field))
		}
		if file, _ := container["terminationMessagePath"].(string); file != "" && file != corev1.TerminationMessagePathDefault {
			advice = append(advice, fmt.Sprintf("%s.terminationMessagePath: $HOLON_POD_DIR%s on this node, which runs pods as plain host processes", field, filepath.Join("/", file)))
		}
		command, _ := container["command"].([]any)
		args, _ := container["args"].([]any)
		if len(command)+len(args) == 0 {
			advice = append(advice, fmt.Sprintf("%s.command: required on this node, which runs pods as plain host processes; the container will not start", field))
		}
	}
	return advice
}
