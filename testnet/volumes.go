package testnet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/runtime"
)

// ---- clients of claims

// operateVolumes does something to a claim, to somebody who uses one, or to a volume.
func (n *Node) operateVolumes() {
	rng := n.w.rng
	name := fmt.Sprintf("v%d", rng.IntN(3))
	claim, pod := state.MakeKey(state.Claims, "default", name), state.MakeKey(state.Pods, "default", name)
	shop, set := state.MakeKey(state.Deployments, "default", name), state.MakeKey(state.StatefulSets, "default", name)
	switch k := rng.IntN(30); {
	case k < 6:
		n.putClaim(claim)
	case k < 11:
		if n.seen[pod].Live() == nil {
			n.put(pod, map[string]any{"spec": claiming(name)})
		}
	case k < 13:
		n.put(shop, map[string]any{"spec": map[string]any{"replicas": int64(1 + rng.IntN(2)), "template": map[string]any{"spec": claiming(name)}}})
	case k < 19:
		n.putClaimingSet(set)
	case k < 20:
		n.remove(claim)
	case k < 22:
		n.remove([]state.Key{pod, shop, set}[rng.IntN(3)])
	case k < 24:
		n.removeSomeClaim()
	case k < 27:
		n.abandonSome()
	case k < 28:
		n.removeUnused()
	default:
		n.evictSlotPod()
	}
}

func (n *Node) putClaim(key state.Key) {
	n.put(key, map[string]any{"spec": map[string]any{
		"accessModes": []any{"ReadWriteOnce"}, "storageClassName": state.LocalClass, "volumeMode": "Filesystem",
		"resources": map[string]any{"requests": map[string]any{"storage": fmt.Sprintf("%dGi", 1+n.w.rng.IntN(2))}},
	}})
}

// claiming is the spec of a pod with a claim, so small that there is room for it wherever
// its data is.
func claiming(claim string) map[string]any {
	return map[string]any{
		"containers": []any{map[string]any{"name": "app", "image": "web", "resources": map[string]any{"requests": map[string]any{"cpu": "10m"}}}},
		"volumes":    []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": claim}}},
	}
}

func (n *Node) putClaimingSet(key state.Key) {
	rng := n.w.rng
	if n.seen[key].Live() != nil {
		n.put(key, map[string]any{"spec": map[string]any{"replicas": int64(rng.IntN(4))}})
		return
	}
	spec := claiming("")
	delete(spec, "volumes")
	n.put(key, map[string]any{"spec": map[string]any{
		"replicas": int64(1 + rng.IntN(3)), "podManagementPolicy": []string{"OrderedReady", "Parallel"}[rng.IntN(2)],
		"template": map[string]any{"spec": spec}, "updateStrategy": map[string]any{"type": "RollingUpdate"},
		"volumeClaimTemplates": []any{map[string]any{"metadata": map[string]any{"name": "data"}, "spec": map[string]any{
			"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
		}}},
	}})
}

// someClaim is one that this node knows.
func (n *Node) someClaim() (state.Key, bool) {
	claims := slices.DeleteFunc(slices.Sorted(maps.Keys(n.seen)), func(key state.Key) bool {
		return key.Resource() != state.Claims || n.seen[key].Live() == nil
	})
	if len(claims) == 0 {
		return "", false
	}
	return claims[n.w.rng.IntN(len(claims))], true
}

func (n *Node) removeSomeClaim() {
	if key, ok := n.someClaim(); ok {
		n.remove(key)
	}
}

// abandonSome gives the data of a claim up, sometimes though its node is there.
func (n *Node) abandonSome() {
	key, ok := n.someClaim()
	if !ok {
		return
	}
	n.ask(core.AbandonVolume{Claim: key, Force: n.w.rng.IntN(3) == 0}, func(ack core.Ack) {
		if ack.Err == nil {
			n.w.Counts.Abandoned++
		}
	})
}

// removeUnused does what a user does who has looked at `holon volume ls`.
func (n *Node) removeUnused() {
	n.ask(core.ListVolumes{}, func(ack core.Ack) {
		for _, v := range ack.Volumes {
			if v.Node == n.name && v.State == core.VolumeUnused {
				n.w.Counts.VolumesUnused++
				n.w.unwanted[v.Name] = true
				n.ask(core.RemoveVolume{Name: v.Name}, func(core.Ack) {})
				return
			}
		}
	})
}

// claimTheirs makes the claims that are missing, as their users do once all is calm.
func (w *World) claimTheirs() {
	n := w.nodes[0]
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if !state.IsWorkload(key.Resource()) {
			continue
		}
		wl, err := state.DecodeWorkload(key, n.seen[key])
		if err != nil || wl == nil || wl.Set() {
			continue
		}
		for _, use := range wl.Claims(wl.Template, 0) {
			if n.seen[use.Claim].Live() == nil {
				n.putClaim(use.Claim)
			}
		}
	}
}

// ---- rules

// auditClaims judges an order to start something with claims: the data of each is here by
// what this node knows, or the pod that is here has it already.
func (n *Node) auditClaims(o core.Order) {
	for volume, kept := range runtime.ClaimsOf(o.Spec.Volumes) {
		n.w.Counts.ClaimStarts++
		if b, claim, known := n.bindingOf(o.Spec, volume); known && (b.Node != n.name || b.Volume != kept) && !n.holdsDead(o.Run, kept, claim) {
			n.w.violate("anytime: %s starts run %s with volume %s, and claim %s is bound to %s on %s", n.name, o.Run, kept, claim.Key, b.Volume, b.Node)
		}
	}
}

// holdsDead reports whether a pod is here with a volume of a claim that is gone: it goes
// on with it whatever becomes of the name.
func (n *Node) holdsDead(run runtime.RunID, kept string, claim *state.Claim) bool {
	return !claim.Had(kept) && slices.ContainsFunc(n.host.Statuses(n.w.now), func(p runtime.Status) bool {
		return p.ID == run && runtime.InUse(kept, []runtime.Status{p})
	}) && (claim.Node == "" || claim.Node == n.name)
}

// lacks reports whether the data of a claim of a run is not here any more, or whether its
// pod, which may be older than the spec, has other data, or waits for a claim and has not
// begun.
func (n *Node) lacks(spec *runtime.Spec, run runtime.RunID) bool {
	if runtime.ClaimsOf(spec.Volumes) != nil && !n.hosts(run) {
		return true
	}
	other := func(claims map[string]string) bool {
		for volume, kept := range claims {
			if b, _, known := n.bindingOf(spec, volume); known && (b.Node != n.name || b.Volume != kept) {
				return true
			}
		}
		return false
	}
	return other(runtime.ClaimsOf(spec.Volumes)) || slices.ContainsFunc(n.host.Statuses(n.w.now), func(p runtime.Status) bool {
		return p.ID == run && other(p.Claims)
	})
}

// bindingOf is what this node knows of the claim behind a volume of a run; false: it
// knows no such claim.
func (n *Node) bindingOf(spec *runtime.Spec, volume string) (b state.Binding, claim *state.Claim, known bool) {
	id, err := state.ParseSlotID(spec.Slot)
	if err != nil {
		return b, nil, false
	}
	for key, rec := range n.newest {
		if _, namespace, _ := key.Split(); !state.IsWorkload(key.Resource()) || namespace != spec.Namespace || rec.Live() == nil {
			continue
		}
		wl, err := state.DecodeWorkload(key, rec)
		if err != nil || wl == nil || wl.UID != id.Workload {
			continue
		}
		for _, use := range wl.Claims(wl.Template, id.Index) {
			if use.Volume != volume {
				continue
			}
			claim, err := state.DecodeClaim(use.Claim, n.newest[use.Claim])
			if err != nil || claim == nil {
				return b, nil, false
			}
			return claim.Binding, claim, true
		}
	}
	return b, nil, false
}

// auditDiscard judges the removal of a volume: a user has deleted its claim, or has seen
// that it is unused.
func (n *Node) auditDiscard(o core.Order) {
	w := n.w
	w.Counts.VolumesRemoved++
	if uid, _ := state.ClaimOfVolume(o.Volume); !w.deleted(uid) && !w.unwanted[o.Volume] {
		w.violate("anytime: %s removes volume %s, whose claim nobody has deleted", n.name, o.Volume)
	}
}

// deleted reports whether a user has deleted a claim or a Snapshot, or what it had lost its
// name to.
func (w *World) deleted(uid crdt.UID) bool {
	deleted := w.forgotten[uid]
	for other := range w.forgotten {
		deleted = deleted || w.nameLost[uid] && w.claimUIDs[other] == w.claimUIDs[uid]
	}
	return deleted
}

// noteClaims remembers which objects ever bore the name of a claim or a Snapshot, and who lost
// it in a merge.
func (w *World) noteClaims(key state.Key, rec *crdt.Record) {
	for uid, o := range crdt.Join(rec, nil).Objects {
		w.claimUIDs[uid] = key
		if o.Dead != nil && !w.forgotten[uid] {
			w.nameLost[uid] = true
		}
	}
}

// forget remembers what a user deletes with a claim or a Snapshot.
func (w *World) forget(rec *crdt.Record) {
	for uid, o := range rec.Objects {
		if o.Dead == nil {
			w.forgotten[uid] = true
		}
	}
}

// awayMax is for how long a run may go on where the data of its claims is known not to be:
// until it has stopped.
const awayMax = 10 * time.Second

type awayRun struct {
	node string
	run  runtime.RunID
}

// auditAway looks for pods that go on here although this node knows that the data of
// their claims is elsewhere.
func (n *Node) auditAway(pods []runtime.Status) {
	w := n.w
	for i := range pods {
		p, at := &pods[i], awayRun{n.name, pods[i].ID}
		away := false
		for volume, kept := range p.Claims {
			b, claim, known := n.bindingOf(&runtime.Spec{Slot: p.Slot, Namespace: p.Namespace}, volume)
			away = away || known && (b.Node != "" && b.Node != n.name || claim.Had(kept) && b.Volume != kept)
		}
		switch {
		case !away || !alive(p) || n.down != "":
			delete(w.away, at)
		case w.away[at] == 0:
			w.away[at] = w.now
			w.Counts.RunsAway++
		case w.now-w.away[at] > awayMax:
			w.violate("anytime: run %s goes on on %s %v after the node knows that its data is elsewhere", p.ID, n.name, w.now-w.away[at])
		}
	}
}

// forgetClaims deletes what is left of claims and Snapshots, at the very end.
func (w *World) forgetClaims() {
	n := w.nodes[0]
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if r := key.Resource(); r == state.Claims || r == state.Snapshots {
			n.remove(key)
		}
	}
}

// noVolumes looks for volumes that outlived their claims.
func (w *World) noVolumes() {
	for _, n := range w.nodes {
		names, _ := n.host.Volumes()
		for _, name := range names {
			uid, _ := state.ClaimOfVolume(name)
			w.violate("finally: %s still keeps volume %s of %s; deleted: %v, its name lost: %v", n.name, name, w.claimUIDs[uid], w.forgotten[uid], w.nameLost[uid])
		}
	}
}
