package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
	"holon/runtime"
	"holon/scheduler"
)

// crowd is a core among other nodes that exist only in what it is told.
type crowd struct {
	*Core
	t     fataler
	now   Instant
	nodes []string
	count int // of pods made
}

type fataler interface{ Fatal(args ...any) }

func newCrowd(t fataler, nodes int, room state.Resources) *crowd {
	x := &crowd{t: t, now: time.Hour}
	x.boot(1, nodes, func(string, func(string, []byte) error) error { return nil })
	c := x.Core
	c.Step(x.now, HostChanged{Host: Host{Runtime: runtime.Info{Name: "r"}, Allocatable: room}})
	c.Step(x.now, Observed{})
	for _, name := range x.nodes[1:] {
		x.say(name, room, nil)
	}
	x.rest()
	return x
}

// boot begins a core from a disk, among nodes that are all alive.
func (x *crowd) boot(epoch uint64, nodes int, load func(string, func(string, []byte) error) error) {
	c, err := New(Config{Node: "n0000", Peer: "p0000", Cluster: "c", Replica: crdt.ReplicaID{1}, Epoch: epoch}, x.now, load)
	if err != nil {
		x.t.Fatal(err)
	}
	x.Core, x.nodes = c, nil
	for i := range nodes {
		m := &member{Member: state.Member{Name: fmt.Sprintf("n%04d", i)}, peer: p2p.PeerID(fmt.Sprintf("p%04d", i)), live: true, seen: true, state: swim.Alive, since: x.now, word: x.now}
		c.members.byPeer[m.peer], c.members.byName[m.Name] = m, m
		x.nodes = append(x.nodes, m.Name)
	}
}

// say gives the core a status of another node.
func (x *crowd) say(node string, room state.Resources, runs []state.RunStatus) {
	seq := uint64(1)
	if before := x.statusOf(node); before != nil {
		seq = before.Seq + 1
	}
	x.receiveStatus(x.members.byName[node].peer, &state.NodeStatus{Node: node, Epoch: 1, Seq: seq, Allocatable: room, Runs: runs})
}

// create makes one bare pod whose scheduler has a rank here, without planning it.
func (x *crowd) create(rank int, container map[string]any) {
	uid := crdt.UID{1}
	for {
		x.count++
		uid[1], uid[2], uid[3], uid[4] = byte(x.count>>24), byte(x.count>>16), byte(x.count>>8), byte(x.count)
		if scheduler.Rank(uid, x.nodes, x.cfg.Node) == rank {
			break
		}
	}
	container["name"], container["image"] = "app", "app"
	x.put(state.MakeKey(state.Pods, "default", fmt.Sprintf("p%08d", x.count)), uid, map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"third": fmt.Sprint(x.count % 3)}},
		"spec":     map[string]any{"containers": []any{container}},
	})
}

func (x *crowd) put(key state.Key, uid crdt.UID, value map[string]any) {
	registers, err := state.FlattenAs(key.Resource(), value)
	if err != nil {
		x.t.Fatal(err)
	}
	if _, err := x.mutate(Mutate{Key: key, New: registers, Upsert: true, NewUID: uid}); err != nil {
		x.t.Fatal(err)
	}
}

// rest steps until nothing is to be planned at once, answers every order, and
// gives how many Steps that were.
func (x *crowd) rest() (steps int) {
	for again := true; again; again = x.index.dirtyAll || len(x.index.touched) > 0 {
		x.now += time.Millisecond
		orders := x.Step(x.now, Woke{}).Run
		for steps++; len(orders) > 0; steps++ {
			o := orders[0]
			orders = append(orders[1:], x.Step(x.now, Observed{Pods: x.pods(o)}).Run...)
			orders = append(orders, x.Step(x.now, Ordered{Order: o}).Run...)
		}
	}
	return steps
}

// pods are those that were seen here, after an order was carried out.
func (x *crowd) pods(o Order) (pods []runtime.Status) {
	for id, s := range x.runner.seen {
		if id != state.RunID(o.Run) {
			pods = append(pods, s)
		}
	}
	if o.Kind != Stop {
		pods = append(pods, runtime.Status{ID: o.Run, Slot: o.Spec.Slot, Containers: []runtime.ContainerStatus{{Name: "app", State: runtime.Running}}})
	}
	return pods
}

// runsAt are the runs that a node has by its slots, all ready or refused.
func (x *crowd) runsAt(node, refused string) (runs []state.RunStatus) {
	for _, uid := range sortedUIDs(x.index.workloads) {
		if s, ok := x.index.slots[uid][0]; ok && s.Home.Node == node {
			runs = append(runs, state.RunStatus{
				Slot: s.ID, Run: state.MakeRunID(s.ID, s.Run.Revision, node, s.Run.Nonce), Revision: s.Run.Revision, Phase: state.Running,
				Ready: refused == "", Refused: refused, Namespace: "default", Name: x.index.workloads[uid].Name, IP: "10.0.0.1",
			})
		}
	}
	return runs
}

// What is kept from Step to Step is what a core would make that begins from
// nothing, in a cluster that is too small for what it is to run.
func TestWhatIsKeptIsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 4}
		x := newCrowd(t, 4, small)
		if rapid.Bool().Draw(t, "heard") { // or the majority is lost whenever time passes
			for _, m := range x.members.byName {
				m.word = math.MaxInt64
			}
		}
		other := rapid.SampledFrom(x.nodes[1:])
		room := rapid.SampledFrom([]state.Resources{small, small, {CPU: 400, Memory: 1 << 30, Pods: 4}, {}})
		create := func(t *rapid.T) {
			x.create(rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "rank"), map[string]any{
				"resources": map[string]any{"requests": map[string]any{"cpu": rapid.SampledFrom([]string{"100m", "300m", "700m", "9e18"}).Draw(t, "cpu")}},
				"ports":     []any{map[string]any{"containerPort": int64(80), "hostPort": rapid.Int64Range(1, 4).Draw(t, "port")}},
			})
		}
		for range rapid.IntRange(0, 12).Draw(t, "pods") {
			create(t)
		}
		do := map[string]func(*rapid.T){
			"create": create,
			"remove": func(t *rapid.T) {
				if keys := sortedKeys(x.index.byKey); len(keys) > 0 {
					if err := x.bury(rapid.SampledFrom(keys).Draw(t, "pod")); err != nil {
						t.Fatal(err)
					}
				}
			},
			"serve": func(t *rapid.T) {
				third := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "third"))
				x.count++
				x.put(state.MakeKey(state.Services, "default", "s"+third), crdt.UID{3, byte(x.count >> 8), byte(x.count)}, map[string]any{"spec": map[string]any{
					"selector": map[string]any{"third": third}, "ports": []any{map[string]any{"port": rapid.Int64Range(80, 81).Draw(t, "port")}},
				}})
			},
			"unserve": func(t *rapid.T) {
				for namespace, of := range x.index.services.byName {
					if names := slices.Sorted(maps.Keys(of)); len(names) > 0 {
						_ = x.bury(state.MakeKey(state.Services, namespace, rapid.SampledFrom(names).Draw(t, "service"))) // or it is buried
					}
				}
			},
			"report": func(t *rapid.T) {
				node := other.Draw(t, "node")
				x.say(node, x.statusOf(node).Allocatable, x.runsAt(node, rapid.SampledFrom([]string{"", "", "PortTaken"}).Draw(t, "refused")))
			},
			"refuse": func(t *rapid.T) { // one run, and forget it
				node := other.Draw(t, "node")
				if runs := x.runsAt(node, ""); len(runs) > 0 {
					i, room := rapid.IntRange(0, len(runs)-1).Draw(t, "run"), x.statusOf(node).Allocatable
					runs[i].Ready, runs[i].Refused = false, "PortTaken"
					x.say(node, room, runs)
					x.rest()
					x.say(node, room, slices.Delete(slices.Clone(runs), i, i+1))
				}
			},
			"resize": func(t *rapid.T) {
				node := other.Draw(t, "node")
				x.say(node, room.Draw(t, "room"), x.runsAt(node, ""))
			},
			"cordon": func(t *rapid.T) {
				node := rapid.SampledFrom(x.nodes).Draw(t, "node")
				next := map[string]any{"spec": map[string]any{"unschedulable": rapid.Bool().Draw(t, "on")}}
				if rapid.Bool().Draw(t, "drain") {
					next["metadata"] = map[string]any{"annotations": map[string]any{state.DrainAnnotation: "true"}}
				}
				x.put(state.MakeKey(state.Nodes, "", node), crdt.UID{2}, next)
			},
			"reach": func(t *rapid.T) {
				peer := x.members.byName[other.Draw(t, "node")].peer
				x.memberChanged(swim.Change{ID: swim.ID(peer), To: rapid.SampledFrom([]swim.State{swim.Alive, swim.Suspect, swim.Unreachable}).Draw(t, "state")})
			},
			"wait": func(t *rapid.T) {
				x.now += time.Duration(rapid.SampledFrom([]int{0, 1, 400, 900, 30_000, 400_000}).Draw(t, "ms")) * time.Millisecond
			},
			"": func(t *rapid.T) {
				x.rest()
				for _, bad := range x.AuditPlan() {
					t.Fatal(bad)
				}
			},
		}
		t.Repeat(do)
	})
}
