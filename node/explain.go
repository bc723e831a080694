package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// Why explains a placement from what the core published with its last plan.
func (n *Node) Why(_ context.Context, k api.Key) (api.Why, error) {
	owner := k
	if k.Resource == state.Pods {
		owner = n.ownerOf(k)
	}
	said, ok := n.reasons.Load(state.MakeKey(owner.Resource, owner.Namespace, owner.Name))
	if _, exists := n.cfg.Cache.Get(owner); !ok || !exists {
		return api.Why{}, fmt.Errorf("%w: no workload %s %s/%s", api.ErrNotFound, k.Resource, k.Namespace, k.Name)
	}
	e := said.(core.Explanation)
	_, kind := state.KindOf(owner.Resource)
	order := e.Order()
	why := api.Why{
		Kind: kind, Namespace: owner.Namespace, Name: owner.Name, Node: n.cfg.Identity.Name,
		Scheduler: order[0], Standbys: order[1:], Majority: e.Majority, Slots: []api.WhySlot{},
		Reasons: []string{fmt.Sprintf("%s is first in the workload's rendezvous order over the %d live nodes", order[0], len(order))},
	}
	why.Reasons = append(why.Reasons, unsteady(n.view.Load(), n.now())...)
	why.Reasons = append(why.Reasons, pressed(n.view.Load())...)
	runs := n.runsOf(owner)
	for _, s := range e.Slots {
		why.Slots = append(why.Slots, api.WhySlot{
			Index: s.Slot.ID.Index, Home: s.Slot.Home.Node, Term: s.Slot.Home.Term, StandIn: s.StandIn, Reasons: s.Reasons, Runs: runs[s.Slot.ID.String()],
		})
	}
	return why, nil
}

// ownerOf is the workload behind a derived pod, or the pod itself.
func (n *Node) ownerOf(k api.Key) api.Key {
	pod, ok := n.cfg.Cache.Get(k)
	if !ok {
		return k
	}
	meta, _ := pod.Value()["metadata"].(map[string]any)
	refs, _ := meta["ownerReferences"].([]any)
	for _, ref := range refs {
		if r, ok := ref.(map[string]any); ok {
			name, _ := r["name"].(string)
			switch r["kind"] {
			case "Job":
				return api.Key{Resource: state.Jobs, Namespace: k.Namespace, Name: name}
			case "StatefulSet":
				return api.Key{Resource: state.StatefulSets, Namespace: k.Namespace, Name: name}
			case "DaemonSet":
				return api.Key{Resource: state.DaemonSets, Namespace: k.Namespace, Name: name}
			}
			if cut := strings.LastIndexByte(name, '-'); cut > 0 {
				return api.Key{Resource: state.Deployments, Namespace: k.Namespace, Name: name[:cut]}
			}
		}
	}
	return k
}

// runsOf lists the pods of a workload in words, by slot.
func (n *Node) runsOf(owner api.Key) map[string][]string {
	found := map[string][]string{}
	pods, _ := n.cfg.Cache.List(state.Pods, owner.Namespace)
	for _, pod := range pods {
		if n.ownerOf(pod.Key) != owner {
			continue
		}
		p, err := n.pod(pod.Namespace, pod.Name)
		if err != nil {
			continue
		}
		status, _ := pod.Value()["status"].(map[string]any)
		found[p.slot] = append(found[p.slot], fmt.Sprintf("%s on %s: %s", pod.Name, orNone(p.node), runWords(status)))
	}
	return found
}

// runWords says how a pod is, and of what does not run in it, why.
func runWords(status map[string]any) string {
	text := fmt.Sprint(status["phase"])
	if reason, ok := status["reason"]; ok {
		text += fmt.Sprintf(", %v: %v", reason, status["message"])
	}
	for _, c := range append(list(status["initContainerStatuses"]), list(status["containerStatuses"])...) {
		now, _ := c["state"].(map[string]any)
		before, _ := c["lastState"].(map[string]any)
		words := stateWords(now)
		if now["waiting"] != nil { // of one that runs, what was before explains nothing
			words = append(words, stateWords(before)...)
		}
		if len(words) > 0 {
			text += fmt.Sprintf("; container %v: %s", c["name"], strings.Join(words, ", "))
			if n, ok := c["restartCount"].(int64); ok && n > 0 {
				text += fmt.Sprintf(", restarts: %d", n)
			}
		}
	}
	return text
}

// stateWords says why a container does not run; nothing of one that runs or has
// done its work.
func stateWords(of map[string]any) []string {
	var words []string
	for _, kind := range []string{"waiting", "terminated"} {
		s, ok := of[kind].(map[string]any)
		code, exited := s["exitCode"].(int64)
		if !ok || exited && code == 0 && s["reason"] == "Completed" {
			continue
		}
		word := fmt.Sprint(s["reason"])
		if exited {
			word += fmt.Sprintf(" (exit code %d)", code)
		}
		if message, ok := s["message"].(string); ok && message != "" {
			word += ": " + strings.ReplaceAll(strings.TrimSpace(message), "\n", "; ")
		}
		words = append(words, word)
	}
	return words
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

// Status is this node's view of the cluster, with the sentences an operator
// should read first.
func (n *Node) Status(context.Context) (api.ClusterStatus, error) {
	v := n.view.Load()
	id := n.cfg.Identity
	s := api.ClusterStatus{Cluster: id.Cluster, Node: id.Name, Peer: string(id.Peer()), Majority: v.Majority, Counted: v.Counted, Reached: v.CountedThere, Awaited: v.Awaited, Records: v.Records, Members: []api.MemberInfo{}}
	n.host.mu.Lock()
	s.Runtime = strings.TrimSpace(n.host.current.Runtime.Name + " " + n.host.current.Runtime.Version)
	notes := slices.Clone(n.host.current.Runtime.Notes)
	n.host.mu.Unlock()
	lost := []string{}
	for _, m := range v.Members {
		info := api.MemberInfo{Name: m.Name, Peer: string(m.Peer), State: m.State, Since: (n.now() - m.Since).Round(time.Second).String(), Addrs: m.Addrs}
		if m.Status != nil {
			info.Runtime, info.Server = m.Status.Runtime, m.Status.Server
		}
		if m.State == "unreachable" {
			lost = append(lost, m.Name)
		}
		s.Members = append(s.Members, info)
	}
	s.Sentences = slices.Concat(sentences(v, lost, n.disk.failing.Load()), unsteady(v, n.now()), pressed(v), clockOff(v), otherProfiles(v, id.Name), strayCopies(v), notes)
	return s, nil
}

// ClusterTime is what most clocks in reach say.
func (n *Node) ClusterTime() (time.Time, bool) { return n.view.Load().ClusterTime(n.now()) }

// Unheard lists the members that are out of reach.
func (n *Node) Unheard() (list []api.Unheard) {
	for _, m := range n.view.Load().Members {
		if m.State == "unreachable" {
			list = append(list, api.Unheard{Node: m.Name, For: n.now() - m.Since})
		}
	}
	return list
}

// unsteady says who gets new pods only where nobody else fits, and for how long.
func unsteady(v *core.View, now core.Instant) (say []string) {
	for _, m := range v.Members {
		if left := m.Unsteady - now; left > 0 && m.State != "left" {
			say = append(say, fmt.Sprintf("%s comes and goes: last choice for new pods for %v", m.Name, left.Round(time.Second)))
		}
	}
	return say
}

// pressed says who lacks memory or disk, in its own words.
func pressed(v *core.View) (say []string) {
	for _, m := range v.Members {
		if m.Status == nil || !m.InReach() {
			continue
		}
		for _, c := range m.Status.Conditions {
			if c.True && c.Type != string(corev1.NodeReady) {
				say = append(say, fmt.Sprintf("%s says %s: %s", m.Name, c.Type, c.Message))
			}
		}
	}
	return say
}

// clockOff says that this node's clock is wrong, and what that means.
func clockOff(v *core.View) []string {
	if v.ClockOff == 0 {
		return nil
	}
	way := "ahead of"
	if v.ClockOff < 0 {
		way = "behind"
	}
	return []string{fmt.Sprintf("This node's clock is %v %s what most members' clocks say. CronJobs go by the others; times that this node writes into objects and logs are off. Set it, or let NTP do so.", v.ClockOff.Abs(), way)}
}

// otherProfiles says who judges silence otherwise than this node.
func otherProfiles(v *core.View, self string) []string {
	own, others := "", []string{}
	for _, m := range v.Members {
		if m.Name == self && m.Status != nil {
			own = m.Status.Profile
		}
	}
	for _, m := range v.Members {
		if m.State != "left" && m.Status != nil && m.Status.Profile != "" && m.Status.Profile != own {
			others = append(others, fmt.Sprintf("%s (%s)", m.Name, m.Status.Profile))
		}
	}
	if own == "" || len(others) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("This node has the profile %s, others have another one: %s. Sides of a split are noticed at different times then: give all nodes the same `holon up --profile`.", own, strings.Join(others, ", "))}
}

// strayCopies says who keeps copies that nobody will ask for.
func strayCopies(v *core.View) (say []string) {
	for i := 0; i < len(v.Strays); {
		first, count := v.Strays[i], 0
		for ; i < len(v.Strays) && v.Strays[i].Node == first.Node; i++ {
			count++
		}
		say = append(say, fmt.Sprintf("%s keeps what nobody here knows a Snapshot of: %d in %s/ of its data directory, such as %s%s. It stays, as it may be all that is left. Who does not want it stops the node and removes the file.", first.Node, count, SnapshotsDir, first.UID, copySuffix))
	}
	return say
}

func sentences(v *core.View, lost []string, disk *string) []string {
	say := []string{}
	if disk != nil {
		say = append(say, "This node cannot store anything, so it acknowledges no write: "+*disk)
	}
	switch {
	case len(lost) == 0:
		say = append(say, "Every member is reachable.")
	case v.Majority && v.Braked:
		say = append(say, fmt.Sprintf("Out of reach: %s. More than half of the members are here: stand-ins run at once.", strings.Join(lost, ", ")))
	case v.Majority:
		say = append(say, fmt.Sprintf("Out of reach: %s. More than half of the members are here: stand-ins run at once, homes move if they stay away for 5 minutes, or for as long as the workload says.", strings.Join(lost, ", ")))
	default:
		say = append(say, fmt.Sprintf("Out of reach: %s. Half of the members or fewer are here: writes are taken, stand-ins run, and no home moves until the others are back.", strings.Join(lost, ", ")))
	}
	if v.Braked {
		say = append(say, "Many members vanished at once: no home moves until nobody has come or gone for 2 minutes.")
	}
	if len(v.Awaited) > 0 {
		say = append(say, fmt.Sprintf("Not counted yet, until more than half of those who count are known to agree: %s. If those who are missing are gone for good: `holon node forget NODE --force`.", strings.Join(v.Awaited, ", ")))
	}
	if h := v.Held; h != nil {
		say = append(say, fmt.Sprintf("Peer %s says that %d of the %d objects here were deleted while this node was away. Nothing is dropped, and nothing is taken from that peer, until you run `holon sync confirm` here; what is dropped is put aside.", h.Peer, h.Objects, h.Of))
	}
	if n := len(v.Aside); n > 0 {
		last := v.Aside[n-1]
		say = append(say, fmt.Sprintf("%d objects were put aside (kept for 30 days of uptime), the last one %s %v ago: %s", n, last.Key, last.Age.Round(time.Second), last.Why))
	}
	if v.Draining {
		say = append(say, fmt.Sprintf("This node is being drained: %d runs are left.", v.Runs))
	}
	return say
}
