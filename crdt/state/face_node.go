package state

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// NodeView is what a view holds of a node, for its face.
type NodeView struct {
	Node        Node
	Status      *NodeStatus // nil: never heard of
	Live        bool
	Peer        string
	Labels      map[string]string
	Unreachable string // why, if it is not live
}

// DiskFailure is the reason for which a node is not Ready that cannot store
// anything: it takes no writes and no new pods, and what runs there goes on.
const DiskFailure = "DiskFailure"

// NodeFace is the Node object.
func NodeFace(n NodeView) map[string]any {
	v := WithMeta(MakeKey(Nodes, "", n.Node.Name), n.Node.UID.String(), copyObject(n.Node.Object))
	s := n.Status
	if s == nil {
		s = &NodeStatus{}
	}
	meta := object(v, "metadata")
	labels := map[string]any{}
	merge(labels, n.Labels)
	meta["labels"] = labels
	notes := object(meta, "annotations")
	notes["holon.dev/peer"] = n.Peer
	if s.Server != "" {
		notes["holon.dev/server"] = s.Server
	}
	object(v, "spec") // is there, even if it says nothing
	switch {
	case !n.Live:
		taint(v, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
	case slices.ContainsFunc(s.Conditions, func(c Condition) bool { return c.Type == "Ready" && !c.True }):
		taint(v, corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)
	}
	for _, t := range s.Taints() {
		taint(v, t.Key, t.Effect)
	}
	v["status"] = nodeStatus(n, s)
	return v
}

// taint shows what keeps pods away from a node besides what users wrote there.
func taint(node map[string]any, key string, effect corev1.TaintEffect) {
	spec := object(node, "spec")
	taints, _ := spec["taints"].([]any)
	if slices.ContainsFunc(taints, func(t any) bool {
		have, _ := t.(map[string]any)
		return have["key"] == key
	}) {
		return
	}
	spec["taints"] = append(taints, map[string]any{"key": key, "effect": string(effect)})
}

func nodeStatus(n NodeView, s *NodeStatus) map[string]any {
	addresses := []any{map[string]any{"type": "Hostname", "address": n.Node.Name}}
	if s.HostIP != "" {
		addresses = append([]any{map[string]any{"type": "InternalIP", "address": s.HostIP}}, addresses...)
	}
	runtime := ""
	if s.Runtime != "" {
		runtime = s.Runtime + "://" + s.Version
	}
	return map[string]any{
		"capacity": s.Allocatable.list(), "allocatable": s.Allocatable.list(), "addresses": addresses, "conditions": append(nodeConditions(n, s), mergeConditions(n.Node.Conflicts, "")...),
		"nodeInfo": map[string]any{
			"kubeletVersion": s.HolonVersion, "containerRuntimeVersion": runtime, "operatingSystem": s.OS,
			"architecture": s.Arch, "kernelVersion": s.Kernel, "osImage": s.OS, "kubeProxyVersion": "", "machineID": "", "systemUUID": "",
			"bootID": strconv.FormatUint(s.Epoch, 10),
		},
	}
}

// list spells an amount as a Kubernetes ResourceList.
func (r Resources) list() map[string]any {
	return map[string]any{
		"cpu": strconv.FormatInt(r.CPU, 10) + "m", "memory": strconv.FormatInt(r.Memory/1024, 10) + "Ki", "pods": strconv.FormatInt(r.Pods, 10),
	}
}

func nodeConditions(n NodeView, s *NodeStatus) []any {
	if !n.Live {
		unknown := []any{}
		for _, c := range s.Conditions {
			if c.Type != "Ready" {
				unknown = append(unknown, unreachable(c.Type, n.Unreachable))
			}
		}
		return append(unknown, unreachable("Ready", n.Unreachable))
	}
	if len(s.Conditions) == 0 {
		return []any{map[string]any{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "the node has not reported yet"}}
	}
	list := make([]any, len(s.Conditions))
	for i, c := range s.Conditions {
		list[i] = condition(c.Type, c.True, c.Reason, c.Message)
	}
	return list
}

func unreachable(condition, why string) map[string]any {
	return map[string]any{"type": condition, "status": "Unknown", "reason": "NodeUnreachable", "message": why}
}

// WithDiskFailure is a Node object as it is to be shown while that node cannot
// store anything, whatever it said before.
func WithDiskFailure(node map[string]any, why string) map[string]any {
	v := copyObject(node)
	taint(v, corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)
	object(v, "status")["conditions"] = []any{condition("Ready", false, DiskFailure, why)}
	return v
}
