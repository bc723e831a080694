package testnet

import (
	"fmt"
	"strings"
)

// table shows every pod on every host.
func (w *World) table() string {
	var b strings.Builder
	for _, n := range w.nodes {
		state := "up"
		if !n.up {
			state = "down"
		}
		fmt.Fprintf(&b, "%s %s:", n.name, state)
		for _, p := range n.host.Statuses(w.now) {
			fmt.Fprintf(&b, " %s/%s", p.Slot[max(len(p.Slot)-2, 0):], p.Name)
			for _, c := range p.Containers {
				fmt.Fprintf(&b, "(%s %d)", c.State, c.Attempt)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
