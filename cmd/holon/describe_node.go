package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sort"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
)

func describeNode(ctx context.Context, c *client, d *description, o objectView) error {
	var n corev1.Node
	if err := o.into(&n); err != nil {
		return err
	}
	d.line(0, "Name:\t%s", n.Name)
	d.labels(o)
	d.line(0, "CreationTimestamp:\t%s", timeText(n.CreationTimestamp.Time))
	if len(n.Spec.Taints) == 0 {
		d.line(0, "Taints:\t<none>")
	}
	for i, t := range n.Spec.Taints {
		title := ""
		if i == 0 {
			title = "Taints:"
		}
		d.line(0, "%s\t%s", title, t.ToString())
	}
	d.line(0, "Unschedulable:\t%t", n.Spec.Unschedulable)
	var conditions [][]string
	for _, c := range n.Status.Conditions {
		conditions = append(conditions, []string{string(c.Type), string(c.Status), orElse(c.Reason, "-"), c.Message})
	}
	d.conditions(conditions)
	d.line(0, "Addresses:")
	for _, a := range n.Status.Addresses {
		d.line(1, "%s:\t%s", a.Type, a.Address)
	}
	d.quantities("Capacity", n.Status.Capacity)
	d.quantities("Allocatable", n.Status.Allocatable)
	i := n.Status.NodeInfo
	d.line(0, "System Info:")
	for _, pair := range [][2]string{
		{"Operating System", i.OperatingSystem}, {"Architecture", i.Architecture}, {"Kernel Version", i.KernelVersion},
		{"OS Image", i.OSImage}, {"Container Runtime Version", i.ContainerRuntimeVersion}, {"Kubelet Version", i.KubeletVersion},
	} {
		if pair[1] != "" {
			d.line(1, "%s:\t%s", pair[0], pair[1])
		}
	}
	return c.describeNodePods(ctx, d, &n)
}

func (d *description) quantities(title string, set corev1.ResourceList) {
	d.line(0, "%s:", title)
	texts := map[string]string{}
	for name, q := range set {
		texts[string(name)] = q.String()
	}
	for _, name := range sortedKeys(texts) {
		d.line(1, "%s:\t%s", name, texts[name])
	}
}

// describeNodePods lists what runs on a node and what it has promised.
func (c *client) describeNodePods(ctx context.Context, d *description, n *corev1.Node) error {
	var pods corev1.PodList
	q := url.Values{"fieldSelector": {"spec.nodeName=" + n.Name}}
	if err := c.get(ctx, mustBuiltin("pods").path("", ""), q, &pods); err != nil {
		return err
	}
	pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	sort.Slice(pods.Items, func(i, j int) bool {
		a, b := pods.Items[i], pods.Items[j]
		return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
	})
	var cpu, memory quantity.Quantity
	d.line(0, "Non-terminated Pods:\t(%d in total)", len(pods.Items))
	d.line(1, "Namespace\tName\tCPU Requests\tMemory Requests")
	d.line(1, "---------\t----\t------------\t---------------")
	for _, p := range pods.Items {
		asks := state.Requests(&p.Spec)
		podCPU, podMemory := *quantity.NewMilliQuantity(asks.CPU, quantity.DecimalSI), *quantity.NewQuantity(asks.Memory, quantity.BinarySI)
		cpu.Add(podCPU)
		memory.Add(podMemory)
		d.line(1, "%s\t%s\t%s\t%s", p.Namespace, p.Name, podCPU.String(), podMemory.String())
	}
	d.line(0, "Allocated resources:")
	d.line(1, "Resource\tRequests")
	d.line(1, "--------\t--------")
	d.line(1, "cpu\t%s", share(cpu, n.Status.Allocatable[corev1.ResourceCPU]))
	d.line(1, "memory\t%s", share(memory, n.Status.Allocatable[corev1.ResourceMemory]))
	return nil
}

func share(used, of quantity.Quantity) string {
	if of.MilliValue() == 0 {
		return used.String()
	}
	return fmt.Sprintf("%s (%d%%)", used.String(), int64(100*used.AsApproximateFloat64()/of.AsApproximateFloat64()))
}
