package testnet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
	"holon/testnet/check"
	"holon/testnet/story"
)

// TestStories plays the stories that real hosts play, too (package story), and
// here the limits of within= are of virtual time: they are asserted.
func TestStories(t *testing.T) {
	all, err := story.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if err := story.Play(s, newPerformer(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// randomStories is how many made-up stories are played; each is a second of work at
// most, and the histories of TestHistories are rougher.
const randomStories = 60

// TestRandomStories plays stories that nobody wrote; a few of them are played on
// real hosts, too (make test-long).
func TestRandomStories(t *testing.T) {
	for seed := range uint64(randomStories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, err := story.Random(seed)
			if err != nil {
				t.Fatal(err)
			}
			if err := story.Play(s, newPerformer(t)); err != nil {
				t.Errorf("%v\n%s", err, s)
			}
		})
	}
}

// TestStoriesCatch plants bugs, and wants the stories to end where they show.
func TestStoriesCatch(t *testing.T) {
	all, err := story.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, plant := range []struct {
		bug         Bug
		story, says string
	}{
		{KeepRuns, "split", "expect exact web within=15s: not 7 slots"},
		{DeafSync, "split", "expect equal within=10s: [eventually: "},
	} {
		t.Run(string(plant.bug), func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(all, func(s story.Story) bool { return s.Name == plant.story })
			p := newPerformer(t)
			p.bug = plant.bug
			if err := story.Play(all[i], p); err == nil || !strings.Contains(err.Error(), plant.says) {
				t.Errorf("the story ends with %v, want %q", err, plant.says)
			}
		})
	}
}

func newPerformer(t *testing.T) *performer {
	return &performer{t: t, cut: map[string]bool{}, uids: map[string]crdt.UID{}}
}

// performer plays a story in a world of its own.
type performer struct {
	*stage
	t    *testing.T
	cut  map[string]bool // whose cable is out
	kept []life
	uids map[string]crdt.UID
	bug  Bug
}

// life is one execution of a pod's containers.
type life struct{ node, pod, container string }

func (p *performer) lives(workload string) []life {
	var all []life
	if uid := p.uid(deployment(workload)); uid != (crdt.UID{}) { // or no node is up to say it
		p.uids[workload] = uid
	}
	for _, r := range p.runningSlots(p.uids[workload]) {
		all = append(all, life{r.node.name, r.Name, fmt.Sprintf("%s attempt %d", r.Containers[0].ID, r.Containers[0].Attempt)})
	}
	return all
}

func (p *performer) named(name string) *Node {
	for _, n := range p.nodes {
		if n.name == name {
			return n
		}
	}
	p.t.Fatalf("%q is not a node", name)
	return nil
}

func (p *performer) numbers(names []string) []int {
	var all []int
	for _, name := range names {
		all = append(all, p.named(name).index+1)
	}
	return all
}

// asked are the nodes that a command is about.
func (p *performer) asked(c story.Command) []*Node {
	var all []*Node
	for _, n := range p.nodes {
		if on := c.Nodes("on"); slices.Contains(on, n.name) || len(on) == 0 && n.up && !p.cut[n.name] {
			all = append(all, n)
		}
	}
	return all
}

func (p *performer) Do(c story.Command) error {
	switch c.Verb {
	case "nodes":
		count, err := strconv.Atoi(c.Args[0])
		if err != nil {
			return err
		}
		p.stage = newStage(p.t, count)
		p.stage.cfg.Bug = p.bug
	case "apply":
		replicas, err := strconv.ParseInt(c.Options["replicas"], 10, 32)
		if err != nil {
			return err
		}
		p.deploy(p.asked(c)[0], c.Args[0], "web", map[string]any{"replicas": replicas})
	case "label":
		name, value, _ := strings.Cut(c.Args[1], "=")
		p.put(p.asked(c)[0], deployment(c.Args[0]), map[string]any{"metadata": map[string]any{"labels": map[string]any{name: value}}})
	case "delete":
		p.asked(c)[0].remove(deployment(c.Args[0]))
	case "cut", "oneway", "loss", "unplug", "heal", "readdress":
		return p.disturb(c)
	case "crash", "power":
		for _, name := range c.Args {
			n := p.named(name)
			p.crash(n, c.Verb == "power")
			if c.Verb == "power" && n.down != "" { // a boot starts the runtime, too
				n.setRuntime("")
			}
		}
	case "start":
		for _, name := range c.Args {
			p.named(name).start()
		}
	case "podman":
		for _, name := range c.Args[1:] {
			p.named(name).setRuntime(map[string]string{"down": "the runtime does not answer", "up": ""}[c.Args[0]])
		}
	case "run":
		d, err := time.ParseDuration(c.Args[0])
		if err != nil {
			return err
		}
		p.Run(d)
	case "keep":
		p.kept = p.lives(c.Args[0])
	default:
		return errors.New("the seeded world does not know this")
	}
	return nil
}

// disturb does something to the network.
func (p *performer) disturb(c story.Command) error {
	p.reach.note()
	switch c.Verb {
	case "cut":
		var sides [][]int
		for _, names := range c.Sides() {
			sides = append(sides, p.numbers(names))
		}
		p.split(sides...)
	case "oneway":
		p.net.mute[[2]int{p.named(c.Args[0]).index, p.named(c.Args[1]).index}] = true
	case "loss":
		percent, err := strconv.Atoi(c.Args[0])
		if err != nil {
			return err
		}
		p.cfg.Loss = float64(percent) / 100 // of all frames: the world has no loss of one node
	case "unplug": // and nobody hears of an end of a connection
		for _, name := range c.Args {
			n := p.named(name)
			p.cut[name], p.net.side[n.index] = true, -n.index-1
		}
	case "heal":
		p.net.heal()
		p.cfg.Loss = 0
		clear(p.cut)
	case "readdress": // a peer has no address here, but all connections end
		for _, a := range p.nodes {
			for _, b := range p.nodes {
				if a != b && (len(c.Args) == 0 || slices.Contains(c.Args, a.name)) {
					p.net.cut(a, b)
				}
			}
		}
	}
	return nil
}

func (p *performer) Until(limit time.Duration, what string, look func() error) error {
	for end := p.now + limit; ; p.Run(10 * time.Millisecond) {
		err := look()
		if err == nil || p.now >= end {
			p.t.Logf("%v until %s", limit-(end-p.now), what)
			return err
		}
	}
}

func (p *performer) Scheduler(workload string) (string, error) {
	var live []string
	for _, n := range p.asked(story.Command{}) {
		live = append(live, n.name)
	}
	return scheduler.Order(p.uid(deployment(workload)), live)[0], nil
}

func (p *performer) Look(c story.Command) error {
	switch c.Args[0] {
	case "equal":
		var all []check.Replica
		for _, n := range p.asked(c) {
			all = append(all, check.Replica{Node: n.name, Records: n.seen})
		}
		if bad := check.Equal(all); len(bad) > 0 {
			return fmt.Errorf("%v", bad)
		}
	case "exact":
		want, err := strconv.Atoi(p.asked(c)[0].register(deployment(c.Args[1]), "/spec/replicas"))
		if err != nil {
			return err
		}
		if !p.whole(deployment(c.Args[1]), want)() {
			return fmt.Errorf("not %d slots, each once:\n%s", want, p.table())
		}
	case "kept":
		return p.lost(c, func(a, b life) bool { return a == b })
	case "again":
		return p.lost(c, func(a, b life) bool { return a.node == b.node && a.pod == b.pod })
	default:
		for _, n := range p.asked(c) {
			if err := p.lookAt(n, c); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
	}
	return nil
}

// lost says which of the kept ones are not there.
func (p *performer) lost(c story.Command, same func(a, b life) bool) error {
	now, found := p.lives(c.Args[1]), 0
	for _, l := range p.kept {
		if at := c.Options["at"]; slices.Contains(c.Nodes("off"), l.node) || at != "" && at != l.node {
			continue
		}
		found++
		if !slices.ContainsFunc(now, func(n life) bool { return same(l, n) }) {
			return fmt.Errorf("%v does not run:\n%s", l, p.table())
		}
	}
	if found == 0 {
		return errors.New("nothing of it was kept")
	}
	return nil
}

// lookAt compares what a node shows.
func (p *performer) lookAt(n *Node, c story.Command) error {
	if c.Args[0] == "label" {
		name, value, _ := strings.Cut(c.Args[2], "=")
		if got := n.register(deployment(c.Args[1]), "/metadata/labels/"+name); got != strconv.Quote(value) {
			return fmt.Errorf("label %s is %s", name, got)
		}
		return nil
	}
	if want := c.Options["replicas"]; want != "" {
		if got := n.register(deployment(c.Args[0]), "/spec/replicas"); got != want {
			return fmt.Errorf("%s replicas", got)
		}
	}
	if want := c.Options["ready"]; want != "" {
		if got := fmt.Sprint(n.readyPods(c.Args[0], c.Nodes("off"))); got != want {
			return fmt.Errorf("%s pods are Ready:\n%s", got, p.table())
		}
	}
	return nil
}

// readyPods counts the Ready pods of a workload that a node shows, but for those on
// some nodes.
func (n *Node) readyPods(workload string, off []string) int {
	count := 0
	for key, pod := range n.shown {
		resource, _, name := key.Split()
		if resource != state.Pods || !strings.HasPrefix(name, workload+"-") {
			continue
		}
		spec, _ := pod["spec"].(map[string]any)
		status, _ := pod["status"].(map[string]any)
		conditions, _ := status["conditions"].([]any)
		ready := slices.ContainsFunc(conditions, func(c any) bool {
			m, _ := c.(map[string]any)
			return m["type"] == "Ready" && m["status"] == "True"
		})
		if node, _ := spec["nodeName"].(string); ready && !slices.Contains(off, node) {
			count++
		}
	}
	return count
}
