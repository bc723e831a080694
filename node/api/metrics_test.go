package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const metricsPath = "/apis/metrics.k8s.io/v1beta1/"

// measuredFixture serves two pods with labels, of which both nodes tell something.
func measuredFixture(t *testing.T) *fixture {
	f := serve(t)
	for _, name := range []string{"a", "b"} {
		f.backend.mustPut(Key{Pods, "default", name}, map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{
				"name": name, "namespace": "default", "labels": map[string]any{"app": name}, "annotations": map[string]any{runAnnotation: "run-" + name},
			},
			"spec": map[string]any{"nodeName": "n1", "containers": []any{map[string]any{"name": "c", "image": "x"}}},
		})
	}
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.backend.usage = []NodeUsage{
		{Node: "n2", End: end, Took: 15 * time.Second, Usage: Usage{CPU: 1_500_000_000, Memory: 3 << 30}},
		{Node: "n1", End: end, Took: 1234567890, Usage: Usage{CPU: 25_000_000, Memory: 1 << 20}, Runs: []RunUsage{
			{Run: "run-b", Containers: []ContainerUsage{{"c", Usage{CPU: 7, Memory: 4096}}}},
			{Run: "run-a", Containers: []ContainerUsage{{"c", Usage{CPU: 250_000_000, Memory: 8 << 20}}}},
			{Run: "of a pod that is not here", Containers: []ContainerUsage{{"c", Usage{CPU: 1, Memory: 1}}}},
		}},
	}
	return f
}

func TestMetricsOfNodes(t *testing.T) {
	f := measuredFixture(t)
	var list metricsv1beta1.NodeMetricsList
	check(t, json.Unmarshal([]byte(f.do("GET", metricsPath+"nodes", "").want(t, 200).body), &list))
	if len(list.Items) != 2 || list.Kind != "NodeMetricsList" {
		t.Fatalf("%+v", list)
	}
	n1, n2 := list.Items[0], list.Items[1]
	if n1.Name != "n1" || n1.Labels["kubernetes.io/hostname"] != "n1" || n1.Usage.Cpu().MilliValue() != 25 || n1.Window.Duration != 1235*time.Millisecond {
		t.Errorf("%+v", n1)
	}
	if n2.Name != "n2" || n2.Usage.Cpu().MilliValue() != 1500 || n2.Usage.Memory().Value() != 3<<30 || n2.Timestamp.UTC().Format(time.RFC3339) != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", n2)
	}
	f.do("GET", metricsPath+"nodes/n2", "").want(t, 200, `"window":"15s"`, `"memory":"3Gi"`, `"kind":"NodeMetrics"`)
	f.do("GET", metricsPath+"nodes/n9", "").want(t, 404)
	f.do("GET", metricsPath+"nodes?labelSelector=kubernetes.io/hostname%3Dn2", "").want(t, 200, `"name":"n2"`).wantNot(t, `"name":"n1"`)
	if q := f.backend.queries; len(q) != 3 || q[0] != (UsageQuery{}) || q[1] != (UsageQuery{Node: "n2"}) {
		t.Errorf("asked %+v", q)
	}
}

func TestMetricsOfPods(t *testing.T) {
	f := measuredFixture(t)
	var list metricsv1beta1.PodMetricsList
	check(t, json.Unmarshal([]byte(f.do("GET", metricsPath+"pods", "").want(t, 200).body), &list))
	if len(list.Items) != 2 || list.Items[0].Name != "a" || list.Items[1].Name != "b" {
		t.Fatalf("%+v", list)
	}
	if a := list.Items[0]; a.Namespace != "default" || a.Labels["app"] != "a" || len(a.Containers) != 1 || a.Containers[0].Name != "c" ||
		a.Containers[0].Usage.Cpu().MilliValue() != 250 || a.Containers[0].Usage.Memory().Value() != 8<<20 {
		t.Errorf("%+v", a)
	}
	in := metricsPath + "namespaces/default/pods"
	f.do("GET", in+"/b", "").want(t, 200, `"cpu":"7n"`, `"memory":"4Ki"`)
	f.do("GET", in+"/c", "").want(t, 404, "pods.metrics.k8s.io")
	f.do("GET", in+"?labelSelector=app%3Db", "").want(t, 200, `"name":"b"`).wantNot(t, `"name":"a"`)
	f.do("GET", metricsPath+"namespaces/kube-system/pods", "").want(t, 200, `"items":[]`)
	f.do("GET", in, "", "Accept: application/json;as=Table;g=meta.k8s.io;v=v1").want(t, 200, `"cells":["a","250m","8Mi","1.235s"]`)
	f.do("GET", in+"?watch=1", "").want(t, 405)
	f.do("DELETE", in+"/a", "").want(t, 405)
	if q := f.backend.queries; len(q) < 2 || q[0] != (UsageQuery{Pods: true}) || q[1] != (UsageQuery{Node: "n1", Pods: true}) {
		t.Errorf("asked %+v", q)
	}

	body := f.do("GET", in, "", "Accept: "+typeProtobuf).want(t, 200).body
	obj, _, err := decoders[typeProtobuf].Decode([]byte(body), nil, nil)
	check(t, err)
	if l, ok := obj.(*metricsv1beta1.PodMetricsList); !ok || len(l.Items) != 2 || l.Items[0].Window != (metav1.Duration{Duration: 1235 * time.Millisecond}) {
		t.Errorf("in protobuf: %+v", obj)
	}
}

// Who does not answer is named in a warning, and nothing is made up for it.
func TestMetricsNameWhoIsMissing(t *testing.T) {
	f := measuredFixture(t)
	f.backend.usage, f.backend.missing = f.backend.usage[1:], []string{"n2", "n3"}
	a := f.do("GET", metricsPath+"nodes", "").want(t, 200, `"name":"n1"`).wantNot(t, `"name":"n2"`)
	if !strings.Contains(a.warnings, "no answer from n2, n3") {
		t.Errorf("warnings %q", a.warnings)
	}
	f.do("GET", metricsPath+"nodes/n2", "").want(t, 404)
}

func TestMetricsAreForWhoMayReadThem(t *testing.T) {
	f := measuredFixture(t)
	eve := f.as("eve")
	f.do("POST", rbacPath+"namespaces/default/roles", `{"metadata":{"name":"r"},"rules":[{"verbs":["get","list"],"apiGroups":["metrics.k8s.io"],"resources":["pods"]}]}`).want(t, 201)
	f.doWith(eve, "GET", metricsPath+"namespaces/default/pods", "").want(t, 403, "metrics.k8s.io")
	f.do("POST", rbacPath+"namespaces/default/rolebindings", `{"metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"eve"}]}`).want(t, 201)
	f.doWith(eve, "GET", metricsPath+"namespaces/default/pods", "").want(t, 200, `"name":"a"`)
	f.doWith(eve, "GET", metricsPath+"pods", "").want(t, 403)
	f.doWith(eve, "GET", metricsPath+"nodes", "").want(t, 403)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "").want(t, 403)
}
