package testnet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/testnet/check"
)

// Shape is how long and how rough a history is.
type Shape struct {
	Ops   int           // client operations
	Every time.Duration // mean time between them
	Calm  time.Duration // after the last fault
}

// Play runs one history: operations among faults, then calm, then everything is
// deleted. It returns the violations of every rule.
func Play(cfg Config, shape Shape) (*World, []string) {
	w := New(cfg)
	w.Run(4 * time.Second)
	for range shape.Ops {
		w.operate()
		if w.rng.IntN(6) == 0 {
			w.fault()
		}
		w.Run(time.Duration(w.rng.Int64N(int64(2 * shape.Every))))
		if len(w.Violations()) > 0 {
			return w, w.Violations()
		}
	}
	w.calm()
	w.Run(shape.Calm)
	w.eventually()
	if len(w.Violations()) > 0 {
		return w, w.Violations()
	}
	w.deleteAll()
	w.Run(15 * time.Second)
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
		n.deleteSlotPod()
	default:
		n.cordon(w.nodes[w.rng.IntN(len(w.nodes))].name, w.rng.IntN(3) == 0)
	}
}

func (w *World) randomLive() *Node {
	live := slices.DeleteFunc(slices.Clone(w.nodes), func(n *Node) bool { return !n.up || n.paused })
	if len(live) == 0 {
		return nil
	}
	return live[w.rng.IntN(len(live))]
}

// mutate asks for a write and enters it in the ledger when it is acknowledged.
func (n *Node) mutate(op core.Mutate) {
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
		rec := n.seen[op.Key]
		if n.w.cfg.Bug == AckFirst {
			rec = n.disk.record(op.Key)
		}
		if rec != nil {
			n.w.ledger.Acked(n.name, op.Key, rec.Vector)
		}
		if d := n.disk.record(op.Key); d == nil {
			n.w.violate("anytime: %s acknowledged %s before it was on its disk", n.name, op.Key)
		}
	})
}

// put creates or changes an object: new registers over those that the client saw.
func (n *Node) put(key state.Key, values map[string]any) {
	next, err := state.Flatten(values)
	if err != nil {
		n.w.violate("world: %v", err)
		return
	}
	op := core.Mutate{Key: key, New: next, Create: true, NewUID: state.DerivedUID("sim", fmt.Sprint(n.w.rng.Uint64()))}
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

func (n *Node) putConfigMap(name string) {
	n.put(state.MakeKey(state.ConfigMaps, "default", name), map[string]any{
		"data": map[string]any{fmt.Sprintf("k%d", n.w.rng.IntN(3)): fmt.Sprint(n.w.rng.IntN(1000))},
	})
}

func podTemplate(w *World) map[string]any {
	image := "web"
	if w.rng.IntN(12) == 0 {
		image = "crash"
	}
	return map[string]any{"containers": []any{map[string]any{
		"name": "app", "image": image, "command": []any{"run", fmt.Sprint(w.rng.IntN(3))},
		"resources": map[string]any{"requests": map[string]any{"cpu": fmt.Sprintf("%dm", 50+50*w.rng.IntN(4)), "memory": "32Mi"}},
	}}}
}

func (n *Node) putDeployment(name string) {
	n.put(state.MakeKey(state.Deployments, "default", name), map[string]any{"spec": map[string]any{
		"replicas": int64(1 + n.w.rng.IntN(4)),
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": name}}, "spec": podTemplate(n.w)},
	}})
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
		n.put(key, map[string]any{"spec": podTemplate(n.w)})
	}
}

func (n *Node) remove(key state.Key) {
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

func (n *Node) cordon(name string, on bool) {
	key := state.MakeKey(state.Nodes, "", name)
	if n.seen[key].Live() != nil {
		n.put(key, map[string]any{"spec": map[string]any{"unschedulable": on}})
	}
}

// ---- faults

// fault breaks something, or lets something broken recover.
func (w *World) fault() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch k := w.rng.IntN(100); {
	case k < 18:
		w.net.partition()
	case k < 24:
		w.net.oneWay()
	case k < 40:
		w.net.heal()
	case k < 52:
		w.crash(n, false)
	case k < 64:
		w.crash(n, true)
	case k < 80:
		w.recover()
	case k < 86:
		w.pause(n)
	case k < 93:
		w.killContainer(n)
	case k < 97:
		w.runtimeDown(n)
	default:
		w.loseDisk(n)
	}
}

// crash ends a daemon; with power also its containers. What its disk had not
// synced is gone.
func (w *World) crash(n *Node, power bool) {
	if !n.up {
		return
	}
	n.up = false
	n.boot++
	if power {
		w.Counts.PowerCuts++
		n.host.Crash(w.now)
	} else {
		w.Counts.Crashes++
		n.host.CrashDaemon(w.now)
	}
	for _, other := range w.nodes {
		if other != n {
			w.net.cut(n, other)
		}
	}
	w.ledger.Survived(n.name, n.disk.record)
}

func (w *World) recover() {
	for _, n := range w.nodes {
		if !n.up && !n.rejoining {
			n.start()
			return
		}
	}
}

// pause stops a daemon for a while, as SIGSTOP does.
func (w *World) pause(n *Node) {
	if !n.up || n.paused {
		return
	}
	w.Counts.Pauses++
	n.paused = true
	boot := n.boot
	w.after(time.Duration(w.rng.Int64N(int64(8*time.Second))), func() {
		if n.boot == boot && n.paused {
			n.resume()
		}
	})
}

func (n *Node) resume() {
	n.paused = false
	late := n.backlog
	n.backlog = nil
	for _, do := range late {
		do()
	}
}

func (w *World) killContainer(n *Node) {
	for _, p := range n.host.Statuses(w.now) {
		for _, c := range p.Containers {
			if n.host.Kill(w.now, p.ID, c.Name) {
				w.Counts.Kills++
				return
			}
		}
	}
}

func (w *World) runtimeDown(n *Node) {
	if !n.up || n.down != "" {
		return
	}
	w.Counts.RuntimeDowns++
	n.setRuntime("the runtime does not answer")
	w.after(time.Duration(w.rng.Int64N(int64(5*time.Second))), func() { n.setRuntime("") })
}

func (n *Node) setRuntime(down string) {
	n.down = down
	n.host.SetDown(down != "")
	n.guarded(n.boot, n.tellHost)
}

// loseDisk burns a disk; the node joins again under its name.
func (w *World) loseDisk(n *Node) {
	if n.index == 0 || n.rejoining || w.cfg.Nodes < 3 {
		return
	}
	w.crash(n, true)
	w.Counts.DiskLosts++
	w.ledger.DiskLost(n.name)
	n.rejoining = true
	w.rejoin(n)
}

// calm ends every fault for good.
func (w *World) calm() {
	w.cfg.Loss, w.cfg.Duplicate = 0, 0
	w.net.heal()
	for _, n := range w.nodes {
		if n.down != "" {
			n.setRuntime("")
		}
		if n.paused {
			n.resume()
		}
		if !n.up && !n.rejoining {
			n.start()
		}
	}
	// What a user does after the storm: no node is left cordoned.
	w.Run(12 * time.Second)
	for _, n := range w.nodes {
		if n.rejoining && !n.up {
			n.rejoining = false
			w.rejoin(n)
		}
	}
	w.Run(12 * time.Second)
	for _, n := range w.nodes {
		if n.up {
			n.putNodeObject()
		}
	}
	w.Run(2 * time.Second)
	for _, n := range w.nodes {
		if n.up {
			n.cordon(n.name, false)
		}
	}
}

func (n *Node) putNodeObject() {
	if n.seen[state.MakeKey(state.Nodes, "", n.name)].Live() == nil {
		n.ask(nodeObject(n), func(core.Ack) {})
	}
}

// ---- verdicts

func (w *World) replicas() []check.Replica {
	var all []check.Replica
	for _, n := range w.nodes {
		if n.up {
			all = append(all, check.Replica{Node: n.name, Records: n.seen, Pods: n.host.Statuses(w.now)})
		}
	}
	return all
}

func (w *World) eventually() {
	replicas := w.replicas()
	if len(replicas) != len(w.nodes) {
		w.violate("world: %d of %d nodes are up after the calm", len(replicas), len(w.nodes))
	}
	w.bad = append(w.bad, check.Equal(replicas)...)
	w.bad = append(w.bad, check.ExactlyOnce(replicas, w.fits(replicas))...)
	for _, n := range w.nodes {
		w.ledger.Survived(n.name, n.disk.record)
	}
}

// fits reports whether the cluster has ample room for everything that is wanted
// (half of it, so that packing is no question), and nothing crashes by itself.
func (w *World) fits(replicas []check.Replica) bool {
	wanted := int64(0)
	for key, rec := range replicas[0].Records {
		if r := key.Resource(); r != state.Deployments && r != state.Pods {
			continue
		}
		workload, err := state.DecodeWorkload(key, rec)
		if err != nil || workload == nil {
			continue
		}
		wanted += int64(workload.Replicas) * state.Requests(&workload.Template.Spec).CPU
		for _, c := range workload.Template.Spec.Containers {
			if c.Image == "crash" {
				return false
			}
		}
	}
	return 2*wanted <= room.CPU*int64(len(w.nodes))
}

func (w *World) deleteAll() {
	n := w.nodes[0]
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if r := key.Resource(); r == state.Deployments || r == state.Pods {
			n.remove(key)
		}
	}
}

func (w *World) finally() {
	w.bad = append(w.bad, check.Equal(w.replicas())...)
	w.bad = append(w.bad, check.NothingLeaked(w.replicas())...)
}
