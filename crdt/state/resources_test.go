package state

import (
	"math"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"
)

func list(cpu, memory string) corev1.ResourceList {
	l := corev1.ResourceList{}
	if cpu != "" {
		l[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		l[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return l
}

func asks(requests, limits corev1.ResourceList) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		containers []corev1.Container
		want       Resources
	}{
		"nothing asked":              {[]corev1.Container{{}}, Resources{Pods: 1}},
		"sum over containers":        {[]corev1.Container{asks(list("250m", "64Mi"), nil), asks(list("1", "1Gi"), nil)}, Resources{1250, 1088 << 20, 1}},
		"limits stand in":            {[]corev1.Container{asks(list("", "64Mi"), list("500m", "1Gi"))}, Resources{500, 64 << 20, 1}},
		"a request of zero is said":  {[]corev1.Container{asks(list("0", ""), list("500m", "1Gi"))}, Resources{0, 1 << 30, 1}},
		"fractions round up":         {[]corev1.Container{asks(list("0.0001", "100m"), nil)}, Resources{1, 1, 1}},
		"decimal and binary":         {[]corev1.Container{asks(list("1.5", "1k"), nil)}, Resources{1500, 1000, 1}},
		"too much for a number":      {[]corev1.Container{asks(list("9E", "9E"), nil)}, Resources{math.MaxInt64, 9e18, 1}},
		"a sum that would wrap":      {[]corev1.Container{asks(list("", "6Ei"), nil), asks(list("", "6Ei"), nil)}, Resources{0, math.MaxInt64, 1}},
		"less than nothing is none":  {[]corev1.Container{asks(list("-4", "-1Gi"), nil), asks(list("1", "1Mi"), nil)}, Resources{1000, 1 << 20, 1}},
		"greater than any int64":     {[]corev1.Container{asks(list("1e40", "1e40"), nil)}, Resources{math.MaxInt64, math.MaxInt64, 1}},
		"no container still is one":  {nil, Resources{Pods: 1}},
		"limits alone, two of them":  {[]corev1.Container{asks(nil, list("1", "")), asks(nil, list("2", ""))}, Resources{3000, 0, 1}},
		"a limit below its requests": {[]corev1.Container{asks(list("2", ""), list("1", ""))}, Resources{2000, 0, 1}},
	} {
		if have := Requests(&corev1.PodSpec{Containers: c.containers}); have != c.want {
			t.Errorf("%s: %+v, want %+v", name, have, c.want)
		}
	}
}

func TestHostPorts(t *testing.T) {
	spec := &corev1.PodSpec{Containers: []corev1.Container{
		{Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080}, {ContainerPort: 81}}},
		{Ports: []corev1.ContainerPort{{ContainerPort: 53, HostPort: 53, Protocol: corev1.ProtocolUDP, HostIP: "10.0.0.1"}}},
	}}
	host := []HostPort{{"", 8080, "TCP"}, {"10.0.0.1", 53, "UDP"}}
	if have := HostPorts(spec, false); !reflect.DeepEqual(have, host) {
		t.Errorf("%+v", have)
	}
	all := []HostPort{{"", 8080, "TCP"}, {"", 81, "TCP"}, {"10.0.0.1", 53, "UDP"}}
	if have := HostPorts(spec, true); !reflect.DeepEqual(have, all) {
		t.Errorf("where pods share the node's address: %+v", have)
	}
}

func TestCollides(t *testing.T) {
	base := HostPort{"10.0.0.1", 80, "TCP"}
	for o, want := range map[HostPort]bool{
		base: true, {"", 80, "TCP"}: true, {"0.0.0.0", 80, "TCP"}: true, {"::", 80, "TCP"}: true,
		{"10.0.0.2", 80, "TCP"}: false, {"", 81, "TCP"}: false, {"", 80, "UDP"}: false,
	} {
		if base.Collides(o) != want || o.Collides(base) != want {
			t.Errorf("%+v and %+v: want %t", base, o, want)
		}
	}
}

// TestRequestsOfInitContainers: a pod asks for the most that runs at once, looked at
// moment by moment.
func TestRequestsOfInitContainers(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, most int) (out []corev1.Container, cpu []int64) {
			for range rapid.IntRange(0, most).Draw(t, name) {
				n := int64(rapid.IntRange(0, 9).Draw(t, "cores"))
				out = append(out, corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(n, resource.DecimalSI)}}})
				cpu = append(cpu, 1000*n)
			}
			return out, cpu
		}
		inits, initCPU := draw("inits", 5)
		mains, mainCPU := draw("mains", 3)
		for i := range inits {
			if rapid.Bool().Draw(t, "sidecar") {
				inits[i].RestartPolicy = &always
			}
		}
		var moments []int64
		for now := range len(inits) + 1 { // the moment of an init container, and after them
			var sum int64
			for i := range inits {
				if i == now || i < now && inits[i].RestartPolicy != nil {
					sum += initCPU[i]
				}
			}
			for _, cpu := range mainCPU {
				if now == len(inits) {
					sum += cpu
				}
			}
			moments = append(moments, sum)
		}
		want := Resources{CPU: slices.Max(moments), Pods: 1}
		if have := Requests(&corev1.PodSpec{InitContainers: inits, Containers: mains}); have != want {
			t.Fatalf("%+v, want %+v of %v", have, want, moments)
		}
	})
}
