package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// Bounds of probing.
const (
	probesMax = 64 // attempts under way at once; those most overdue go first
	// adoptedMax is how long a node that has just started says nothing of itself for
	// the sake of containers whose first results are on their way.
	adoptedMax = 5 * time.Second
)

// Target is a container that is asked or told something.
type Target struct {
	Run       runtime.RunID
	Container string
	Attempt   int // of the container
	Ports     []corev1.ContainerPort
	IP        string // the pod's address; empty: only the runtime reaches it
}

// Probe is one attempt of a probe. The shell answers every one with Probed.
type Probe struct {
	Target
	Kind   string
	Number uint64
	Spec   *corev1.Probe // not to be changed
}

// Probed tells how an attempt went. Void: it could not be made. Output says more of
// one that failed.
type Probed struct {
	Probe    Probe
	OK, Void bool
	Output   string
}

// watched is a container with probes or a hook after its start while one attempt of it
// runs, and until the next.
type watched struct {
	attempt   int
	running   bool
	telling   bool   // the hook after its start is under way
	condemned string // why it has to end; empty: it has not
	grace     *int64 // which it has then; nil: the pod's
	probers   []prober
}

func hasProbe(c corev1.Container) bool {
	return c.StartupProbe != nil || c.LivenessProbe != nil || c.ReadinessProbe != nil
}

func isWatched(c *corev1.Container) bool {
	return hasProbe(*c) || c.Lifecycle != nil && c.Lifecycle.PostStart != nil
}

// verdictOf is what its probe of a kind says, and whether it has one.
func (w *watched) verdictOf(kind probeKind) (v verdict, has bool) {
	if w == nil {
		return undecided, false
	}
	for i := range w.probers {
		if w.probers[i].kind == kind {
			return w.probers[i].verdict, true
		}
	}
	return undecided, false
}

// started and ready are of a container that runs.
func (w *watched) started() bool {
	v, has := w.verdictOf(startupProbe)
	return (!has || v == passes) && (w == nil || !w.telling)
}

func (w *watched) ready() bool {
	v, has := w.verdictOf(readinessProbe)
	return w.started() && (!has || v == passes)
}

func watch(c *corev1.Container, attempt int, now Instant, adopted bool) *watched {
	w := &watched{attempt: attempt}
	for kind, p := range []*corev1.Probe{startupProbe: c.StartupProbe, livenessProbe: c.LivenessProbe, readinessProbe: c.ReadinessProbe} {
		if p != nil {
			w.probers = append(w.probers, newProber(probeKind(kind), p, now, adopted))
		}
	}
	return w
}

// watchContainers begins to probe what runs, and ends what does not any more. A
// container that this daemon has not started was found running.
func (c *Core) watchContainers(r *run) {
	n := &c.runner
	delete(n.probing, r.id)
	all := r.containers()
	for i := range all {
		spec := &all[i]
		if !isWatched(spec) {
			delete(r.watched, spec.Name) // of a template of before: a settled conflict may change a bare pod's
			continue
		}
		w, seen := r.watched[spec.Name], n.sees(r, spec.Name)
		running := r.wanted && seen != nil && seen.State == runtime.Running
		if running && (w == nil || w.attempt != seen.Attempt) {
			adopted := r.ensured == 0 && r.restart[spec.Name] == nil
			w = watch(spec, seen.Attempt, c.now, adopted)
			c.tellStarted(r, spec, w, adopted)
			if r.watched == nil {
				r.watched = map[string]*watched{}
			}
			r.watched[spec.Name] = w
		}
		if w == nil {
			continue
		}
		w.running = running && w.attempt == seen.Attempt
		if w.running {
			n.probing[r.id], n.probeAt = true, c.now
		}
	}
}

// sees is what the runtime sees of a container of a run; nil: nothing.
func (n *runner) sees(r *run, container string) *runtime.ContainerStatus {
	list := n.seen[r.id].Containers
	if i := slices.IndexFunc(list, func(s runtime.ContainerStatus) bool { return s.Name == container }); i >= 0 {
		return &list[i]
	}
	return nil
}

// turn is a prober whose attempt is due.
type turn struct {
	run       *run
	container *corev1.Container
	watched   *watched
	at        int // its place among the watched one's probers
	due       Instant
}

// probe takes the attempts that are due, as far as there is room, and finds when the
// next one will be. Without room it is when one has ended.
func (c *Core) probe() {
	n := &c.runner
	n.probeAt = 0
	var due []turn
	for _, id := range sortedKeys(n.probing) {
		for _, t := range n.runs[id].turns() {
			if t.due <= c.now {
				due = append(due, t)
			} else {
				n.probeAt = sooner(n.probeAt, t.due)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b turn) int { return cmp.Compare(a.due, b.due) })
	for _, t := range due[:min(len(due), max(probesMax-n.probes, 0))] {
		p := &t.watched.probers[t.at]
		n.probes++
		c.out.Probe = append(c.out.Probe, Probe{
			Target: c.target(t.run, t.container, t.watched.attempt), Kind: p.kind.String(), Number: p.begin(c.now), Spec: p.spec,
		})
	}
}

// turns are when the probes of a run are due that wait for nothing but the time.
func (r *run) turns() (turns []turn) {
	all := r.containers()
	for i := range all {
		spec := &all[i]
		w := r.watched[spec.Name]
		if w == nil || !w.running || w.telling || w.condemned != "" {
			continue
		}
		for at := range w.probers {
			if due := w.probers[at].waits(w.started()); due != 0 {
				turns = append(turns, turn{r, spec, w, at, due})
			}
		}
	}
	return turns
}

// probed takes the result of an attempt.
func (c *Core) probed(ev Probed) {
	n := &c.runner
	n.probes, n.probeAt = max(n.probes-1, 0), c.now
	r := n.runs[state.RunID(ev.Probe.Run)]
	if r == nil {
		return
	}
	w := r.watched[ev.Probe.Container]
	if w == nil || w.attempt != ev.Probe.Attempt {
		return
	}
	for i := range w.probers {
		if p := &w.probers[i]; p.kind.String() == ev.Probe.Kind {
			c.judged(r, w, p, ev)
		}
	}
}

// judged draws the consequences of a result.
func (c *Core) judged(r *run, w *watched, p *prober, ev Probed) {
	void := ev.Void || !w.running // what an attempt says that was overtaken by the end is of no use
	changed := p.end(ev.Probe.Number, ev.OK, void)
	if !ev.OK && !void && p.row == 1 {
		c.fact(true, r.about(), "Unhealthy", "%s probe failed: %s", p.kind, ev.Output)
	}
	if !changed {
		return
	}
	c.status.dirty = true
	if p.kind == readinessProbe {
		return
	}
	if p.verdict == fails {
		w.condemned, w.grace = fmt.Sprintf("failed %s probe", strings.ToLower(p.kind.String())), p.spec.TerminationGracePeriodSeconds
	}
	c.runner.stirred[r.id], c.runner.dirty = true, true // what comes after a sidecar may have waited for its start
}

// killCondemned ends a container whose liveness or startup probe has failed, or the hook
// after its start, and reports whether there was one.
func (c *Core) killCondemned(r *run) bool {
	for at, spec := range r.containers() {
		w := r.watched[spec.Name]
		if w == nil || !w.running || w.condemned == "" {
			continue
		}
		then := ", will be restarted"
		if r.policyOf(spec.Name) == corev1.RestartPolicyNever {
			then = ""
		}
		c.fact(false, r.about(), "Killing", "Container %s %s%s", spec.Name, w.condemned, then)
		end := grace(r.template)
		if w.grace != nil {
			end = time.Duration(*w.grace) * time.Second
		}
		c.order(r, Order{
			Kind: Kill, Container: spec.Name, Attempt: w.attempt, Grace: end, Ends: [][]Ending{{c.ending(r, at, c.runner.sees(r, spec.Name))}},
		})
		return true
	}
	return false
}

// settling reports whether the node has just started, and containers with probes that
// it found running, or may find running, have not been asked yet.
func (c *Core) settling() bool {
	n := &c.runner
	if c.now >= c.booted+adoptedMax || c.host.RuntimeError != "" {
		return false
	}
	for _, r := range n.runs {
		if n.lastSeen == 0 && slices.ContainsFunc(r.containers(), hasProbe) || r.unasked() {
			return true
		}
	}
	return false
}

// unasked reports whether a container that was found running is about to be asked for
// the first time.
func (r *run) unasked() bool {
	for _, w := range r.watched {
		for i := range w.probers {
			if p := &w.probers[i]; w.running && p.adopted && (p.underWay || p.waits(w.started()) != 0) {
				return true
			}
		}
	}
	return false
}
