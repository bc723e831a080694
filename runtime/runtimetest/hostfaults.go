package runtimetest

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"holon/runtime"
)

// SetDown makes the runtime unavailable, or available again. Its containers
// go on.
func (h *Host) SetDown(down bool) { h.down = down }

// SetImageMissing makes an image impossible to get, or possible again.
func (h *Host) SetImageMissing(image string, missing bool) { h.missing[image] = missing }

// TakePort occupies a host port in another program's name.
func (h *Host) TakePort(protocol string, port int) {
	h.ports[simPort{protocol, port}] = "another program"
}

// ReleasePort undoes TakePort.
func (h *Host) ReleasePort(protocol string, port int) { delete(h.ports, simPort{protocol, port}) }

// Kill kills a running container behind the runtime's back, and reports
// whether there was one.
func (h *Host) Kill(now time.Duration, id runtime.RunID, container string) bool {
	h.advance(now)
	_, c := h.find(id, container)
	if c == nil || c.state != runtime.Running {
		return false
	}
	c.killAt = now
	h.counts.Killed++
	h.advance(now)
	return true
}

// Crash cuts the power: every container is dead (Exited with 137), stops under
// way are forgotten, and what has not started never will without an order. The
// pods are still listed when the host is back, as those of Podman are.
func (h *Host) Crash(now time.Duration) {
	h.CrashDaemon(now)
	for _, pod := range h.pods {
		for _, c := range pod.containers {
			switch c.state {
			case runtime.Running:
				c.killAt = now
				c.end()
				c.message = "the host went down"
				h.counts.Exited++
			case runtime.Created:
				c.reset()
			}
		}
	}
	h.counts.Crashes++
}

// Burn loses the volumes that outlive their pods, with the disk that they are on.
func (h *Host) Burn() { clear(h.kept) }

// CrashDaemon ends the daemon only: its containers go on, what has begun to
// start does start, a container that was sent SIGTERM still obeys or not, but
// nobody is left to kill it or to remove the pod.
func (h *Host) CrashDaemon(now time.Duration) {
	h.advance(now)
	for _, pod := range h.pods {
		if !pod.stopping {
			continue
		}
		pod.stopping = false
		for _, c := range pod.containers {
			c.killAt = Never
			if c.state == runtime.Created {
				c.reset()
			}
		}
	}
}

// reset makes a container that has not run one that was never ordered.
// A restart that was under way counts as ended, so that it can be ordered.
func (c *simContainer) reset() {
	if c.attempt > 0 {
		c.state, c.exitAt, c.exitCode = runtime.Exited, c.startAt, 137
		c.message = "the host went down before it started"
		return
	}
	c.id, c.startAt = "", Never
}

// Counts returns what the host has done so far.
func (h *Host) Counts() Counts { return h.counts }

// Starts returns how often each attempt has begun to run. More than once is a
// bug of whoever gave the orders, unless the pod was stopped and applied anew.
func (h *Host) Starts() map[Start]int { return maps.Clone(h.starts) }

// Log returns the lines that a container has written by now.
func (h *Host) Log(now time.Duration, id runtime.RunID, container string, previous bool) ([]Line, error) {
	h.advance(now)
	op := fmt.Sprintf("log of %s/%s", id, container)
	_, c := h.find(id, container)
	if c == nil || (previous && c.attempt == 0) {
		return nil, h.refused(runtime.NotFound, op, "no such pod, container or attempt")
	}
	lines := c.lines
	if previous {
		lines = c.previous
	}
	var out []Line
	for _, l := range lines {
		if l.at <= now && (previous || c.state == runtime.Running || l.at <= c.exitAt) {
			out = append(out, Line{l.at, l.text})
		}
	}
	return out, nil
}

func (h *Host) find(id runtime.RunID, container string) (*simPod, *simContainer) {
	pod := h.pods[id]
	if pod == nil {
		return nil, nil
	}
	for _, c := range pod.containers {
		if c.spec.Name == container {
			return pod, c
		}
	}
	return pod, nil
}

// refuse asks the socket and the script of faults.
func (h *Host) refuse(now time.Duration, op Op, id runtime.RunID, container string) error {
	if h.down {
		return h.refused(runtime.Unavailable, string(op)+" "+string(id), "the runtime does not answer")
	}
	if h.cfg.Fail == nil {
		return nil
	}
	err := h.cfg.Fail(now, op, id, container)
	if err != nil {
		h.counts.Refused++
	}
	return err
}

func (h *Host) refused(kind runtime.Kind, op, cause string) error {
	h.counts.Refused++
	return &runtime.Error{Kind: kind, Op: op, Err: errors.New(cause)}
}

func (h *Host) portOwner(p runtime.Port) string {
	if p.HostPort == 0 {
		return ""
	}
	if who := h.ports[simPort{protocolOf(p), p.HostPort}]; who != "" {
		return who
	}
	for _, pod := range h.pods {
		for _, c := range pod.spec.Containers {
			for _, q := range c.Ports {
				if q.HostPort == p.HostPort && protocolOf(q) == protocolOf(p) {
					return "another pod"
				}
			}
		}
	}
	return ""
}

func protocolOf(p runtime.Port) string {
	if p.Protocol == "" {
		return "TCP"
	}
	return p.Protocol
}

func (h *Host) freeAddress() (string, bool) {
	taken := map[string]bool{}
	for _, pod := range h.pods {
		taken[pod.ip] = true
	}
	for i := 2; i <= 251; i++ {
		if ip := fmt.Sprintf("%s%d", h.cfg.Prefix, i); !taken[ip] {
			return ip, true
		}
	}
	return "", false
}
