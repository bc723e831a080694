package testnet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"sigs.k8s.io/yaml"

	"holon/crdt/state"
	"holon/node/core"
)

// TestScenarios plays the stories in testdata and compares what was said and what
// runs with what is written there; go test -rewrite writes it anew. The commands:
//
//	nodes 5                                  make a cluster
//	apply web replicas=6 [image=i] [on=n2]   create or change a Deployment
//	create web [on=n2]                       as kubectl create does, with the YAML below it
//	patch web [on=n2]                        as kubectl patch does, with the YAML below it
//	show web [on=n2]                         prints its spec as that node has it
//	conflicts web [on=n2]                    prints its conflicts, and its conditions about merges
//	take web [on=n2], drop web [on=n2]       settles the one whose field is below it
//	delete web [on=n2]
//	set web, daemon web [on=n2]              creates or changes one, with the YAML below it
//	label n2 disk=ssd [on=n1]
//	introduce                                has every node make its Node object
//	cordon n2, drain n2, uncordon n2 [on=n1] says so in the record of a node
//	policy web handback=10s [on=n2]          annotates it with holon.dev/handback and so on
//	taint n2 gpu:NoExecute, untaint n2 [on=n1]
//	class urgent value=1000 [globalDefault=true] [on=n2]
//	budget web maxUnavailable=1 [on=n2]      a PodDisruptionBudget of its pods
//	budgets n2                               prints how they are, as that node shows it
//	evict web slot=1 [on=n2]                 as kubectl drain does with a pod; prints the answer
//	rebalance max=3 [dry] [on=n2]            prints what moves
//	what-if n3 n4 [on=n2]                    prints what would become of what they run
//	cut n1 n2 | n3 n4 n5, heal               the network
//	crash n2, power n2, start n2             the daemon dies, the host dies, either is back
//	evict-node n3 [on=n1], forget-node n3    ends a membership; forget: by force
//	run 5s                                   let time pass; prints what was said
//	sicken web:2 Liveness [hangs], cure web:2 Liveness   has containers of an image, or on a node, fail a kind of probe
//	pods                                     prints what runs on every host
//	faces [on=n2]                            prints what that node shows of pods
//	view n1                                  prints what a node believes of the members
//	why web [on=n2]                          prints why a workload is where it is
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		p := &player{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p.said = strings.Builder{}
			p.play(d)
			return p.said.String()
		})
	})
}

// player performs the commands of one story.
type player struct {
	*stage
	t    *testing.T
	said strings.Builder
}

func (p *player) play(d *datadriven.TestData) {
	args := make([]string, len(d.CmdArgs))
	for i, a := range d.CmdArgs {
		args[i] = a.Key
	}
	on := 1
	for _, a := range d.CmdArgs {
		if a.Key == "on" {
			on = p.index(a.Vals[0])
		}
	}
	switch d.Cmd {
	case "nodes":
		count, err := strconv.Atoi(args[0])
		if err != nil {
			d.Fatalf(p.t, "nodes: %v", err)
		}
		p.stage = newStage(p.t, count)
		p.facts.list = nil
	case "apply":
		p.apply(p.node(on), d)
	case "create":
		p.create(p.node(on), deployment(args[0]), d.Input)
	case "set":
		p.write(p.node(on), state.MakeKey(state.StatefulSets, "default", args[0]), d)
	case "daemon":
		p.write(p.node(on), state.MakeKey(state.DaemonSets, "default", args[0]), d)
	case "conflicts":
		p.showConflicts(p.node(on), deployment(args[0]))
	case "take":
		p.settle(p.node(on), deployment(args[0]), d.Input, 0)
	case "drop":
		p.settle(p.node(on), deployment(args[0]), d.Input, core.KeepWinner)
	case "patch":
		p.patch(p.node(on), deployment(args[0]), d.Input)
	case "show":
		p.show(p.node(on), deployment(args[0]))
	case "delete":
		p.node(on).remove(deployment(args[0]))
	case "cordon", "uncordon":
		p.node(on).cordon(args[0], d.Cmd == "cordon")
	case "drain":
		p.node(on).drainOf(args[0])
	case "policy":
		p.policy(p.node(on), d)
	case "budget":
		p.budget(p.node(on), d)
	case "class":
		p.class(p.node(on), d)
	case "budgets":
		p.showBudgets(p.node(p.index(args[0])))
	case "evict":
		p.evict(p.node(on), d)
	case "rebalance":
		p.rebalance(p.node(on), d)
	case "what-if":
		p.whatIf(p.node(on), args)
	case "taint", "untaint":
		p.node(on).taint(args[0], args[1:]...)
	case "label":
		key, value, _ := strings.Cut(args[1], "=")
		if len(d.CmdArgs[1].Vals) > 0 {
			value = d.CmdArgs[1].Vals[0]
		}
		p.node(on).put(state.MakeKey(state.Nodes, "", args[0]), map[string]any{"metadata": map[string]any{"labels": map[string]any{key: value}}})
	case "introduce":
		for _, n := range p.nodes {
			n.putNodeObject()
		}
	case "cut":
		p.cut(args)
	case "heal":
		p.net.heal()
	case "crash", "power":
		for _, name := range args {
			p.crash(p.node(p.index(name)), d.Cmd == "power")
		}
	case "start":
		p.node(p.index(args[0])).start()
	case "sicken", "cure":
		delete(p.ails, ailment{args[0], args[1]})
		if d.Cmd == "sicken" {
			p.ails[ailment{args[0], args[1]}] = d.HasArg("hangs")
		}
	case "faces":
		p.showFaces(p.node(on))
	case "run":
		p.run(args[0])
	case "evict-node", "forget-node":
		p.evictMember(p.node(on), core.EvictMember{Member: args[0], Force: d.Cmd == "forget-node"})
	case "pods":
		p.showPods()
	case "view":
		p.showView(p.node(p.index(args[0])))
	case "why":
		p.showWhy(p.node(on), deployment(args[0]))
	default:
		d.Fatalf(p.t, "unknown command %q", d.Cmd)
	}
}

func (p *player) index(name string) int {
	i, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	if err != nil {
		p.t.Fatalf("%q is not a node", name)
	}
	return i
}

func (p *player) apply(n *Node, d *datadriven.TestData) {
	name, image, replicas := d.CmdArgs[0].Key, "web", 1
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "replicas":
			replicas, _ = strconv.Atoi(a.Vals[0])
		case "image":
			image = a.Vals[0]
		}
	}
	p.deploy(n, name, image, map[string]any{"replicas": int64(replicas)})
}

func (p *player) policy(n *Node, d *datadriven.TestData) {
	notes := map[string]any{}
	for _, a := range d.CmdArgs[1:] {
		if a.Key != "on" {
			notes["holon.dev/"+a.Key] = a.Vals[0]
		}
	}
	p.put(n, deployment(d.CmdArgs[0].Key), map[string]any{"metadata": map[string]any{"annotations": notes}})
}

func (p *player) budget(n *Node, d *datadriven.TestData) {
	name := d.CmdArgs[0].Key
	spec := map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": name}}}
	for _, a := range d.CmdArgs[1:] {
		if count, err := strconv.ParseInt(a.Vals[0], 10, 64); err == nil {
			spec[a.Key] = count
		} else if a.Key != "on" {
			spec[a.Key] = a.Vals[0]
		}
	}
	p.put(n, state.MakeKey(state.Budgets, "default", name), map[string]any{"spec": spec})
}

func (p *player) class(n *Node, d *datadriven.TestData) {
	value := map[string]any{}
	for _, a := range d.CmdArgs[1:] {
		if count, err := strconv.ParseInt(a.Vals[0], 10, 64); err == nil {
			value[a.Key] = count
		} else if a.Key != "on" {
			value[a.Key] = a.Vals[0] == "true"
		}
	}
	p.put(n, state.MakeKey(state.PriorityClasses, "", d.CmdArgs[0].Key), value)
}

func (p *player) showBudgets(n *Node) {
	for _, key := range slices.Sorted(maps.Keys(n.shown)) {
		if status, _ := n.shown[key]["status"].(map[string]any); key.Resource() == state.Budgets {
			_, _, name := key.Split()
			fmt.Fprintf(&p.said, "%s: %v expected, %v healthy, %v desired, %v may go\n", name,
				status["expectedPods"], status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"])
		}
	}
}

// evict asks for the eviction of what runs a slot at home, or of its stand-in.
func (p *player) evict(n *Node, d *datadriven.TestData) {
	index, key, node := 0, deployment(d.CmdArgs[0].Key), ""
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "slot":
			index, _ = strconv.Atoi(a.Vals[0])
		case "from":
			node = a.Vals[0]
		}
	}
	slot := p.slot(n, key, index)
	p.answer(n, core.Evict{Slot: slot.ID, Node: cmp.Or(node, slot.Home.Node)}, func(core.Ack) { p.said.WriteString("evicted\n") })
}

func (p *player) rebalance(n *Node, d *datadriven.TestData) {
	op := core.Rebalance{DryRun: d.HasArg("dry")}
	d.ScanArgs(p.t, "max", &op.Max)
	p.answer(n, op, func(ack core.Ack) {
		for _, m := range ack.Moves {
			_, _, name := m.Key.Split()
			fmt.Fprintf(&p.said, "%s/%d %s -> %s: %s\n", name, m.Slot, m.From, m.To, m.Why)
		}
	})
}

func (p *player) whatIf(n *Node, args []string) {
	lose := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "on" })
	p.answer(n, core.WhatIf{Lose: lose}, func(ack core.Ack) {
		fmt.Fprintf(&p.said, "majority: %v\n", ack.Fates.Majority)
		for _, f := range ack.Fates.Slots {
			_, _, name := f.Key.Split()
			fmt.Fprintf(&p.said, "%s/%d %s -> %s, %s: %s\n", name, f.Slot, f.From, cmp.Or(f.To, "nowhere"), f.State, f.Why)
		}
	})
}

// answer asks a node and prints what it says, or why it does not.
func (p *player) answer(n *Node, op core.Op, print func(core.Ack)) {
	said := false
	n.ask(op, func(ack core.Ack) {
		if said = true; ack.Err != nil {
			fmt.Fprintf(&p.said, "%v\n", ack.Err)
		} else {
			print(ack)
		}
	})
	p.within(time.Second, "answer", func() bool { return said })
}

func (p *player) cut(args []string) {
	sides := [][]int{nil}
	for _, a := range args {
		if a == "|" {
			sides = append(sides, nil)
			continue
		}
		sides[len(sides)-1] = append(sides[len(sides)-1], p.index(a))
	}
	p.split(sides...)
}

// run prints every thing that was said once, with who said it, in the order in
// which it was said first.
func (p *player) run(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Run(d)
	type line struct {
		text string
		who  []string
	}
	var lines []*line
	for _, f := range p.facts.list {
		text := f.Reason + ": " + f.Message
		i := slices.IndexFunc(lines, func(l *line) bool { return l.text == text })
		if i < 0 {
			i, lines = len(lines), append(lines, &line{text: text})
		}
		if !slices.Contains(lines[i].who, f.node) {
			lines[i].who = append(lines[i].who, f.node)
		}
	}
	p.facts.list = nil
	for _, l := range lines {
		slices.Sort(l.who)
		fmt.Fprintf(&p.said, "%s %s\n", strings.Join(l.who, ","), l.text)
	}
}

func (p *player) evictMember(n *Node, op core.EvictMember) {
	n.ask(op, func(ack core.Ack) {
		if ack.Err != nil {
			fmt.Fprintf(&p.said, "refused: %v\n", ack.Err)
		}
	})
	p.Run(time.Second / 10)
}

func (p *player) showPods() {
	type row struct{ name, node, state string }
	var rows []row
	for _, n := range p.nodes {
		for _, pod := range n.host.Statuses(p.now) {
			state := ""
			for _, c := range pod.Containers {
				state += fmt.Sprintf(" %s, attempt %d", c.State, c.Attempt)
			}
			_, index, _ := strings.Cut(pod.Slot[len(pod.Slot)-4:], "-")
			rows = append(rows, row{index + " " + pod.Name, n.name, state})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.node, b.node)) })
	for _, r := range rows {
		fmt.Fprintf(&p.said, "%-24s %s%s\n", r.name, r.node, r.state)
	}
}

func (p *player) showFaces(n *Node) {
	for _, key := range slices.Sorted(maps.Keys(n.shown)) {
		if key.Resource() != state.Pods {
			continue
		}
		_, _, name := key.Split()
		status, _ := n.shown[key]["status"].(map[string]any)
		fmt.Fprintf(&p.said, "%s %v", name, status["phase"])
		containers, _ := status["containerStatuses"].([]any)
		for _, c := range containers {
			c := c.(map[string]any)
			fmt.Fprintf(&p.said, ", %v: started %v, ready %v, %v restarts", c["name"], c["started"], c["ready"], c["restartCount"])
		}
		p.said.WriteString("\n")
	}
}

func (p *player) showView(n *Node) {
	v := n.core.View()
	for _, m := range v.Members {
		unsteady := ""
		if left := m.Unsteady - p.now; left > 0 {
			unsteady = ", the last choice for " + left.Round(time.Second).String()
		}
		fmt.Fprintf(&p.said, "%s %s%s\n", m.Name, m.State, unsteady)
	}
	fmt.Fprintf(&p.said, "majority: %v, %d of %d that count\n", v.Majority, v.CountedThere, v.Counted)
	for _, a := range v.Awaited {
		fmt.Fprintf(&p.said, "does not count yet: %s\n", a)
	}
}

func (p *player) showWhy(n *Node, key state.Key) {
	e := n.why[key]
	order := e.Order()
	fmt.Fprintf(&p.said, "scheduler %s, standbys %s\n", order[0], strings.Join(order[1:], " "))
	for _, s := range e.Slots {
		standIn := ""
		if s.StandIn != "" {
			standIn = ", stand-in " + s.StandIn
		}
		fmt.Fprintf(&p.said, "slot %d%s: %s\n", s.Slot.ID.Index, standIn, strings.Join(s.Reasons, "; "))
	}
}

// write puts the fields that are below the command into an object.
func (p *player) write(n *Node, key state.Key, d *datadriven.TestData) {
	var read any
	if err := yaml.Unmarshal([]byte(d.Input), &read); err != nil {
		d.Fatalf(p.t, "%v", err)
	}
	value, err := state.Unstructured(read)
	if err != nil {
		d.Fatalf(p.t, "%v", err)
	}
	n.put(key, value)
}
