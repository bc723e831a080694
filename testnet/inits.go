package testnet

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"holon/node/core"
	"holon/runtime"
	"holon/testnet/check"
)

// inits gives a pod init containers, sidecars and hooks. What has one template for all of
// its life always has the same under one name: else a settled conflict would change which
// containers a pod has that runs.
func (w *World) inits(name string, spec map[string]any) {
	main := spec["containers"].([]any)[0].(map[string]any)
	drawn := w.drawn[name]
	if drawn == nil {
		_, job := spec["restartPolicy"]
		drawn = w.drawInits(job)
	}
	if name != "" {
		w.drawn[name] = drawn
	}
	spec["initContainers"] = drawn["initContainers"]
	if hooks, ok := drawn["lifecycle"]; ok {
		main["lifecycle"] = hooks
	}
}

// drawInits draws them. A Job's may not be started again, so each succeeds at once.
func (w *World) drawInits(job bool) map[string]any {
	images := []string{"brief", "fickle"}
	if job {
		images = images[:1]
	}
	var list []any
	for i := range w.rng.IntN(4) {
		c := map[string]any{"name": fmt.Sprintf("%s%d", check.InitPrefix, i), "image": images[w.rng.IntN(len(images))]}
		if w.rng.IntN(2) == 0 {
			c["name"], c["image"], c["restartPolicy"] = fmt.Sprintf("%s%d", check.SidecarPrefix, i), "side", "Always"
			if w.rng.IntN(2) == 0 {
				c["startupProbe"] = map[string]any{
					"tcpSocket": map[string]any{"port": int64(80)}, "timeoutSeconds": int64(1), "periodSeconds": int64(1),
					"successThreshold": int64(1), "failureThreshold": int64(5), "initialDelaySeconds": int64(w.rng.IntN(2)),
				}
			}
			w.hooks(c)
		}
		list = append(list, c)
	}
	drawn := map[string]any{"initContainers": list}
	w.hooks(drawn)
	return drawn
}

func (w *World) hooks(container map[string]any) {
	if w.rng.IntN(2) == 0 {
		container["lifecycle"] = map[string]any{"postStart": map[string]any{"exec": map[string]any{"command": []any{"true"}}}}
	}
}

// course is what the containers of a pod have done since it is on a host, by their names.
type course struct {
	prepared        map[string]string // IDs of init containers that have ended well
	asked, answered map[string]bool   // of sidecars: whether they have started
}

func (n *Node) courseOf(id runtime.RunID) *course {
	if n.courses[id] == nil {
		n.courses[id] = &course{map[string]string{}, map[string]bool{}, map[string]bool{}}
	}
	return n.courses[id]
}

// auditSequences judges the order in which the containers of pods have begun on a host: by
// what they have done, and by what they have answered when they were asked.
func (n *Node) auditSequences(pods []runtime.Status) {
	here := map[runtime.RunID]bool{}
	for i := range pods {
		p := &pods[i]
		here[p.ID] = true
		n.w.bad = append(n.w.bad, check.Sequence(n.name, p)...)
		n.auditCourse(p, n.courseOf(p.ID))
	}
	maps.DeleteFunc(n.courses, func(id runtime.RunID, _ *course) bool { return !here[id] })
}

func (n *Node) auditCourse(p *runtime.Status, seen *course) {
	main := &p.Containers[len(p.Containers)-1]
	for i := range p.Containers {
		c := &p.Containers[i]
		if main.ID != "" && seen.asked[c.Name] && !seen.answered[c.Name] {
			n.w.violate("anytime: pod %s on %s has begun before its sidecar %s has started", p.Name, n.name, c.Name)
		}
		if !strings.HasPrefix(c.Name, check.InitPrefix) {
			continue
		}
		done := c.State == runtime.Exited && c.ExitCode == 0
		if was, before := seen.prepared[c.Name]; before && (!done || was != c.ID) {
			n.w.violate("anytime: %s of pod %s on %s had ended well and begins again: %+v", c.Name, p.Name, n.name, *c)
		} else if done && !before {
			seen.prepared[c.Name] = c.ID
			n.w.Counts.InitsRun++
		}
	}
}

// noteStartup remembers which sidecars were asked whether they have started, and have.
func (n *Node) noteStartup(p core.Probe, well bool) {
	if seen := n.courseOf(p.Run); p.Kind == "Startup" && strings.HasPrefix(p.Container, check.SidecarPrefix) {
		seen.asked[p.Container] = true
		seen.answered[p.Container] = seen.answered[p.Container] || well
	}
}

// brief is how long an init container takes.
const brief = 700 * time.Millisecond
