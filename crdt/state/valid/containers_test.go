package valid

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestInitContainerRules: what Kubernetes' validation says of init containers and hooks,
// after its defaults.
func TestInitContainerRules(t *testing.T) {
	const spec = "metadata: {name: p, namespace: default}\nspec:\n  terminationGracePeriodSeconds: 30\n  containers: [{name: a, image: web:1}]\n  initContainers:\n  - name: i\n    image: web:1\n"
	const probe = "{exec: {command: [x]}}"
	const alone = "may not be set for init containers without restartPolicy=Always"
	const hook = spec + "    restartPolicy: Always\n    lifecycle: {postStart: "
	for text, want := range map[string][]string{
		spec:                                nil,
		spec + "    restartPolicy: Always":  nil,
		spec + "    restartPolicy: Never":   {`spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"`},
		spec + "  - {name: a, image: b}":    {`spec.initContainers[1].name: Duplicate value: "a"`},
		spec + "  - {name: i, image: b}":    {`spec.initContainers[1].name: Duplicate value: "i"`},
		spec + "  - {name: j}":              {"spec.initContainers[1].image: Required value"},
		spec + "    ports: [{hostPort: 1}]": {"spec.initContainers[0].ports[0].containerPort: Required value"},
		// They run one by one.
		spec + "    ports: [{containerPort: 1, hostPort: 5}]\n  - {name: j, image: b, ports: [{containerPort: 1, hostPort: 5}]}": nil,
		spec + "    volumeMounts: [{name: v, mountPath: /x}]":                                                                    {`spec.initContainers[0].volumeMounts[0].name: Not found: "v"`},
		spec + "    livenessProbe: " + probe + "\n    startupProbe: " + probe: {
			"spec.initContainers[0].livenessProbe: Forbidden: " + alone, "spec.initContainers[0].startupProbe: Forbidden: " + alone},
		spec + "    readinessProbe: " + probe + "\n    lifecycle: {}": {
			"spec.initContainers[0].lifecycle: Forbidden: " + alone, "spec.initContainers[0].readinessProbe: Forbidden: " + alone},
		spec + "    restartPolicy: Always\n    livenessProbe: " + probe + "\n    lifecycle: {preStop: {sleep: {seconds: 30}}}": nil,
		spec + "    restartPolicy: Always\n    startupProbe: {exec: {}}":                                                       {"spec.initContainers[0].startupProbe.exec.command: Required value"},

		hook + "{}}": {"spec.initContainers[0].lifecycle.postStart: Required value: must specify a handler type"},
		hook + "{sleep: {seconds: 1}, exec: {command: [x]}}}": {"spec.initContainers[0].lifecycle.postStart: Forbidden: may not specify more than 1 handler type"},
		hook + "{httpGet: {port: 80}, exec: {command: [x]}}}": {"spec.initContainers[0].lifecycle.postStart: Forbidden: may not specify more than 1 handler type"},
		hook + "{sleep: {seconds: 31}}}":                      {"spec.initContainers[0].lifecycle.postStart.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"},
		hook + "{sleep: {seconds: -1}}}":                      {"spec.initContainers[0].lifecycle.postStart.sleep: Invalid value: -1: must be non-negative"},
		hook + "{httpGet: {port: 0}}}":                        {"spec.initContainers[0].lifecycle.postStart.httpGet.port: Invalid value: 0"},
		hook + "{httpGet: {port: web}}}":                      nil,
		validPod + "    lifecycle: {preStop: {exec: {}}}":     {"spec.containers[0].lifecycle.preStop.exec.command: Required value"},
		validPod + "    lifecycle: {preStop: {sleep: {}}}":    nil,
	} {
		p := parse[corev1.Pod](t, text)
		DefaultPod(p)
		wantErrors(t, text, Pod(p), want...)
		once := p.DeepCopy()
		if DefaultPod(p); !reflect.DeepEqual(once, p) {
			t.Errorf("%s: defaults twice are more than once", text)
		}
	}
}

// TestPodUpdateOfInits: only images may change.
func TestPodUpdateOfInits(t *testing.T) {
	old := parse[corev1.Pod](t, validPod+"  initContainers: [{name: i, image: b}]")
	DefaultPod(old)
	image, command := old.DeepCopy(), old.DeepCopy()
	image.Spec.InitContainers[0].Image = "c"
	command.Spec.InitContainers[0].Command = []string{"x"}
	wantErrors(t, "image", PodUpdate(image, old))
	wantErrors(t, "command", PodUpdate(command, old), "spec: Forbidden: pod updates may not change fields other than")
}
