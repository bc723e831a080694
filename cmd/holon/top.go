package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const metricsPath = "/apis/metrics.k8s.io/v1beta1"

type topOptions struct {
	allNamespaces, containers bool
	selector                  string
}

func newTopCommand(a *app) *cobra.Command {
	var nodes, pods topOptions
	ofNodes := &cobra.Command{
		Use: "nodes", Aliases: []string{"node", "no"}, Short: "Print what nodes use, and how much of what they have", Args: noArgs,
		Example: `  holon top nodes`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.topNodes(cmd.Context(), nodes) },
	}
	ofNodes.Flags().StringVarP(&nodes.selector, "selector", "l", "", "only nodes with these labels")
	ofPods := &cobra.Command{
		Use: "pods", Aliases: []string{"pod", "po"}, Short: "Print what pods use", Args: noArgs,
		Example: `  holon top pods -A --containers`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.topPods(cmd.Context(), pods) },
	}
	f := ofPods.Flags()
	f.StringVarP(&pods.selector, "selector", "l", "", "only pods with these labels: app=web,tier!=db")
	f.BoolVarP(&pods.allNamespaces, "all-namespaces", "A", false, "in every namespace")
	f.BoolVar(&pods.containers, "containers", false, "container by container")
	return groupCommand("top", "Print what nodes and pods use now",
		`Print the CPU and the memory that nodes, or pods, use now. Nodes measure when
somebody asks: who asks first waits a second, and sees the usage of that second.
The nodes of a testnet all show the machine that they share.`,
		"  holon top nodes\n  holon top pods -A --containers", ofNodes, ofPods)
}

func (o topOptions) query() url.Values {
	if o.selector == "" {
		return nil
	}
	return url.Values{"labelSelector": {o.selector}}
}

func (a *app) topNodes(ctx context.Context, o topOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var nodes corev1.NodeList
	if err := c.get(ctx, mustBuiltin("nodes").path("", ""), o.query(), &nodes); err != nil {
		return err
	}
	var list metricsv1beta1.NodeMetricsList
	if err := c.get(ctx, metricsPath+"/nodes", o.query(), &list); err != nil {
		return err
	}
	used := map[string]corev1.ResourceList{}
	for _, m := range list.Items {
		used[m.Name] = m.Usage
	}
	var rows [][]string
	for _, n := range nodes.Items {
		row := []string{n.Name, "<unknown>", "<unknown>", "<unknown>", "<unknown>"}
		if u, ok := used[n.Name]; ok {
			has := n.Status.Allocatable
			row = []string{n.Name, cores(u), percent(u.Cpu(), has.Cpu()), mebibytes(u), percent(u.Memory(), has.Memory())}
		}
		rows = append(rows, row)
	}
	printTable(a.out, []string{"NAME", "CPU", "CPU%", "MEMORY", "MEMORY%"}, rows)
	return nil
}

func (a *app) topPods(ctx context.Context, o topOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	path := metricsPath + "/namespaces/" + url.PathEscape(c.namespace) + "/pods"
	header := []string{"NAME", "CPU", "MEMORY"}
	if o.containers {
		header = []string{"POD", "CONTAINER", "CPU", "MEMORY"}
	}
	if o.allNamespaces {
		path, header = metricsPath+"/pods", append([]string{"NAMESPACE"}, header...)
	}
	var list metricsv1beta1.PodMetricsList
	if err := c.get(ctx, path, o.query(), &list); err != nil {
		return err
	}
	var rows [][]string
	for _, m := range list.Items {
		var place []string
		if o.allNamespaces {
			place = []string{m.Namespace}
		}
		place = append(place, m.Name)
		for _, row := range podUsage(m, o.containers) {
			rows = append(rows, append(place[:len(place):len(place)], row...))
		}
	}
	if len(rows) == 0 {
		say(a.err, "No running pods found.\n")
		return nil
	}
	printTable(a.out, header, rows)
	return nil
}

// podUsage is what a pod uses, or each of its containers.
func podUsage(m metricsv1beta1.PodMetrics, containers bool) (rows [][]string) {
	var cpu, memory quantity.Quantity
	for _, c := range m.Containers {
		if containers {
			rows = append(rows, []string{c.Name, cores(c.Usage), mebibytes(c.Usage)})
		}
		cpu.Add(*c.Usage.Cpu())
		memory.Add(*c.Usage.Memory())
	}
	if containers {
		return rows
	}
	sum := corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory}
	return [][]string{{cores(sum), mebibytes(sum)}}
}

func cores(u corev1.ResourceList) string { return fmt.Sprintf("%dm", u.Cpu().MilliValue()) }

func mebibytes(u corev1.ResourceList) string { return fmt.Sprintf("%dMi", u.Memory().Value()>>20) }

func percent(part, whole *quantity.Quantity) string {
	if whole.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*part.AsApproximateFloat64()/whole.AsApproximateFloat64())
}
