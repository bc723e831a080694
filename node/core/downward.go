package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
	"holon/runtime"
)

// downward resolves a variable that is a field of the pod itself (the downward API).
func (c *Core) downward(r *run, spec *runtime.Spec, env runtime.Env, path string) (runtime.Env, bool, error) {
	var err error
	switch path {
	case "status.podIP", "status.podIPs": // only the runtime knows
		env.PodIP = true
	default:
		if env.Value, err = c.fieldOf(r, spec, path); err != nil {
			return env, false, fmt.Errorf("variable %s: %w", env.Name, err)
		}
		env.Value = literal(env.Value)
	}
	return env, true, nil
}

// literal keeps a value from being taken for one with references to other variables.
func literal(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// fieldOf is a field of a pod as its object shows it.
func (c *Core) fieldOf(r *run, spec *runtime.Spec, path string) (string, error) {
	switch path {
	case "metadata.name":
		return spec.Name, nil
	case "metadata.namespace":
		return spec.Namespace, nil
	case "metadata.uid":
		return spec.UID, nil
	case "spec.nodeName":
		return c.cfg.Node, nil
	case "spec.serviceAccountName":
		return accountOf(r.template), nil
	case "status.hostIP", "status.hostIPs":
		return c.host.HostIP, nil
	}
	field, rest, one := strings.Cut(path, "['")
	key, closed := strings.CutSuffix(rest, "']")
	if one != closed || field != "metadata.labels" && field != "metadata.annotations" {
		return "", fmt.Errorf("field %q is not supported", path)
	}
	face := c.podFace(r.workload, r.slot.ID, c.cfg.Node, &state.RunStatus{Run: r.id, Revision: r.revision, Slot: r.slot.ID})
	shown, notes := face.Marks(map[string]any{})
	if field == "metadata.annotations" {
		shown = notes
	}
	if one {
		value, _ := shown[key].(string)
		return value, nil
	}
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(shown)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, shown[key]))
	}
	return strings.Join(lines, "\n"), nil
}

// accountOf is the ServiceAccount that a pod runs as.
func accountOf(template *corev1.PodTemplateSpec) string {
	return cmp.Or(template.Spec.ServiceAccountName, state.DefaultAccount)
}

// resourceOf is what a container asks for or may use, in units of a divisor, rounded up.
// Without a limit it may use what the node has to give.
func (c *Core) resourceOf(r *run, container string, ref *corev1.ResourceFieldSelector) (string, error) {
	if ref.ContainerName != "" {
		container = ref.ContainerName
	}
	i := slices.IndexFunc(r.template.Spec.Containers, func(c corev1.Container) bool { return c.Name == container })
	if i < 0 {
		return "", fmt.Errorf("resource %s: the pod has no container %q", ref.Resource, container)
	}
	of := &r.template.Spec.Containers[i].Resources
	cpu, memory := resource.NewMilliQuantity(c.host.Allocatable.CPU, resource.DecimalSI), resource.NewQuantity(c.host.Allocatable.Memory, resource.BinarySI)
	var q resource.Quantity
	kind, name, _ := strings.Cut(ref.Resource, ".")
	switch {
	case kind == "limits" && name == "cpu":
		q = orElse(of.Limits, corev1.ResourceCPU, *cpu)
	case kind == "limits" && name == "memory":
		q = orElse(of.Limits, corev1.ResourceMemory, *memory)
	case kind == "requests" && (name == "cpu" || name == "memory"):
		q = orElse(of.Requests, corev1.ResourceName(name), orElse(of.Limits, corev1.ResourceName(name), resource.Quantity{}))
	default:
		return "", fmt.Errorf("resource %q is not supported", ref.Resource)
	}
	value, unit := q.Value(), ref.Divisor.Value()
	if name == "cpu" {
		value, unit = q.MilliValue(), ref.Divisor.MilliValue()
		if unit == 0 {
			unit = 1000
		}
	}
	unit = max(unit, 1)
	return strconv.FormatInt((value+unit-1)/unit, 10), nil
}

func orElse(list corev1.ResourceList, name corev1.ResourceName, otherwise resource.Quantity) resource.Quantity {
	if q, ok := list[name]; ok && !q.IsZero() {
		return q
	}
	return otherwise
}
