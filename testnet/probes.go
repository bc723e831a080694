package testnet

import (
	"time"

	"holon/node/core"
	"holon/runtime"
)

// ailment is a kind of probe that containers of an image, or on a node, do not pass.
type ailment struct{ of, kind string }

// attempt answers a probe after a moment, or when its time is up.
func (n *Node) attempt(p core.Probe) {
	well, wait := n.fares(p.Target, p.Kind, time.Duration(p.Spec.TimeoutSeconds)*time.Second)
	if n.w.shape.Inits {
		n.noteStartup(p, well)
	}
	if !well {
		n.w.Counts.ProbesFailed++
	}
	boot := n.boot
	n.w.after(wait, func() {
		n.guarded(boot, func() { n.step(core.Probed{Probe: p, OK: well, Output: "it is ill"}) })
	})
}

// tellStarted answers for the hook of a container.
func (n *Node) tellStarted(h core.Hook) {
	well, wait := n.fares(h.Target, postStart, time.Second)
	n.w.Counts.Hooks++
	boot := n.boot
	n.w.after(wait, func() {
		n.guarded(boot, func() { n.step(core.Hooked{Hook: h, OK: well, Output: "it is ill"}) })
	})
}

// postStart is the ailment of containers whose hooks fail.
const postStart = "PostStart"

// fares draws how a container answers to a kind of question, and after which time.
func (n *Node) fares(t core.Target, kind string, timeout time.Duration) (well bool, wait time.Duration) {
	well, wait = true, time.Duration(1+n.w.rng.IntN(20))*time.Millisecond
	for _, of := range []string{n.name, imageOf(n.specs[t.Run], t.Container)} {
		if hangs, ails := n.w.ails[ailment{of, kind}]; ails {
			if well = false; hangs {
				wait = timeout
			}
		}
	}
	return well, wait
}

func imageOf(spec runtime.Spec, container string) string {
	for _, c := range spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// sicken has what is on a node fail one of these kinds of probe for a while.
func (w *World) sicken(kinds ...string) {
	a := ailment{w.nodes[w.rng.IntN(len(w.nodes))].name, kinds[w.rng.IntN(len(kinds))]}
	w.did("%s of what is on %s fails", a.kind, a.of)
	w.ails[a] = w.rng.IntN(2) == 0
	w.after(time.Second+time.Duration(w.rng.Int64N(int64(5*time.Second))), func() { delete(w.ails, a) })
}

// probes draws those of a container: all, some or none.
func (w *World) probes(container map[string]any) {
	for _, kind := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		if w.rng.IntN(2) == 0 {
			container[kind] = map[string]any{
				"tcpSocket": map[string]any{"port": int64(80)}, "timeoutSeconds": int64(1), "periodSeconds": int64(1 + w.rng.IntN(2)),
				"successThreshold": int64(1), "failureThreshold": int64(1 + w.rng.IntN(3)), "initialDelaySeconds": int64(w.rng.IntN(3)),
			}
		}
	}
}
