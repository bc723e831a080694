package api

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var namespaceColumns = []metav1.TableColumnDefinition{nameColumn, column("Status"), column("Age")}

func namespaceRow(n *corev1.Namespace) []any {
	return []any{n.Name, or(string(n.Status.Phase), string(corev1.NamespaceActive)), age(n.CreationTimestamp)}
}

var configMapColumns = []metav1.TableColumnDefinition{nameColumn, column("Data"), column("Age")}

func configMapRow(c *corev1.ConfigMap) []any {
	return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), age(c.CreationTimestamp)}
}

var nodeColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Status"), column("Roles"), column("Age"), column("Version"),
	wide("Internal-IP"), wide("External-IP"), wide("OS-Image"), wide("Kernel-Version"), wide("Container-Runtime"),
}

func nodeRow(n *corev1.Node) []any {
	info := n.Status.NodeInfo
	return []any{
		n.Name, nodeStatus(n), nodeRoles(n), age(n.CreationTimestamp), info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		orUnknown(info.OSImage), orUnknown(info.KernelVersion), orUnknown(info.ContainerRuntimeVersion),
	}
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		status = "NotReady"
		if c.Status == corev1.ConditionTrue {
			status = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(n *corev1.Node) string {
	const prefix = "node-role.kubernetes.io/"
	var roles []string
	for label := range n.Labels {
		if role, ok := strings.CutPrefix(label, prefix); ok && role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return orNone(strings.Join(roles, ","))
}

func nodeAddress(n *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return "<none>"
}

func orUnknown(s string) string { return or(s, "<unknown>") }

var eventColumns = []metav1.TableColumnDefinition{
	column("Last Seen"), column("Type"), column("Reason"), column("Object"), wide("Subobject"), wide("Source"),
	column("Message"), wide("First Seen"), wide("Count"),
	{Name: "Name", Type: "string", Format: "name", Priority: 1, Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
}

func eventRow(e *corev1.Event) []any {
	first, last, count := e.FirstTimestamp, e.LastTimestamp, max(e.Count, 1)
	if first.IsZero() {
		first = metav1.NewTime(e.EventTime.Time)
	}
	if e.Series != nil {
		last, count = metav1.NewTime(e.Series.LastObservedTime.Time), e.Series.Count
	}
	if last.IsZero() {
		last = first
	}
	source := or(e.Source.Component, e.ReportingController)
	if host := or(e.Source.Host, e.ReportingInstance); host != "" {
		source += ", " + host
	}
	object := e.InvolvedObject
	return []any{
		age(last), e.Type, e.Reason, fmt.Sprintf("%s/%s", strings.ToLower(object.Kind), object.Name), object.FieldPath, source,
		strings.TrimSpace(e.Message), age(first), int64(count), e.Name,
	}
}
