package podman

import (
	"fmt"
	"strconv"
	"strings"

	"holon/runtime"
)

// The labels by which pods are found again. Those up to labelClaims are on the
// pod, its infra container and its containers; the rest on containers only.
const (
	labelCluster   = "io.holon.cluster"
	labelNode      = "io.holon.node"
	labelRun       = "io.holon.run"
	labelSlot      = "io.holon.slot"
	labelNamespace = "io.holon.namespace"
	labelPod       = "io.holon.pod"
	labelUID       = "io.holon.pod-uid"
	labelCreated   = "io.holon.created"
	labelCPU       = "io.holon.cpu-request"    // millicores
	labelMemory    = "io.holon.memory-request" // bytes
	labelClaims    = "io.holon.claims"         // <volume of the pod>=<kept volume>, by commas
	labelContainer = "io.holon.container"
	labelAttempt   = "io.holon.attempt"
	// labelIndex is the container's place in the spec.
	labelIndex = "io.holon.index"
	// labelFromLog is there if the end of a log is the message of a program that left none.
	labelFromLog = "io.holon.message-from-log"
)

func podName(run runtime.RunID) string { return "holon-" + string(run) }

func containerName(run runtime.RunID, container string, attempt int) string {
	return fmt.Sprintf("holon-%s-%s-%d", run, container, attempt)
}

func (c Config) podLabels(s runtime.Spec) map[string]string {
	l := map[string]string{
		labelCluster:   c.Cluster,
		labelNode:      c.Node,
		labelRun:       string(s.ID),
		labelSlot:      s.Slot,
		labelNamespace: s.Namespace,
		labelPod:       s.Name,
		labelUID:       s.UID,
		labelCreated:   s.CreatedAt,
		labelCPU:       strconv.FormatInt(s.Requests.CPU, 10),
		labelMemory:    strconv.FormatInt(s.Requests.Memory, 10),
	}
	if claims := claimsLabel(s.Volumes); claims != "" {
		l[labelClaims] = claims
	}
	return l
}

// claimsLabel and claimsIn spell which kept volumes a pod has. No name of either kind
// has a comma or an equals sign in it.
func claimsLabel(volumes []runtime.Volume) string {
	var parts []string
	for _, v := range volumes {
		if v.Claim != "" {
			parts = append(parts, v.Name+"="+v.Claim)
		}
	}
	return strings.Join(parts, ",")
}

func claimsIn(label string) map[string]string {
	if label == "" {
		return nil
	}
	claims := map[string]string{}
	for _, part := range strings.Split(label, ",") {
		if volume, kept, ok := strings.Cut(part, "="); ok {
			claims[volume] = kept
		}
	}
	return claims
}

func (c Config) containerLabels(s runtime.Spec, container string, attempt int) map[string]string {
	l := c.podLabels(s)
	l[labelContainer] = container
	l[labelAttempt] = strconv.Itoa(attempt)
	return l
}

// owns reports whether labels are those of a pod of this node, and of run
// unless that is empty.
func (c Config) owns(labels map[string]string, run runtime.RunID) bool {
	return labels[labelCluster] == c.Cluster && labels[labelNode] == c.Node &&
		(run == "" || labels[labelRun] == string(run))
}

// ownFilter selects this node's objects, of one run unless that is empty.
func (c Config) ownFilter(run runtime.RunID) map[string][]string {
	l := []string{labelCluster + "=" + c.Cluster, labelNode + "=" + c.Node}
	if run != "" {
		l = append(l, labelRun+"="+string(run))
	}
	return map[string][]string{"label": l}
}
