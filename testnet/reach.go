package testnet

import "time"

// believedFor is how long a node may go on believing in a member that it cannot
// reach any more: detection under loss, on a node that was busy itself.
const believedFor = 6 * time.Second

// reach is the world's own truth about whose words could get to whom, and when
// last. What nodes believe is judged by it. Where a link works in one direction
// only, whoever hears rightly believes that the other one is there.
type reach struct {
	w    *World
	last [][]time.Duration // [i][j]: the newest instant of j that i could have heard of
}

func newReach(w *World) reach {
	r := reach{w: w, last: make([][]time.Duration, w.cfg.Nodes)}
	for i := range r.last {
		r.last[i] = make([]time.Duration, w.cfg.Nodes)
	}
	return r
}

// from marks every node to which a frame can get from a now, over any relays. One that is
// paused passes nothing on, but what it is sent waits until it goes on (seed 5852 of the
// histories: a member that came and went meanwhile).
func (r *reach) from(a *Node) []bool {
	found := make([]bool, len(r.w.nodes))
	var visit func(n *Node)
	visit = func(n *Node) {
		found[n.index] = true
		if n.paused {
			return
		}
		for _, next := range r.w.nodes {
			if !found[next.index] && next.up && r.w.net.open(n, next) {
				visit(next)
			}
		}
	}
	if a.up && !a.paused {
		visit(a)
	}
	return found
}

// note is called before every change of who reaches whom. Word of a member
// counts as much as the member: whoever hears k knows what k knew.
func (r *reach) note() {
	to := make([][]bool, len(r.w.nodes))
	for _, a := range r.w.nodes {
		to[a.index] = r.from(a)
	}
	for k := range to {
		for i := range to {
			if !to[k][i] {
				continue
			}
			r.last[i][k] = r.w.now
			for j, known := range r.last[k] {
				r.last[i][j] = max(r.last[i][j], known)
			}
		}
	}
}

// slept says that a node has believed for d what it believed before.
func (r *reach) slept(n *Node, d time.Duration) {
	for i, last := range r.last[n.index] {
		if r.w.now-d-last <= believedFor {
			r.last[n.index][i] = r.w.now
		}
	}
}

// side lists who n hears, or heard of a moment ago, n itself included.
func (r *reach) side(n *Node) []bool {
	r.note()
	side := make([]bool, len(r.w.nodes))
	for i, last := range r.last[n.index] {
		side[i] = i == n.index || r.w.now-last <= believedFor
	}
	return side
}

// heardOf reports whether a word of one of a side, from t on, could have got to n.
func (r *reach) heardOf(n *Node, side []bool, t time.Duration) bool {
	for i, there := range side {
		if there && r.last[n.index][i] >= t {
			return true
		}
	}
	return false
}
