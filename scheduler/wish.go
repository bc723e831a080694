package scheduler

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// wishes are what would be good about a node for one workload, in the units of each
// kind of wish.
type wishes struct {
	liked   int64 // weights of the preferred node affinity
	avoided int64 // PreferNoSchedule taints that are not tolerated
	crowded int64 // by the spread constraints with ScheduleAnyway; changes with each slot
	good    int64 // about the pods around; changes with each slot
}

// What each kind of wish weighs against the others, as in Kubernetes.
const (
	likedWeight   = 2
	avoidedWeight = 3
	spreadWeight  = 2
	goodWeight    = 2
)

// fullMark is what the best of the fitting nodes gets for one kind of wish.
const fullMark = 100

// weigh gives every fitting node its mark. The marks of one kind go from 0 to
// fullMark, whatever its units, so they depend on who else fits. Whether a node
// refused the slot does not matter here.
func (p *planner) weigh(nodes []candidate) {
	if p.wishes == nil {
		return
	}
	var most wishes
	least := wishes{crowded: math.MaxInt64, good: math.MaxInt64}
	most.good = math.MinInt64
	for i := range nodes {
		w := &p.wishes[i]
		if p.obstacle(i) != "" {
			continue
		}
		if w.crowded = crowding(p.soft, i); w.crowded >= 0 {
			least.crowded = min(least.crowded, w.crowded)
		}
		w.good = p.near.good(i)
		least.good, most.good = min(least.good, w.good), max(most.good, w.good)
		most.liked, most.avoided, most.crowded = max(most.liked, w.liked), max(most.avoided, w.avoided), max(most.crowded, w.crowded)
	}
	for i := range nodes {
		w := &p.wishes[i]
		nodes[i].mark = likedWeight*share(w.liked, most.liked) + avoidedWeight*(fullMark-share(w.avoided, most.avoided)) +
			spreadWeight*sparse(w.crowded, least.crowded, most.crowded) + goodWeight*share(w.good-least.good, most.good-least.good)
	}
}

// sparse is the mark of a node that is crowded so much.
func sparse(crowded, least, most int64) int64 {
	switch {
	case crowded < 0:
		return 0
	case most == 0:
		return fullMark
	}
	return fullMark * (most + least - crowded) / most
}

// share is a part of the greatest one as a mark.
func share(part, most int64) int64 {
	if most == 0 {
		return 0
	}
	return part * fullMark / most
}

// wish notes what of a node never changes while a workload is planned.
func (p *planner) wish(i int, w wishes) {
	if p.wishes == nil {
		p.wishes = make([]wishes, len(p.v.Nodes))
	}
	p.wishes[i] = w
}

// wishesOf judges what of a node never changes while a workload is planned.
func (d *demand) wishesOf(n *Node) wishes {
	w := wishes{liked: d.affinity.likes(n)}
	for _, taint := range n.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule && !tolerates(&d.workload.Template.Spec, taint) {
			w.avoided++
		}
	}
	return w
}
