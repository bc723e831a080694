package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// The sequence of a pod's containers is kubelet's: see state.Containers. How far a run
// has come follows from what its containers are seen to do, so a daemon that finds a pod
// goes on where the one before has stopped. Volumes live as long as their pod, after a
// power cut too; so an init container that has ended well has done its work for good.

// containers are those of a run in the order in which they begin.
func (r *run) containers() []corev1.Container {
	if r.template == nil {
		return nil // an orphan
	}
	return state.Containers(&r.template.Spec)
}

// role is what a container is for its pod.
type role uint8

const (
	mainRole    role = iota
	initRole         // ends before others begin
	sidecarRole      // runs beside the others, and ends after them
)

// role is that of the container at a place in containers().
func (r *run) role(at int) role {
	switch inits := r.template.Spec.InitContainers; {
	case at >= len(inits):
		return mainRole
	case state.Sidecar(&inits[at]):
		return sidecarRole
	}
	return initRole
}

// policyOf is the restart policy of one container: a plain init container that has ended
// well is not started again.
func (r *run) policyOf(name string) corev1.RestartPolicy {
	policy, inits := r.template.Spec.RestartPolicy, r.template.Spec.InitContainers
	at := slices.IndexFunc(inits, func(c corev1.Container) bool { return c.Name == name })
	switch {
	case at < 0:
	case state.Sidecar(&inits[at]):
		return corev1.RestartPolicyAlways
	case policy != corev1.RestartPolicyNever:
		return corev1.RestartPolicyOnFailure
	}
	return policy
}

// begun reports for each of containers() whether it is to have begun by now. The last one
// that was seen to run decides: what became of those before it meanwhile does not, and
// those of them that have ended well are never made again.
func (n *runner) begun(r *run) []bool {
	all, inits, last := r.containers(), len(r.template.Spec.InitContainers), -1
	for at := range all {
		if seen := n.sees(r, all[at].Name); seen != nil && seen.State != runtime.Created {
			last = min(at, inits) // the main ones begin together
		}
	}
	next := last
	if last < 0 || last < inits && n.passed(r, last, &all[last]) {
		next++
	}
	begun := make([]bool, len(all))
	for at := range all {
		turn := min(at, inits)
		begun[at] = last <= turn && turn <= next || turn < last && r.role(at) == sidecarRole
	}
	return begun
}

// initialized reports whether the main containers are to have begun.
func (n *runner) initialized(r *run) bool {
	begun := n.begun(r)
	return begun[len(begun)-1]
}

// passed reports whether what comes after an init container may begin.
func (n *runner) passed(r *run, at int, c *corev1.Container) bool {
	seen := n.sees(r, c.Name)
	switch {
	case seen == nil:
		return false
	case r.role(at) == sidecarRole:
		return seen.State == runtime.Running && r.watched[c.Name].started()
	}
	return seen.State == runtime.Exited && seen.ExitCode == 0
}

// over reports whether nothing of a pod goes on or begins any more but its sidecars: its
// main containers have ended for good, or an init container has failed for good.
func (n *runner) over(r *run) bool {
	done := 0
	for at, c := range r.containers() {
		seen := n.sees(r, c.Name)
		if seen == nil || seen.State != runtime.Exited || r.restarts(seen) {
			continue
		}
		switch role := r.role(at); {
		case role == initRole && seen.ExitCode != 0:
			return true
		case role == mainRole:
			done++
		}
	}
	return done > 0 && done == len(r.template.Spec.Containers)
}

// endLast ends the last one of a pod's containers that runs, and reports whether there
// was one. The next one has its turn when it has ended.
func (c *Core) endLast(r *run) bool {
	for at, spec := range slices.Backward(r.containers()) {
		seen := c.runner.sees(r, spec.Name)
		if seen == nil || seen.State != runtime.Running {
			continue
		}
		c.fact(false, r.about(), "Killing", "Stopping container %s", spec.Name)
		c.order(r, Order{
			Kind: Kill, Container: spec.Name, Attempt: seen.Attempt, Grace: r.grace(), Ends: [][]Ending{{c.ending(r, at, seen)}},
		})
		return true
	}
	return false
}

// missing names the containers of a run whose turn it is and that have never started.
func (n *runner) missing(r *run) map[string]bool {
	var names map[string]bool
	begun := n.begun(r)
	for at, spec := range r.containers() {
		if seen := n.sees(r, spec.Name); begun[at] && (seen == nil || seen.State == runtime.Created) {
			if names == nil {
				names = map[string]bool{}
			}
			names[spec.Name] = true
		}
	}
	return names
}

// tellBegun tells of the containers that have begun since they were ordered. What a former
// daemon has begun was told by that.
func (c *Core) tellBegun(r *run, containers []runtime.ContainerStatus) {
	if len(r.due) == 0 {
		return
	}
	for i := range containers {
		if s := &containers[i]; r.due[s.Name] && !s.StartedAt.IsZero() {
			delete(r.due, s.Name)
			c.fact(false, r.about(), "Started", "started container %s on %s", s.Name, c.cfg.Node)
		}
	}
}
