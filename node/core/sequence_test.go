package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt/state"
)

// part is a container by its course. Names are in the order of the pod.
type part struct {
	name          string
	init, sidecar bool
	hook, startup int   // seconds that its hook takes and after which its startup probe passes; -1: it has none
	runs, codes   []int // of its attempts, the last one of all that follow; runs of -1: it stays
}

func (p *part) attempt(n int) (runs, code int) {
	n = min(n, len(p.runs)-1)
	return p.runs[n], p.codes[n]
}

// spec is the pod of some parts.
func specOf(parts []part, policy string) map[string]any {
	lists := map[string][]any{}
	for _, p := range parts {
		c := map[string]any{"name": p.name, "image": "app"}
		if p.hook >= 0 {
			c["lifecycle"] = map[string]any{"postStart": map[string]any{"exec": map[string]any{"command": []any{"true"}}}}
		}
		if p.startup >= 0 {
			c["startupProbe"] = probe(0, 1, 1, 1000)
		}
		list := "containers"
		if p.init {
			list = "initContainers"
		}
		if p.sidecar {
			c["restartPolicy"] = "Always"
		}
		lists[list] = append(lists[list], c)
	}
	return map[string]any{"restartPolicy": policy, "containers": lists["containers"], "initContainers": lists["initContainers"]}
}

// play makes a clinic of some parts.
func play(t fataler, parts []part, policy string) *clinic {
	x := admit(t, specOf(parts, policy))
	find := func(name string) *part {
		return &parts[slices.IndexFunc(parts, func(p part) bool { return p.name == name })]
	}
	began := map[string]Instant{}
	x.slow, x.code = 0, 143
	x.lasts = func(name string, attempt int) (time.Duration, int, bool) {
		began[name] = x.now
		runs, code := find(name).attempt(attempt)
		return time.Duration(runs) * time.Second, code, runs >= 0
	}
	x.answer = func(p Probe, _ int) bool {
		return x.now-began[p.Container] >= time.Duration(find(p.Container).startup)*time.Second
	}
	x.hook = func(h Hook) (time.Duration, bool) { return time.Duration(find(h.Container).hook) * time.Second, true }
	return x
}

// kubeletPod is a second reading of the rules, in whole seconds, for orders that take no
// time: it knows no statuses, only what it has done.
type kubeletPod struct {
	policy string
	parts  []kubeletPart
	starts []string
	early  bool // in this second containers have ended, and none has answered yet
}

type kubeletPart struct {
	part
	tries                int // attempts that were begun
	up                   bool
	since, until         int // while it is up; until of -1: it stays
	code, ended, crashes int
}

func (k *kubeletPod) started(p *kubeletPart, now int) bool {
	at := p.since + max(p.hook, p.startup)
	return p.up && (p.hook < 0 && p.startup < 0 || now > at || now == at && !k.early)
}

func (k *kubeletPod) again(p *kubeletPart) bool {
	switch {
	case p.sidecar:
		return true
	case k.policy == "Never":
		return false
	case k.policy == "OnFailure" || p.init:
		return p.code != 0
	}
	return true
}

func (k *kubeletPod) start(p *kubeletPart, now int) {
	runs, code := p.attempt(p.tries)
	k.starts = append(k.starts, fmt.Sprintf("%s#%d@%d", p.name, p.tries, now))
	p.tries++
	p.up, p.since, p.until, p.code = true, now, now+runs, code
	if runs < 0 {
		p.until = -1
	}
}

// done: its main containers have ended for good, or it never gets that far.
func (k *kubeletPod) done() bool {
	all := true
	for i := range k.parts {
		p := &k.parts[i]
		over := p.tries > 0 && !p.up && !k.again(p)
		if p.init && !p.sidecar && over && p.code != 0 {
			return true
		}
		all = all && (p.init || over)
	}
	return all
}

func (k *kubeletPod) initialized() bool {
	return slices.ContainsFunc(k.parts, func(p kubeletPart) bool { return !p.init && p.tries > 0 })
}

// decide does all that is to be done now.
func (k *kubeletPod) decide(now int) {
	for before := -1; before < len(k.starts); {
		before = len(k.starts)
		k.sync(now)
	}
}

func (k *kubeletPod) sync(now int) {
	if k.done() {
		for i := range k.parts {
			k.parts[i].up = false
		}
		return
	}
	if !k.initialized() {
		next := 0
		for i := len(k.parts) - 1; i >= 0; i-- {
			if p := &k.parts[i]; p.tries > 0 {
				if next = i; p.sidecar && k.started(p, now) || !p.sidecar && !p.up && p.code == 0 {
					next = i + 1
				}
				break
			}
		}
		for i := next; i < len(k.parts); i++ {
			if p := &k.parts[i]; p.tries == 0 && (i == next || !p.init) && !(k.parts[next].init && i > next) {
				k.start(p, now)
			}
		}
	}
	for i := range k.parts {
		p := &k.parts[i]
		wait := 0
		if p.crashes > 1 {
			wait = min(10<<(p.crashes-2), 300)
		}
		if p.tries > 0 && !p.up && k.again(p) && now >= p.ended+wait {
			k.start(p, now)
		}
	}
}

// second lets a second pass: containers end before they answer.
func (k *kubeletPod) second(now int) {
	k.early = true
	for again := true; again; {
		again = false
		for i := range k.parts {
			p := &k.parts[i]
			if p.up && p.until == now {
				p.up, p.ended, again = false, now, true
				p.crashes++
				k.decide(now)
				break
			}
		}
	}
	k.early = false
	k.decide(now)
}

func (k *kubeletPod) phase() (phase state.Phase) {
	switch {
	case !k.done() && k.initialized():
		return state.Running
	case !k.done():
		return state.Pending
	}
	for i := range k.parts {
		if p := &k.parts[i]; !p.sidecar && p.tries > 0 && p.code != 0 {
			return state.Failed
		}
	}
	return state.Succeeded
}

func (k *kubeletPod) ready(now int) bool {
	return !slices.ContainsFunc(k.parts, func(p kubeletPart) bool { return (p.sidecar || !p.init) && !k.started(&p, now) })
}

// drawParts draws the containers of a pod.
func drawParts(t *rapid.T) (parts []part) {
	draw := func(init bool) {
		p := part{name: fmt.Sprintf("c%d", len(parts)), init: init, hook: -1, startup: -1}
		p.sidecar = init && rapid.Bool().Draw(t, "sidecar")
		if p.sidecar || !init {
			p.hook, p.startup = rapid.IntRange(-1, 3).Draw(t, "hook"), rapid.IntRange(-1, 5).Draw(t, "startup")
		}
		for range rapid.IntRange(1, 4).Draw(t, "attempts") {
			runs := rapid.IntRange(1, 20).Draw(t, "runs")
			if !init || p.sidecar {
				runs = rapid.SampledFrom([]int{-1, -1, runs}).Draw(t, "runs on")
			}
			p.runs, p.codes = append(p.runs, runs), append(p.codes, rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "code"))
		}
		parts = append(parts, p)
	}
	for range rapid.IntRange(0, 4).Draw(t, "inits") {
		draw(true)
	}
	for range rapid.IntRange(1, 3).Draw(t, "mains") {
		draw(false)
	}
	return parts
}

// TestSequenceIsKubernetes: whatever containers a pod has and however they end, they
// begin in the seconds in which Kubernetes' rules say so, and the pod is what they say.
func TestSequenceIsKubernetes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const seconds = 90
		parts, policy := drawParts(t), rapid.SampledFrom([]string{"Always", "OnFailure", "Never"}).Draw(t, "policy")
		x, k := play(t, parts, policy), &kubeletPod{policy: policy}
		for _, p := range parts {
			k.parts = append(k.parts, kubeletPart{part: p})
		}
		zero := x.now
		x.run(0)
		for now := range seconds {
			x.run(zero + Instant(now)*time.Second + 900*time.Millisecond - x.now)
			k.second(now)
			var starts []string
			for _, s := range x.starts {
				name, at, _ := strings.Cut(s, "@")
				var n int
				fmt.Sscan(at, &n)
				starts = append(starts, fmt.Sprintf("%s@%d", name, n-int(zero/time.Second)))
			}
			if !slices.Equal(starts, k.starts) {
				t.Fatalf("%s, %+v: in second %d begun are\n%v, want\n%v", policy, parts, now, starts, k.starts)
			}
			if says := x.says(); says == nil || says.Phase != k.phase() || says.Ready != k.ready(now) || says.Initializing == k.initialized() {
				t.Fatalf("%s, %+v: in second %d it is %+v, want %s, ready %v", policy, parts, now, says, k.phase(), k.ready(now))
			}
		}
		for _, bad := range x.AuditPlan() {
			t.Error(bad)
		}
	})
}
