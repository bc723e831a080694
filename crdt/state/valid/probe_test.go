package valid

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestProbeRules: what Kubernetes' validation says of probes, after its defaults.
func TestProbeRules(t *testing.T) {
	const at = "spec.containers[0]."
	for text, want := range map[string][]string{
		"livenessProbe: {exec: {command: [a]}}":                                         nil,
		"livenessProbe: {grpc: {port: 1}}":                                              nil,
		"readinessProbe: {tcpSocket: {port: web}, successThreshold: 3}":                 nil,
		"startupProbe: {httpGet: {port: 80}, terminationGracePeriodSeconds: 1}":         nil,
		"readinessProbe: {httpGet: {port: 65535, path: a, scheme: HTTPS, host: a.b}}":   nil,
		"readinessProbe: {httpGet: {port: 80, httpHeaders: [{name: X-A, value: a b}]}}": nil,
		"livenessProbe: {}": {at + "livenessProbe: Required value: must specify a handler type"},
		"livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}":                     {at + "livenessProbe: Forbidden: may not specify more than 1 handler type"},
		"livenessProbe: {exec: {}}":                                                       {at + "livenessProbe.exec.command: Required value"},
		"livenessProbe: {grpc: {port: 0}}":                                                {at + "livenessProbe.grpc.port: Invalid value: 0"},
		"readinessProbe: {tcpSocket: {}}":                                                 {at + "readinessProbe.tcpSocket.port: Invalid value: 0"},
		"readinessProbe: {tcpSocket: {port: 65536}}":                                      {at + "readinessProbe.tcpSocket.port: Invalid value: 65536"},
		"readinessProbe: {tcpSocket: {port: a_b}}":                                        {at + `readinessProbe.tcpSocket.port: Invalid value: "a_b"`},
		"readinessProbe: {httpGet: {port: 80, scheme: FTP}}":                              {at + `readinessProbe.httpGet.scheme: Unsupported value: "FTP"`},
		"readinessProbe: {httpGet: {port: 0, scheme: http}}":                              {at + "readinessProbe.httpGet.port: Invalid value: 0", at + `readinessProbe.httpGet.scheme: Unsupported value: "http"`},
		"readinessProbe: {httpGet: {port: 1, httpHeaders: [{name: 'a b', value: a}]}}":    {at + `readinessProbe.httpGet.httpHeaders[0].name: Invalid value: "a b"`},
		"readinessProbe: {httpGet: {port: 1, httpHeaders: [{name: a, value: \"a\\n\"}]}}": {at + "readinessProbe.httpGet.httpHeaders[0].value: Invalid value"},
		"readinessProbe: {exec: {command: [a]}, initialDelaySeconds: -1}":                 {at + "readinessProbe.initialDelaySeconds: Invalid value: -1"},
		"readinessProbe: {exec: {command: [a]}, timeoutSeconds: -1}":                      {at + "readinessProbe.timeoutSeconds: Invalid value: -1"},
		"readinessProbe: {exec: {command: [a]}, periodSeconds: -1}":                       {at + "readinessProbe.periodSeconds: Invalid value: -1"},
		"readinessProbe: {exec: {command: [a]}, successThreshold: -1}":                    {at + "readinessProbe.successThreshold: Invalid value: -1"},
		"readinessProbe: {exec: {command: [a]}, failureThreshold: -1}":                    {at + "readinessProbe.failureThreshold: Invalid value: -1"},
		"readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 5}":        {at + "readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"},
		"livenessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 0}":         {at + "livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"},
		"livenessProbe: {exec: {command: [a]}, successThreshold: 2}":                      {at + "livenessProbe.successThreshold: Invalid value: 2: must be 1"},
		"startupProbe: {exec: {command: [a]}, successThreshold: 2}":                       {at + "startupProbe.successThreshold: Invalid value: 2: must be 1"},
	} {
		p := parse[corev1.Pod](t, validPod+"    "+text)
		DefaultPod(p)
		wantErrors(t, text, Pod(p), want...)
	}
}

func TestProbeDefaults(t *testing.T) {
	p := parse[corev1.Pod](t, validPod+"    livenessProbe: {httpGet: {port: 80}}")
	DefaultPod(p)
	got := p.Spec.Containers[0].LivenessProbe
	if got.TimeoutSeconds != 1 || got.PeriodSeconds != 10 || got.SuccessThreshold != 1 || got.FailureThreshold != 3 || got.InitialDelaySeconds != 0 ||
		got.HTTPGet.Path != "/" || got.HTTPGet.Scheme != corev1.URISchemeHTTP {
		t.Errorf("defaults are %+v", got)
	}
}
