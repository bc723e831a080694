package scheduler

import corev1 "k8s.io/api/core/v1"

// wishes are what would be good about a node for one workload, in the units of each
// kind of wish.
type wishes struct {
	liked   int64 // weights of the preferred node affinity
	avoided int64 // PreferNoSchedule taints that are not tolerated
}

// What each kind of wish weighs against the others, as in Kubernetes.
const (
	likedWeight   = 2
	avoidedWeight = 3
)

// fullMark is what the best of the fitting nodes gets for one kind of wish.
const fullMark = 100

// weigh gives every fitting node its mark. The marks of one kind go from 0 to
// fullMark, whatever its units, so they depend on who else fits. Whether a node
// refused the slot does not matter here.
func (p *planner) weigh(nodes []candidate) {
	if !p.wishful {
		return
	}
	var most wishes
	for i := range nodes {
		if c := &nodes[i]; c.fits() {
			most.liked, most.avoided = max(most.liked, c.wishes.liked), max(most.avoided, c.wishes.avoided)
		}
	}
	for i := range nodes {
		c := &nodes[i]
		c.mark = likedWeight*share(c.wishes.liked, most.liked) + avoidedWeight*(fullMark-share(c.wishes.avoided, most.avoided))
	}
}

// share is a part of the greatest one as a mark.
func share(part, most int64) int64 {
	if most == 0 {
		return 0
	}
	return part * fullMark / most
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
