package testnet

import (
	"fmt"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/runtime"
	"holon/testnet/check"
)

// ---- clients of StatefulSets and DaemonSets

// operateSets performs one random operation on one of them.
func (n *Node) operateSets() {
	rng := n.w.rng
	set := state.MakeKey(state.StatefulSets, "default", fmt.Sprintf("s%d", rng.IntN(3)))
	daemon := state.MakeKey(state.DaemonSets, "default", fmt.Sprintf("a%d", rng.IntN(2)))
	switch k := rng.IntN(20); {
	case k < 7:
		n.putSet(set)
	case k < 11:
		if n.seen[set].Live() != nil {
			n.put(set, map[string]any{"spec": map[string]any{"replicas": int64(rng.IntN(5))}})
		}
	case k < 12:
		n.remove(set)
	case k < 16:
		n.putDaemon(daemon)
	case k < 17:
		n.remove(daemon)
	default:
		key := state.MakeKey(state.Nodes, "", n.w.nodes[rng.IntN(len(n.w.nodes))].name)
		if n.seen[key].Live() != nil {
			n.w.Counts.Relabels++
			n.put(key, map[string]any{"metadata": map[string]any{"labels": map[string]any{"sim": fmt.Sprint(rng.IntN(2))}}})
		}
	}
}

func templateOf(name string, w *World) map[string]any {
	return map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": name}}, "spec": podTemplate(w, "")}
}

func (n *Node) putSet(key state.Key) {
	rng := n.w.rng
	_, _, name := key.Split()
	spec := map[string]any{"replicas": int64(1 + rng.IntN(4)), "template": templateOf(name, n.w), "podManagementPolicy": "OrderedReady"}
	if rng.IntN(3) == 0 {
		spec["podManagementPolicy"] = "Parallel"
	}
	switch rng.IntN(4) {
	case 0:
		spec["updateStrategy"] = map[string]any{"type": "OnDelete"}
	case 1:
		spec["updateStrategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"partition": int64(rng.IntN(3))}}
	default:
		spec["updateStrategy"] = map[string]any{"type": "RollingUpdate"}
	}
	if rng.IntN(4) == 0 {
		spec["ordinals"] = map[string]any{"start": int64(rng.IntN(3))}
	}
	standIn := "never"
	if rng.IntN(3) == 0 {
		standIn = "allow"
	}
	n.put(key, map[string]any{"metadata": map[string]any{"annotations": map[string]any{state.StandInAnnotation: standIn}}, "spec": spec})
}

func (n *Node) putDaemon(key state.Key) {
	rng := n.w.rng
	_, _, name := key.Split()
	template := templateOf(name, n.w)
	if rng.IntN(3) == 0 {
		template["spec"].(map[string]any)["nodeSelector"] = map[string]any{"sim": "1"}
	}
	strategy := map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": int64(1 + rng.IntN(2))}}
	if rng.IntN(3) == 0 {
		strategy = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": int64(0), "maxSurge": int64(1)}}
	}
	n.put(key, map[string]any{"spec": map[string]any{"template": template, "updateStrategy": strategy}})
}

// ---- rules

// auditFirstHome judges a slot that this node has given its first home: in an ordered
// set those below it were ready, as far as this node could see. Of its own runs it may
// have learned more since.
func (n *Node) auditFirstHome(s *state.Slot) {
	wl, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	if err != nil || wl == nil || wl.UID != s.ID.Workload || !wl.InOrder {
		return
	}
	n.w.Counts.OrderedStarts++
	for i := wl.First; i < s.ID.Index; i++ {
		key := state.SlotKey(wl.Namespace, state.SlotID{Workload: wl.UID, Index: i})
		below, ok, err := state.DecodeSlot(key, n.newest[key])
		if err != nil || !ok || below.Home.Node == "" {
			n.w.violate("anytime: %s starts slot %s and slot %d has never been placed", n.name, s.ID, i)
		} else if below.Home.Node != n.name && below.StandIn.Node != n.name && !n.hasRun(below.ID) && !n.readyIn(&below) {
			n.w.violate("anytime: %s starts slot %s and slot %d is not ready", n.name, s.ID, i)
		}
	}
}

// hasRun reports whether this node says that it has a run of a slot, perhaps as the
// stand-in that it was when the plan was made: one plan may move that slot and place another.
func (n *Node) hasRun(slot state.SlotID) bool {
	return slices.ContainsFunc(n.core.View().Members, func(m core.MemberView) bool {
		return m.Name == n.name && m.Status != nil && slices.ContainsFunc(m.Status.Runs, func(r state.RunStatus) bool { return r.Slot == slot })
	})
}

// readyIn reports whether this node sees a ready run of a slot, of any revision: the same
// plan may have given it another one.
func (n *Node) readyIn(s *state.Slot) bool {
	return slices.ContainsFunc(n.core.View().Members, func(m core.MemberView) bool {
		return m.Status != nil && slices.ContainsFunc(m.Status.Runs, func(r state.RunStatus) bool { return r.Slot == s.ID && r.Ready })
	})
}

// auditStart judges the start of a run of a StatefulSet or a DaemonSet by what this node
// knows: nobody but the home starts it, unless stand-ins are allowed; nobody starts what
// a member in sight says it runs; a daemon runs on its own node.
func (n *Node) auditStart(o core.Order, s *state.Slot) {
	wl, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	if err != nil || wl == nil {
		return
	}
	if wl.Daemon() && (s.Home.Node != n.name || s.ID.Index != state.DaemonIndex(n.name)) {
		n.w.violate("anytime: %s starts slot %s of a DaemonSet, which is of %s", n.name, s.ID, s.Home.Node)
	}
	if !wl.Set() || n.hosts(o.Run) {
		return
	}
	if s.Home.Node != n.name && !wl.StandIn && !wl.Keeps() { // with claims: where the data is
		n.w.violate("anytime: %s starts slot %s of a StatefulSet without a stand-in, whose home is %s", n.name, s.ID, s.Home.Node)
	}
	for _, m := range n.core.View().Members {
		if m.Name == n.name || m.State != "alive" || m.Status == nil {
			continue
		}
		for i := range m.Status.Runs {
			if r := &m.Status.Runs[i]; r.Slot == s.ID && r.Refused == "" {
				n.w.violate("anytime: %s starts slot %s of a StatefulSet while %s, in sight, says that it has it", n.name, s.ID, m.Name)
			}
		}
	}
}

func (n *Node) hosts(run runtime.RunID) bool {
	return slices.ContainsFunc(n.host.Statuses(n.w.now), func(p runtime.Status) bool { return p.ID == run })
}

// twiceMax is for how long a slot of a StatefulSet may run on two nodes that see each
// other: after a split, until the records have met and one has stopped.
const twiceMax = 10 * time.Second

// auditTwice looks for slots of StatefulSets that run here and on another node although
// the two have seen each other, both able to stop it, for twiceMax without a break.
func (n *Node) auditTwice(pods []runtime.Status) {
	w := n.w
	clear(n.sets)
	for i := range pods {
		id, err := state.ParseSlotID(pods[i].Slot)
		if err != nil || !w.sets[id.Workload] || !alive(&pods[i]) {
			continue
		}
		n.sets[id] = true
		for _, other := range w.nodes {
			pair := twicePair{id, min(n.name, other.name), max(n.name, other.name)}
			switch {
			case other == n:
			case !other.sets[id] || !n.sees(other) || !other.sees(n):
				delete(w.twice, pair)
			case w.twice[pair] == 0:
				w.twice[pair] = w.now
				w.Counts.SetTwice++
			case w.now-w.twice[pair] > twiceMax:
				w.violate("anytime: slot %s of a StatefulSet runs on %s and on %s, which have seen each other for %v", id, n.name, other.name, w.now-w.twice[pair])
			}
		}
	}
}

type twicePair struct {
	slot state.SlotID
	a, b string
}

// sees reports whether this node works and believes that another one is alive.
func (n *Node) sees(other *Node) bool {
	return n.up && !n.paused && n.down == "" && slices.ContainsFunc(n.core.View().Members, func(m core.MemberView) bool {
		return m.Name == other.name && m.State == "alive"
	})
}

// wantsHere reports whether a slot of a DaemonSet is wanted on this node, by its own
// records.
func (n *Node) wantsHere(wl *state.Workload) bool {
	key := state.MakeKey(state.Nodes, "", n.name)
	return check.Hosts(wl, n.newest[key])
}

// crowded reports whether a node has no room for its pod of a DaemonSet beside what runs
// there: nobody is stopped for it, and no other node is asked.
func crowded(wl *state.Workload, replicas []check.Replica) bool {
	need := state.Requests(&wl.Template.Spec).CPU
	return slices.ContainsFunc(replicas, func(r check.Replica) bool {
		used, here := int64(0), false
		for i := range r.Pods {
			used += r.Pods[i].Requests.CPU
			id, _ := state.ParseSlotID(r.Pods[i].Slot)
			here = here || id.Workload == wl.UID
		}
		return !here && used+need > room.CPU
	})
}
