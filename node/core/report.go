package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// report is what this node says of its runs, sorted by run.
func (n *runner) report(c *Core) []state.RunStatus {
	var runs []state.RunStatus
	for _, id := range sortedKeys(n.runs) {
		r := n.runs[id]
		if r.workload == nil || r.slot.Namespace == "" {
			continue // an orphan on its way out
		}
		runs = append(runs, n.reportRun(c, r))
	}
	return runs
}

func (n *runner) reportRun(c *Core, r *run) state.RunStatus {
	pod := n.seen[r.id]
	s := state.RunStatus{
		Slot: r.slot.ID, Run: r.id, Revision: r.revision, Phase: state.Pending,
		Refused: r.refused, Message: r.message, IP: c.addressOf(r), Stopping: !r.wanted,
		Namespace: r.workload.Namespace, Name: podName(r.workload, r.slot.ID, r.revision, r.id),
	}
	begun, failed, ready := n.begun(r), false, r.wanted && !r.evicted
	s.Initializing = !begun[len(begun)-1]
	alive := false
	for at, spec := range r.containers() {
		role, seen := r.role(at), n.sees(r, spec.Name)
		if seen == nil {
			seen = &runtime.ContainerStatus{State: runtime.Created}
		}
		cs := c.reportContainer(r, at, &spec, seen, begun[at])
		if cs.Image == "" {
			cs.Image = spec.Image
		}
		if role == mainRole {
			s.Containers = append(s.Containers, cs)
		} else {
			s.Init = append(s.Init, cs)
		}
		ready = ready && (cs.Ready || role == initRole && !s.Initializing)
		alive = alive || seen.State == runtime.Running
		failed = failed || role != sidecarRole && seen.State == runtime.Exited && seen.ExitCode != 0
		if began := seen.State == runtime.Running || role == initRole; began && cs.Started != "" && (s.Started == "" || cs.Started < s.Started) {
			s.Started = cs.Started
		}
	}
	switch {
	case n.over(r) && !alive && failed:
		s.Phase = state.Failed
	case n.over(r) && !alive:
		s.Phase = state.Succeeded
	case len(pod.Containers) > 0 && !s.Initializing:
		s.Phase = state.Running
	}
	s.Ready = ready
	s.Warming = c.warming(r, s.Ready)
	if n.lastSeen != 0 { // before that, nobody knows what a former daemon has made
		s.Created = r.created
	}
	return s
}

// addressOf is where the pod of a run is reached; empty if nobody knows.
func (c *Core) addressOf(r *run) string {
	pod, here := c.runner.seen[r.id]
	if pod.IP == "" && here && c.host.Runtime.HostPortsOnly {
		return c.host.HostIP
	}
	return pod.IP
}

func (c *Core) reportContainer(r *run, at int, spec *corev1.Container, seen *runtime.ContainerStatus, begun bool) state.ContainerStatus {
	name, plain := spec.Name, r.role(at) == initRole
	cs := state.ContainerStatus{
		Name: name, ID: seen.ID, Image: seen.Image, Restarts: seen.Attempt, Message: seen.Message,
		ExitCode: seen.ExitCode, Started: stamp(seen.StartedAt), Finished: stamp(seen.FinishedAt),
	}
	if seen.Last != (runtime.Ended{}) {
		cs.Last = termination(seen.Last)
	}
	switch {
	case seen.State == runtime.Created && !begun:
		cs.State, cs.Reason, cs.Message = "waiting", "PodInitializing", ""
	case seen.State == runtime.Created:
		cs.State, cs.Reason, cs.Message = "waiting", "ContainerCreating", r.message
		if len(r.template.Spec.InitContainers) > 0 {
			cs.Reason = "PodInitializing" // until it runs, as kubelet says
		}
		if r.reason != "" {
			cs.Reason = waitingReason(r.reason, r.failed)
		}
		if r.refused != "" {
			cs.Reason = r.refused
		}
	case seen.State == runtime.Running && plain:
		cs.State, cs.Starting = "running", true // until it has ended
	case seen.State == runtime.Running:
		w := r.watched[name]
		cs.State, cs.Ready, cs.Starting = "running", w.ready(), !w.started()
	default:
		ended := termination(seen.Ended())
		cs.State, cs.Reason, cs.Ready = "terminated", ended.Reason, plain && seen.ExitCode == 0
		if b := r.restart[name]; b != nil && b.until > c.now {
			cs.State, cs.Reason, cs.Message = "waiting", "CrashLoopBackOff", "waiting "+b.wait.String()+" before the next restart"
			cs.Last = ended
		}
	}
	return cs
}

func termination(e runtime.Ended) state.Termination {
	reason := "Error"
	switch {
	case e.OOMKilled:
		reason = "OOMKilled"
	case e.ExitCode == 0:
		reason = "Completed"
	}
	return state.Termination{ExitCode: e.ExitCode, Reason: reason, Message: e.Message, Started: stamp(e.StartedAt), Finished: stamp(e.FinishedAt), ID: e.ID}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
