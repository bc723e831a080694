package testnet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Dump describes every node of the world, for one who looks into a broken
// history.
func (w *World) Dump() string {
	var b strings.Builder
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "%s up=%v paused=%v rejoining=%v boot=%d records=%d allowed=%d peer=%s", n.name, n.up, n.paused, n.rejoining, n.boot, len(n.seen), len(n.allowed), n.peer)
		if n.up {
			b.WriteString(n.beliefs())
			a := n.core.Accounts()
			h := a.Context.Hash()
			fmt.Fprintf(&b, "\n    replica %s held=%v context %x %v floor %v %+v", a.Replica, a.Held, h[:4], a.Context.Contiguous(), a.Floor, a.Counters)
		}
		b.WriteByte('\n')
		for _, key := range slices.Sorted(maps.Keys(n.why)) {
			if n.seen[key].Live() == nil {
				continue
			}
			for _, slot := range n.why[key].Slots {
				fmt.Fprintf(&b, "    %s slot %d: home %v stand-in %v run %v: %s\n", key, slot.Slot.ID.Index, slot.Slot.Home, slot.Slot.StandIn, slot.Slot.Run, strings.Join(slot.Reasons, "; "))
			}
		}
	}
	return b.String()
}

// beliefs lists what a node holds of each member, and since when.
func (n *Node) beliefs() string {
	var b strings.Builder
	for _, m := range n.core.View().Members {
		fmt.Fprintf(&b, " %s:%s(%v)", m.Name, m.State, (n.w.now - m.Since).Round(time.Millisecond))
	}
	return b.String()
}
