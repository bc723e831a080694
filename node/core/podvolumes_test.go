package core

import (
	"fmt"
	"strings"
	"testing"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

type object = map[string]any

// orderOf makes a pod of a spec and gives the order for it, among ConfigMaps.
func orderOf(t *testing.T, spec object, configMaps map[string]object) (*crowd, Order) {
	x := newCrowd(t, 1, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 4})
	for name, data := range configMaps {
		x.put(state.MakeKey(state.ConfigMaps, "default", name), crdt.UID{9, byte(len(name))}, object{"data": data})
	}
	return x, x.orderFor(spec)
}

// orderFor makes a pod of a spec and gives the order for it.
func (x *crowd) orderFor(spec object) Order {
	x.put(state.MakeKey(state.Pods, "default", "p"), crdt.UID{1}, object{
		"metadata": object{"labels": object{"app": "web", "zone": "a \"b\""}, "annotations": object{"money": "$(A) $"}}, "spec": spec,
	})
	for range 9 {
		if orders := x.step(Woke{}); len(orders) > 0 {
			return orders[0]
		}
	}
	return Order{}
}

func fieldRef(path string) object { return object{"fieldRef": object{"fieldPath": path}} }

func resourceRef(container, resource, divisor string) object {
	ref := object{"resource": resource, "divisor": divisor}
	if container != "" {
		ref["containerName"] = container
	}
	return object{"resourceFieldRef": ref}
}

// TestDownwardVariables: fields of the pod and resources, in units and rounded up; what
// has no limit may use what the node has to give.
func TestDownwardVariables(t *testing.T) {
	for _, v := range []struct {
		from object
		want string
	}{
		{fieldRef("metadata.name"), "p"},
		{fieldRef("metadata.namespace"), "default"},
		{fieldRef("metadata.uid"), crdt.UID{1}.String()},
		{fieldRef("metadata.labels['app']"), "web"},
		{fieldRef("metadata.labels['none']"), ""},
		{fieldRef("metadata.annotations['money']"), "$(A) $"},
		{fieldRef("spec.nodeName"), "n0000"},
		{fieldRef("spec.serviceAccountName"), "robot"},
		{fieldRef("status.podIPs"), "192.0.2.7"},
		{resourceRef("", "limits.cpu", "1"), "2"},
		{resourceRef("", "limits.cpu", "0"), "2"},
		{resourceRef("", "limits.cpu", "1m"), "1500"},
		{resourceRef("", "limits.memory", "1Mi"), "1024"},
		{resourceRef("", "requests.memory", "1k"), "3"},
		{resourceRef("other", "limits.cpu", "1"), "4"},
		{resourceRef("other", "requests.cpu", "1"), "0"},
	} {
		_, o := orderOf(t, object{"serviceAccountName": "robot", "containers": []any{
			object{"name": "app", "image": "app", "resources": object{"limits": object{"cpu": "1500m"}, "requests": object{"memory": "2500"}},
				"env": []any{object{"name": "A", "value": "no"}, object{"name": "V", "valueFrom": v.from}}},
			object{"name": "other", "image": "app"},
		}}, nil)
		if o.Spec == nil {
			t.Fatalf("%v: nothing is ordered", v.from)
		}
		_, _, env := o.Spec.Containers[0].Resolve("192.0.2.7")
		if got := env[1]; got != "V="+v.want {
			t.Errorf("%v: %s, want %q", v.from, got, v.want)
		}
	}
}

// shown are the files of a volume as text.
func shown(v runtime.Volume) (lines []string) {
	for _, f := range v.Files {
		lines = append(lines, fmt.Sprintf("%s %o %q", f.Path, f.Mode, f.Data))
	}
	return lines
}

// TestProjectedFiles: modes, items, what is optional, and the later of two sources.
func TestProjectedFiles(t *testing.T) {
	source := func(name string, more object) object {
		m := object{"name": name}
		for k, v := range more {
			m[k] = v
		}
		return object{"configMap": m}
	}
	_, o := orderOf(t, object{"containers": []any{object{"name": "app", "image": "app"}}, "volumes": []any{
		object{"name": "all", "projected": object{"defaultMode": int64(0o440), "sources": []any{
			source("one", nil), source("other", object{"items": []any{object{"key": "b", "path": "deep/b", "mode": int64(0o400)}}}),
			source("other", object{"items": []any{object{"key": "a", "path": "a"}}}), source("none", object{"optional": true}),
			object{"downwardAPI": object{"items": []any{
				object{"path": "labels", "fieldRef": object{"fieldPath": "metadata.labels"}},
				object{"path": "cpu", "resourceFieldRef": object{"containerName": "app", "resource": "limits.cpu"}, "mode": int64(0o600)},
			}}},
		}}},
		object{"name": "me", "downwardAPI": object{"items": []any{object{"path": "who", "fieldRef": object{"fieldPath": "metadata.name"}}}}},
	}}, map[string]object{"one": {"a": "one's a", "c": "c"}, "other": {"a": "other's a", "b": "b"}})
	if o.Spec == nil {
		t.Fatal("nothing is ordered")
	}
	got := strings.Join(append(shown(o.Spec.Volumes[0]), shown(o.Spec.Volumes[1])...), "\n")
	want := `c 440 "c"
deep/b 400 "b"
a 440 "other's a"
labels 440 "app=\"web\"\nzone=\"a \\\"b\\\"\""
cpu 600 "4"
who 644 "p"`
	if got != want {
		t.Errorf("files are\n%s\nwant\n%s", got, want)
	}
}

// TestAMissingSourceKeepsThePodFromStarting, and says which one it is.
func TestAMissingSourceKeepsThePodFromStarting(t *testing.T) {
	x, o := orderOf(t, object{"containers": []any{object{"name": "app", "image": "app"}}, "volumes": []any{
		object{"name": "all", "projected": object{"sources": []any{object{"configMap": object{"name": "none"}}}}},
	}}, nil)
	if o.Spec != nil {
		t.Error("it is ordered all the same")
	}
	for _, r := range x.runner.runs {
		if r.reason != "CreateContainerConfigError" || !strings.Contains(r.message, `volume all: configmap "none" not found`) {
			t.Errorf("it says %s: %s", r.reason, r.message)
		}
	}
}
