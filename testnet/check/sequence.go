package check

import (
	"fmt"
	"strings"

	"holon/runtime"
)

// The histories name containers by what they are for their pod, since a host knows no
// more of them than that.
const (
	InitPrefix    = "init-"
	SidecarPrefix = "side-"
)

// Sequence reports containers of a pod that have begun before their turn: before every
// init container in front of them has ended well, and every sidecar has begun. It goes by
// the order in which the host lists them, and by what the containers have done.
func Sequence(node string, p *runtime.Status) []string {
	blocked := ""
	for i := range p.Containers {
		c := &p.Containers[i]
		begun := c.State != runtime.Created || c.ID != ""
		if begun && blocked != "" {
			return []string{fmt.Sprintf("anytime: %s of pod %s on %s has begun before %s", c.Name, p.Name, node, blocked)}
		}
		switch {
		case strings.HasPrefix(c.Name, InitPrefix) && (c.State != runtime.Exited || c.ExitCode != 0):
			blocked = c.Name + " has ended well"
		case strings.HasPrefix(c.Name, SidecarPrefix) && !begun:
			blocked = c.Name
		}
	}
	return nil
}

// Deserted reports a pod whose main containers have ended for good, as its kept log says,
// and in which a sidecar runs on.
func Deserted(replicas []Replica) (bad []string) {
	for _, r := range replicas {
		for i := range r.Pods {
			p := &r.Pods[i]
			mains, ended, sidecars := 0, 0, 0
			for j := range p.Containers {
				switch c := &p.Containers[j]; {
				case strings.HasPrefix(c.Name, SidecarPrefix) && c.State == runtime.Running:
					sidecars++
				case strings.HasPrefix(c.Name, SidecarPrefix) || strings.HasPrefix(c.Name, InitPrefix):
				default:
					if mains++; c.State == runtime.Exited && c.ExitCode == 0 {
						ended++
					}
				}
			}
			if mains == ended && sidecars > 0 {
				bad = append(bad, fmt.Sprintf("eventually: sidecars of pod %s on %s run on though the others have ended", p.Name, r.Node))
			}
		}
	}
	return bad
}
