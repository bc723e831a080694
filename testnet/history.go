package testnet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
)

// Shape is how long and how rough a history is.
type Shape struct {
	Ops   int           // client operations
	Every time.Duration // mean time between them
	Calm  time.Duration // after the last fault
	Odds  int           // an operation in so many is followed by a fault; 0: 6
	// Outage bounds how long a runtime does not answer; 0: 5 s.
	Outage time.Duration
	// Tears: a node crashes after one drop of objects in so many; 0: 50.
	Tears int
	// Blackouts: faults are splits, crashes and boots.
	Blackouts bool
	// Policies: workloads say how they want to be treated, and nodes have taints.
	Policies bool
	// Sets: clients also make StatefulSets and DaemonSets, and label nodes.
	Sets bool
	// Jobs: some of what clients make has an end.
	Jobs bool
	// Probes: containers have probes, which they fail for a while.
	Probes bool
	// Inits: pods have init containers, sidecars and hooks, some of which fail for a while.
	Inits bool
	// Volumes: some of it has claims, and data is given up.
	Volumes bool
	// Crons: some of it is made again and again, and clocks are wrong.
	Crons bool
	// Pressure: other programs use so much of hosts' memory that pods are evicted.
	Pressure bool
	// Snapshots: nodes keep copies, and have room for them or not.
	Snapshots bool
	// Lives: objects have finalizers and owners.
	Lives bool
}

// Play runs one history: operations among faults, then calm, then everything is
// deleted. It returns the violations of every rule.
func Play(cfg Config, shape Shape) (*World, []string) { return play(cfg, shape, nil) }

func play(cfg Config, shape Shape, onStep func(string)) (*World, []string) {
	shape.Odds, shape.Outage, shape.Tears = cmp.Or(shape.Odds, 6), cmp.Or(shape.Outage, 5*time.Second), cmp.Or(shape.Tears, 50)
	w := New(cfg)
	w.onStep, w.shape, w.keeps = onStep, shape, shape.Snapshots
	if w.keeps {
		for _, n := range w.nodes {
			n.keepFiles()
		}
	}
	w.Run(4 * time.Second)
	if shape.Crons {
		w.tellClocks()
	}
	for range shape.Ops {
		w.operate()
		if w.rng.IntN(shape.Odds) == 0 {
			w.fault()
		}
		w.Run(time.Duration(w.rng.Int64N(int64(2 * shape.Every))))
		if len(w.Violations()) > 0 {
			return w, w.Violations()
		}
	}
	w.calm()
	w.claimTheirs()
	if shape.Crons {
		from := w.calmTime()
		w.Run(shape.Calm)
		w.judgeCrons(from)
	} else {
		w.Run(shape.Calm)
	}
	w.eventually()
	if shape.Lives {
		w.judgeLives()
	}
	if shape.Pressure {
		w.auditPressed()
	}
	if shape.Snapshots {
		w.judgeSnapshots()
	}
	if len(w.Violations()) > 0 {
		return w, w.Violations()
	}
	w.deleteAll()
	w.forgetClaims()
	w.Run(15 * time.Second)
	if shape.Lives {
		w.letAllGo()
	}
	w.finally()
	return w, w.Violations()
}

// ---- clients

// operate performs one random operation on one random live node.
func (w *World) operate() {
	n := w.randomLive()
	if n == nil {
		return
	}
	w.Counts.Ops++
	switch {
	case w.shape.Crons && w.rng.IntN(3) > 0:
		n.operateCrons()
		return
	case w.shape.Lives && w.rng.IntN(3) > 0:
		n.operateLives()
		return
	case w.shape.Snapshots && w.rng.IntN(2) == 0:
		n.operateSnapshots()
		return
	case w.shape.Volumes && w.rng.IntN(2) == 0:
		n.operateVolumes()
		return
	case w.shape.Sets && w.rng.IntN(3) == 0:
		n.operateSets()
		return
	case w.shape.Pressure && w.rng.IntN(12) == 0:
		if w.squeeze(); w.rng.IntN(2) == 0 {
			w.fill()
		}
		return
	case w.shape.Jobs && w.rng.IntN(4) == 0:
		n.putJob(fmt.Sprintf("j%d", w.rng.IntN(4)))
		return
	case w.shape.Probes && w.rng.IntN(6) == 0:
		w.sicken("Startup", "Liveness", "Readiness")
		return
	case w.shape.Inits && w.rng.IntN(8) == 0:
		w.sicken("Startup", postStart)
		return
	}
	switch k := w.rng.IntN(100); {
	case k < 20:
		n.putConfigMap(fmt.Sprintf("c%d", w.rng.IntN(6)))
	case k < 45:
		n.putDeployment(fmt.Sprintf("d%d", w.rng.IntN(4)))
	case k < 55:
		n.scale(fmt.Sprintf("d%d", w.rng.IntN(4)))
	case k < 65:
		n.remove(state.MakeKey(state.Deployments, "default", fmt.Sprintf("d%d", w.rng.IntN(4))))
	case k < 72:
		n.remove(state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("c%d", w.rng.IntN(6))))
	case k < 80:
		n.putPod(fmt.Sprintf("p%d", w.rng.IntN(3)))
	case k < 85:
		n.remove(state.MakeKey(state.Pods, "default", fmt.Sprintf("p%d", w.rng.IntN(3))))
	case k < 92:
		if w.shape.Policies && w.rng.IntN(2) == 0 {
			n.shift()
			return
		}
		n.deleteSlotPod()
	case k < 94:
		n.drain(!n.drains)
	case k < 96:
		n.settle()
	case k < 97:
		n.compact()
	case k < 98:
		n.evictMember(w.nodes[w.rng.IntN(len(w.nodes))])
	default:
		name := w.nodes[w.rng.IntN(len(w.nodes))].name
		if w.shape.Policies && w.rng.IntN(2) == 0 {
			n.retaint(name)
			return
		}
		switch k := w.rng.IntN(3); {
		case k == 0:
			n.cordon(name, true)
		case k == 1 && !n.knowsDrained():
			n.drainOf(name)
		default:
			n.cordon(name, false)
		}
	}
}

func (w *World) randomLive() *Node {
	live := slices.DeleteFunc(slices.Clone(w.nodes), func(n *Node) bool { return !n.up || n.paused })
	if len(live) == 0 {
		return nil
	}
	return live[w.rng.IntN(len(live))]
}

// mutate asks for a write.
func (n *Node) mutate(op core.Mutate) { n.write(op.Key, op, func(*crdt.Record) {}) }

// write asks for a write to a key and enters it in the ledger when it is
// acknowledged; then judges what readers here are shown.
func (n *Node) write(key state.Key, op core.Op, then func(shown *crdt.Record)) {
	boot := n.boot
	n.ask(op, func(ack core.Ack) {
		if ack.Err != nil {
			n.w.Counts.Refused++
			return
		}
		n.w.Counts.Acked++
		if n.boot != boot {
			return
		}
		rec := n.seen[key]
		if n.w.cfg.Bug == AckFirst {
			rec = n.disk.record(key)
		}
		if rec != nil {
			n.w.ledger.Acked(n.name, key, rec)
		}
		if n.disk.written(key) == nil {
			n.w.violate("anytime: %s acknowledged %s before it was on its disk", n.name, key)
		}
		then(rec)
	})
}

// put creates or changes an object: new registers over those that the client saw.
func (n *Node) put(key state.Key, values map[string]any) {
	n.putAs(state.DerivedUID("sim", fmt.Sprint(n.w.rng.Uint64())), key, values)
}

func (n *Node) putAs(uid crdt.UID, key state.Key, values map[string]any) {
	next, err := state.FlattenAs(key.Resource(), values)
	if err != nil {
		n.w.violate("world: %v", err)
		return
	}
	op := core.Mutate{Key: key, New: next, Create: true, NewUID: uid}
	if rec := n.seen[key]; rec.Live() != nil {
		live := rec.Live()
		op.Create, op.UID, op.Old = false, live.UID, map[string][]byte{}
		for path, r := range live.Registers {
			if r.Value != nil {
				op.Old[path] = r.Value
			}
		}
		op.New = maps.Clone(op.Old)
		maps.Copy(op.New, next)
	}
	n.mutate(op)
}

// largeValue is more than gossip carries.
var largeValue = strings.Repeat("large ", 4000)

func (n *Node) putConfigMap(name string) {
	if n.w.shape.Policies && n.w.rng.IntN(3) == 0 {
		if n.w.rng.IntN(3) == 0 {
			n.putClass(fmt.Sprintf("p%d", n.w.rng.IntN(3)))
		} else {
			n.putBudget(fmt.Sprintf("d%d", n.w.rng.IntN(4)))
		}
		return
	}
	if n.w.rng.IntN(20) == 0 {
		n.put(state.MakeKey(state.ConfigMaps, "default", name), map[string]any{"data": map[string]any{"large": largeValue}})
		return
	}
	n.put(state.MakeKey(state.ConfigMaps, "default", name), map[string]any{
		"data": map[string]any{fmt.Sprintf("k%d", n.w.rng.IntN(3)): fmt.Sprint(n.w.rng.IntN(1000))},
	})
}

// podTemplate draws the spec of a pod; name is that of what has no other spec ever.
func podTemplate(w *World, name string) map[string]any {
	image := "web"
	// What crashes might with probes never be ready, and its update never done; and as a home
	// never be ready for as long as a handback wants (seed 188 of kind pressure).
	if w.rng.IntN(12) == 0 && !w.shape.Probes && !w.shape.Pressure {
		image = "crash"
	}
	spec := map[string]any{}
	if w.shape.Policies {
		spec["priorityClassName"] = fmt.Sprintf("p%d", w.rng.IntN(4))
	}
	container := map[string]any{
		"name": "app", "image": image, "command": []any{"run", fmt.Sprint(w.rng.IntN(3))},
		"resources": map[string]any{"requests": map[string]any{"cpu": fmt.Sprintf("%dm", 50+50*w.rng.IntN(4)), "memory": "32Mi"}},
	}
	if w.shape.Probes {
		w.probes(container)
	}
	if w.shape.Pressure && w.rng.IntN(3) == 0 {
		spec["volumes"] = []any{map[string]any{"name": scratch, "emptyDir": map[string]any{"sizeLimit": "1Mi"}}}
	}
	if spec["containers"] = []any{container}; w.shape.Inits {
		w.inits(name, spec)
	}
	return spec
}

func (n *Node) putDeployment(name string) {
	value := map[string]any{"spec": map[string]any{
		"replicas": int64(1 + n.w.rng.IntN(4)),
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": name}}, "spec": podTemplate(n.w, "")},
	}}
	if n.w.shape.Policies {
		value["metadata"] = map[string]any{"annotations": n.w.policy()}
	}
	n.put(state.MakeKey(state.Deployments, "default", name), value)
}

// policy draws what a Deployment says of trouble.
func (w *World) policy() map[string]any {
	notes := map[string]any{}
	for _, name := range []string{"stand-in-delay", "handback", "lost-after", "stop-when-alone"} {
		if w.rng.IntN(2) == 0 {
			notes["holon.dev/"+name] = fmt.Sprintf("%dms", 1000+w.rng.IntN(5000))
		}
	}
	return notes
}

// retaint has a random node expel who does not tolerate it, or not any more.
func (n *Node) retaint(name string) {
	if n.w.rng.IntN(3) == 0 && !n.knowsDrained() {
		n.w.Counts.Taints++
		n.taint(name, "sim:NoExecute")
	} else {
		n.taint(name)
	}
}

func (n *Node) scale(name string) {
	key := state.MakeKey(state.Deployments, "default", name)
	if n.seen[key].Live() != nil {
		n.put(key, map[string]any{"spec": map[string]any{"replicas": int64(n.w.rng.IntN(6))}})
	}
}

func (n *Node) putPod(name string) {
	key := state.MakeKey(state.Pods, "default", name)
	if n.seen[key].Live() == nil {
		n.put(key, map[string]any{"spec": podTemplate(n.w, name)})
	}
}

func (n *Node) remove(key state.Key) {
	if r := key.Resource(); r == state.Claims || r == state.Snapshots {
		n.w.forget(crdt.Join(n.newest[key], nil))
	}
	if live := n.seen[key].Live(); live != nil {
		n.mutate(core.Mutate{Key: key, UID: live.UID, Delete: true})
	}
}

func (n *Node) deleteSlotPod() {
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if key.Resource() != state.Slots || n.w.rng.IntN(3) != 0 {
			continue
		}
		if s, ok, err := state.DecodeSlot(key, n.seen[key]); ok && err == nil {
			n.ask(core.DeletePod{Slot: s.ID}, func(core.Ack) {})
			return
		}
	}
}

// shift evicts a pod, rebalances, or asks what would be if.
func (n *Node) shift() {
	switch n.w.rng.IntN(4) {
	case 0:
		n.ask(core.Rebalance{Max: 3}, func(ack core.Ack) { n.w.Counts.Rebalanced += len(ack.Moves) })
	case 1:
		n.ask(core.WhatIf{Lose: []string{n.w.nodes[n.w.rng.IntN(len(n.w.nodes))].name}}, func(core.Ack) {})
	default:
		n.evictSlotPod()
	}
}

// evictSlotPod evicts a pod from where this node believes that it belongs.
func (n *Node) evictSlotPod() {
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if key.Resource() != state.Slots || n.w.rng.IntN(3) != 0 {
			continue
		}
		if s, ok, err := state.DecodeSlot(key, n.seen[key]); ok && err == nil {
			n.ask(core.Evict{Slot: s.ID, Node: s.Home.Node}, func(ack core.Ack) {
				if ack.Err == nil {
					n.w.Counts.Evictions++
				}
			})
			return
		}
	}
}

func (n *Node) putClass(name string) {
	n.put(state.MakeKey(state.PriorityClasses, "", name), map[string]any{"value": int64(n.w.rng.IntN(2000) - 1000), "globalDefault": n.w.rng.IntN(4) == 0})
}

func (n *Node) putBudget(app string) {
	n.put(state.MakeKey(state.Budgets, "default", app), map[string]any{"spec": map[string]any{
		"maxUnavailable": int64(n.w.rng.IntN(3)), "selector": map[string]any{"matchLabels": map[string]any{"app": app}},
	}})
}

func (n *Node) cordon(name string, on bool) {
	key := state.MakeKey(state.Nodes, "", name)
	if n.seen[key].Live() != nil {
		n.put(key, map[string]any{"spec": map[string]any{"unschedulable": on}})
	}
}

// knowsDrained reports whether a client of this node knows of one that is drained. Two at
// once leave no room in a world this small.
func (n *Node) knowsDrained() bool {
	return slices.ContainsFunc(n.w.nodes, func(other *Node) bool {
		key := state.MakeKey(state.Nodes, "", other.name)
		node, _, _ := state.DecodeNode(key, n.seen[key])
		return node.Drain || len(node.Taints) > 0
	})
}

// drainOf asks by the node's record that what runs there runs elsewhere; cordon(name,
// false) ends it.
func (n *Node) drainOf(name string) {
	key := state.MakeKey(state.Nodes, "", name)
	if n.seen[key].Live() != nil {
		n.w.Counts.RecordDrains++
		n.put(key, map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{state.DrainAnnotation: "true"}},
			"spec":     map[string]any{"unschedulable": true},
		})
	}
}

// taint gives a node taints, as "<key>:<effect>", in place of those that it has.
func (n *Node) taint(name string, taints ...string) {
	key := state.MakeKey(state.Nodes, "", name)
	if n.seen[key].Live() == nil {
		return
	}
	list := []any{}
	for _, t := range taints {
		key, effect, _ := strings.Cut(t, ":")
		list = append(list, map[string]any{"key": key, "effect": effect})
	}
	n.put(key, map[string]any{"spec": map[string]any{"taints": list}})
}

// drain asks that the slots of this node move away, or may stay.
func (n *Node) drain(on bool) {
	if on {
		n.w.Counts.Drains++
	}
	n.drains = on
	n.ask(core.Drain{On: on}, func(core.Ack) {})
}
