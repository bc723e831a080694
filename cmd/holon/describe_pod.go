package main

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func describePod(_ context.Context, _ *client, d *description, o objectView) error {
	var pod corev1.Pod
	if err := o.into(&pod); err != nil {
		return err
	}
	d.line(0, "Name:\t%s", pod.Name)
	d.line(0, "Namespace:\t%s", pod.Namespace)
	d.line(0, "Node:\t%s", nodeAndIP(&pod))
	if pod.Status.StartTime != nil {
		d.line(0, "Start Time:\t%s", timeText(pod.Status.StartTime.Time))
	}
	d.labels(o)
	d.line(0, "Status:\t%s", podPhase(&pod))
	if pod.Status.Reason != "" {
		d.line(0, "Reason:\t%s", pod.Status.Reason)
	}
	if pod.Status.Message != "" {
		d.line(0, "Message:\t%s", pod.Status.Message)
	}
	d.line(0, "IP:\t%s", orElse(pod.Status.PodIP, "<none>"))
	if owner := metav1.GetControllerOf(&pod); owner != nil {
		d.line(0, "Controlled By:\t%s/%s", owner.Kind, owner.Name)
	}
	d.containers(&pod.Spec, pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	var conditions [][]string
	for _, c := range pod.Status.Conditions {
		conditions = append(conditions, []string{string(c.Type), string(c.Status), orElse(c.Reason, "-"), c.Message})
	}
	d.conditions(conditions)
	d.volumes(pod.Spec.Volumes)
	d.placement(&pod.Spec)
	return nil
}

func nodeAndIP(pod *corev1.Pod) string {
	switch {
	case pod.Spec.NodeName == "":
		return "<none>"
	case pod.Status.HostIP == "":
		return pod.Spec.NodeName
	}
	return pod.Spec.NodeName + "/" + pod.Status.HostIP
}

func podPhase(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "Terminating"
	}
	return orElse(string(pod.Status.Phase), "Pending")
}

// containers writes the containers of a pod or of a template, which has no statuses.
func (d *description) containers(spec *corev1.PodSpec, inits, mains []corev1.ContainerStatus) {
	if len(spec.InitContainers) > 0 {
		d.containerList("Init Containers:", spec.InitContainers, inits)
	}
	d.containerList("Containers:", spec.Containers, mains)
}

func (d *description) containerList(title string, containers []corev1.Container, statuses []corev1.ContainerStatus) {
	d.line(0, "%s", title)
	for i := range containers {
		c := &containers[i]
		d.line(1, "%s:", c.Name)
		var status *corev1.ContainerStatus
		for k := range statuses {
			if statuses[k].Name == c.Name {
				status = &statuses[k]
			}
		}
		if status != nil && status.ContainerID != "" {
			d.line(2, "Container ID:\t%s", status.ContainerID)
		}
		d.line(2, "Image:\t%s", orElse(c.Image, "<none>"))
		if c.RestartPolicy != nil {
			d.line(2, "Restart Policy:\t%s", *c.RestartPolicy)
		}
		d.ports(c.Ports)
		d.list(2, "Command", c.Command)
		d.list(2, "Args", c.Args)
		if status != nil {
			d.state("State", status.State)
			if status.LastTerminationState.Terminated != nil {
				d.state("Last State", status.LastTerminationState)
			}
			d.line(2, "Ready:\t%t", status.Ready)
			d.line(2, "Restart Count:\t%d", status.RestartCount)
		}
		d.resources("Limits", c.Resources.Limits)
		d.resources("Requests", c.Resources.Requests)
		d.probes(c)
		d.environment(c)
		d.mounts(c.VolumeMounts)
	}
}

func (d *description) ports(ports []corev1.ContainerPort) {
	var inside, outside []string
	for _, p := range ports {
		inside = append(inside, fmt.Sprintf("%d/%s", p.ContainerPort, orElse(string(p.Protocol), "TCP")))
		if p.HostPort != 0 {
			outside = append(outside, fmt.Sprintf("%d/%s", p.HostPort, orElse(string(p.Protocol), "TCP")))
		}
	}
	d.line(2, "Ports:\t%s", orElse(strings.Join(inside, ", "), "<none>"))
	if len(outside) > 0 {
		d.line(2, "Host Ports:\t%s", strings.Join(outside, ", "))
	}
}

func (d *description) list(level int, title string, words []string) {
	if len(words) == 0 {
		return
	}
	d.line(level, "%s:", title)
	for _, w := range words {
		for line := range strings.SplitSeq(strings.TrimRight(w, "\n"), "\n") {
			d.line(level+1, "%s", line)
		}
	}
}

func (d *description) state(title string, s corev1.ContainerState) {
	switch {
	case s.Running != nil:
		d.line(2, "%s:\tRunning", title)
		d.line(3, "Started:\t%s", timeText(s.Running.StartedAt.Time))
	case s.Terminated != nil:
		d.line(2, "%s:\tTerminated", title)
		d.line(3, "Reason:\t%s", orElse(s.Terminated.Reason, "-"))
		if s.Terminated.Message != "" {
			d.words("Message", s.Terminated.Message)
		}
		d.line(3, "Exit Code:\t%d", s.Terminated.ExitCode)
		d.line(3, "Started:\t%s", timeText(s.Terminated.StartedAt.Time))
		d.line(3, "Finished:\t%s", timeText(s.Terminated.FinishedAt.Time))
	case s.Waiting != nil:
		d.line(2, "%s:\tWaiting", title)
		d.line(3, "Reason:\t%s", orElse(s.Waiting.Reason, "-"))
		if s.Waiting.Message != "" {
			d.line(3, "Message:\t%s", s.Waiting.Message)
		}
	default:
		d.line(2, "%s:\tWaiting", title)
	}
}

// words writes what a program has said, line by line.
func (d *description) words(title, text string) {
	title += ":"
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		d.line(3, "%s\t%s", title, line)
		title = ""
	}
}

func (d *description) resources(title string, set corev1.ResourceList) {
	if len(set) == 0 {
		return
	}
	d.line(2, "%s:", title)
	names := map[string]string{}
	for name, quantity := range set {
		names[string(name)] = quantity.String()
	}
	for _, name := range sortedKeys(names) {
		d.line(3, "%s:\t%s", name, names[name])
	}
}

// probes says of each probe what kubectl does.
func (d *description) probes(c *corev1.Container) {
	for _, p := range []struct {
		title string
		probe *corev1.Probe
	}{{"Liveness", c.LivenessProbe}, {"Readiness", c.ReadinessProbe}, {"Startup", c.StartupProbe}} {
		if p.probe != nil {
			d.line(2, "%s:\t%s delay=%ds timeout=%ds period=%ds #success=%d #failure=%d", p.title, handlerText(&p.probe.ProbeHandler),
				p.probe.InitialDelaySeconds, p.probe.TimeoutSeconds, p.probe.PeriodSeconds, p.probe.SuccessThreshold, p.probe.FailureThreshold)
		}
	}
}

func handlerText(h *corev1.ProbeHandler) string {
	switch {
	case h.HTTPGet != nil:
		return fmt.Sprintf("http-get %s://%s:%s/%s", strings.ToLower(string(h.HTTPGet.Scheme)), h.HTTPGet.Host, h.HTTPGet.Port.String(), strings.TrimPrefix(h.HTTPGet.Path, "/"))
	case h.TCPSocket != nil:
		return fmt.Sprintf("tcp-socket %s:%s", h.TCPSocket.Host, h.TCPSocket.Port.String())
	case h.Exec != nil:
		return fmt.Sprintf("exec %v", h.Exec.Command)
	}
	return "unknown"
}

func (d *description) environment(c *corev1.Container) {
	if len(c.Env)+len(c.EnvFrom) == 0 {
		d.line(2, "Environment:\t<none>")
		return
	}
	d.line(2, "Environment:")
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			d.line(3, "all of:\t<ConfigMap %s> with prefix %q", from.ConfigMapRef.Name, from.Prefix)
		}
		if from.SecretRef != nil {
			d.line(3, "all of:\t<Secret %s> with prefix %q", from.SecretRef.Name, from.Prefix)
		}
	}
	for _, e := range c.Env {
		value := e.Value
		switch s := e.ValueFrom; {
		case s == nil:
		case s.ConfigMapKeyRef != nil:
			value = fmt.Sprintf("<key %q of ConfigMap %s>", s.ConfigMapKeyRef.Key, s.ConfigMapKeyRef.Name)
		case s.FieldRef != nil:
			value = fmt.Sprintf("(%s)", s.FieldRef.FieldPath)
		case s.SecretKeyRef != nil:
			value = fmt.Sprintf("<key %q of Secret %s>", s.SecretKeyRef.Key, s.SecretKeyRef.Name)
		}
		d.line(3, "%s:\t%s", e.Name, value)
	}
}

func (d *description) mounts(mounts []corev1.VolumeMount) {
	if len(mounts) == 0 {
		d.line(2, "Mounts:\t<none>")
		return
	}
	d.line(2, "Mounts:")
	for _, m := range mounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		if m.SubPath != "" {
			mode += fmt.Sprintf(", path %q", m.SubPath)
		}
		d.line(3, "%s from %s (%s)", m.MountPath, m.Name, mode)
	}
}

func (d *description) volumes(volumes []corev1.Volume) {
	if len(volumes) == 0 {
		d.line(0, "Volumes:\t<none>")
		return
	}
	d.line(0, "Volumes:")
	for _, v := range volumes {
		d.line(1, "%s:", v.Name)
		switch {
		case v.ConfigMap != nil:
			d.line(2, "ConfigMap:\t%s", v.ConfigMap.Name)
		case v.EmptyDir != nil:
			d.line(2, "EmptyDir:\tlives as long as the pod")
		case v.HostPath != nil:
			d.line(2, "HostPath:\t%s", v.HostPath.Path)
		case v.PersistentVolumeClaim != nil:
			d.line(2, "PersistentVolumeClaim:\t%s", v.PersistentVolumeClaim.ClaimName)
		case v.Secret != nil:
			d.line(2, "Secret:\t%s", v.Secret.SecretName)
		default:
			d.line(2, "see -o yaml")
		}
	}
}

func (d *description) placement(spec *corev1.PodSpec) {
	d.pairs(0, "Node-Selectors", spec.NodeSelector, "=")
	if len(spec.Tolerations) == 0 {
		d.line(0, "Tolerations:\t<none>")
	}
	for i, t := range spec.Tolerations {
		title := ""
		if i == 0 {
			title = "Tolerations:"
		}
		text := t.Key
		if t.Operator == corev1.TolerationOpExists {
			text += " op=Exists"
		} else {
			text += "=" + t.Value
		}
		if t.Effect != "" {
			text = strings.TrimPrefix(text+":"+string(t.Effect), "=:")
		}
		d.line(0, "%s\t%s", title, text)
	}
}
