package testnet

import (
	"holon/crdt/state"
	"holon/runtime"
	"holon/testnet/check"
)

// putJob makes a Job that will succeed, or fail, or takes one away.
func (n *Node) putJob(name string) {
	key := state.MakeKey(state.Jobs, "default", name)
	if n.seen[key].Live() != nil {
		if n.w.rng.IntN(3) == 0 {
			n.remove(key)
		}
		return
	}
	spec := map[string]any{"parallelism": int64(1 + n.w.rng.IntN(3)), "backoffLimit": int64(20)}
	if n.w.rng.IntN(4) > 0 {
		spec["completions"] = int64(1 + n.w.rng.IntN(4))
	}
	image := "done"
	if n.w.rng.IntN(4) == 0 {
		image, spec["backoffLimit"] = "crash", int64(1)
	}
	pod := map[string]any{
		"restartPolicy": []string{"Never", "OnFailure"}[n.w.rng.IntN(2)],
		"containers": []any{map[string]any{
			"name": "app", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "50m"}},
		}},
	}
	if n.w.shape.Inits {
		n.w.inits(name, pod)
	}
	spec["template"] = map[string]any{"spec": pod}
	n.put(key, map[string]any{"spec": spec})
}

// auditRedone judges an order to start a pod by what this node knew when it was given.
func (n *Node) auditRedone(spec *runtime.Spec) {
	id, err := state.ParseSlotID(spec.Slot)
	if err != nil {
		return
	}
	s, ok, err := state.DecodeSlot(state.SlotKey(spec.Namespace, id), n.seen[state.SlotKey(spec.Namespace, id)])
	if err == nil && ok && s.Owner.Resource() == state.Jobs {
		n.w.bad = append(n.w.bad, check.Redone(n.name, s.Owner, id.Index, n.seen[s.Owner])...)
	}
}

func (w *World) countJob(j *state.Job) {
	switch j.State {
	case state.JobComplete:
		w.Counts.JobsDone++
	case state.JobFailed:
		w.Counts.JobsFailed++
	}
}
