package p2ptest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"holon/p2p"
)

func build(n *Net) func(t *testing.T, count int) []Fixture {
	made := 0
	return func(_ *testing.T, count int) []Fixture {
		var fs []Fixture
		for range count {
			r := NewRecorder()
			fs = append(fs, Fixture{Mesh: n.Join(p2p.PeerID(fmt.Sprintf("peer-%d", made)), r), Events: r})
			made++
		}
		return fs
	}
}

func TestConformance(t *testing.T) { Conformance(t, build(NewNet(1))) }

func meshed(t *testing.T, net *Net, n int) []Fixture { return builder(build(net)).meshed(t, n) }

func ids(fs ...Fixture) (out []p2p.PeerID) {
	for _, f := range fs {
		out = append(out, f.ID())
	}
	return out
}

func TestPartitionAndHeal(t *testing.T) {
	net := NewNet(3)
	fs := meshed(t, net, 4)
	net.Partition(ids(fs[:2]...), ids(fs[2:]...))
	for _, f := range fs[:2] {
		f.Events.AwaitDown(t, ids(fs[2:]...)...)
		f.Mesh.Broadcast([]byte("cut off"))
	}
	fs[1].Events.AwaitFrame(t, fs[0].ID(), []byte("cut off"))
	if !fs[0].Events.IsUp(fs[1].ID()) || len(fs[3].Events.Frames(fs[0].ID())) != 0 {
		t.Error("the cut goes elsewhere")
	}
	net.Heal()
	for _, f := range fs[:2] {
		f.Events.AwaitUp(t, ids(fs[2:]...)...)
	}
}

func TestOneWayCutLosesOneDirection(t *testing.T) {
	net := NewNet(4)
	fs := meshed(t, net, 2)
	a, z := fs[0], fs[1]
	net.Cut(a.ID(), z.ID())
	a.Mesh.Send(z.ID(), []byte("lost"))
	z.Mesh.Send(a.ID(), []byte("heard"))
	a.Events.AwaitFrame(t, z.ID(), []byte("heard"))
	net.Heal()
	a.Mesh.Send(z.ID(), []byte("later"))
	z.Events.AwaitFrame(t, a.ID(), []byte("later"))
	if n := len(z.Events.Frames(a.ID())); n != 1 || z.Events.Downs(a.ID()) != 0 {
		t.Errorf("%d frames, %d downs", n, z.Events.Downs(a.ID()))
	}
}

func TestFaultsFollowTheSeed(t *testing.T) {
	run := func(seed uint64, f Faults) (arrived []string) {
		synctest.Test(t, func(t *testing.T) {
			net := NewNet(seed)
			fs := meshed(t, net, 2)
			net.SetFaults(f)
			for i := range 200 {
				fs[0].Mesh.Send(fs[1].ID(), fmt.Appendf(nil, "%d", i))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, fr := range fs[1].Events.Frames(fs[0].ID()) {
				arrived = append(arrived, string(fr))
			}
			for _, x := range fs {
				x.Mesh.Close()
			}
		})
		return arrived
	}
	lossy := run(7, Faults{Loss: 0.3})
	if len(lossy) > 170 || len(lossy) < 110 {
		t.Errorf("%d of 200 arrived at 30 %% loss", len(lossy))
	}
	if twice := run(7, Faults{Duplicate: 0.5}); len(twice) < 270 || len(twice) > 330 {
		t.Errorf("%d arrived of 200 sent, half of them twice", len(twice))
	}
	mixed := Faults{Loss: 0.1, Duplicate: 0.1, Reorder: 0.2, Delay: 5 * time.Millisecond}
	first := run(7, mixed)
	if fmt.Sprint(first) != fmt.Sprint(run(7, mixed)) {
		t.Error("one seed, two runs")
	}
	if fmt.Sprint(first) == fmt.Sprint(run(8, mixed)) {
		t.Error("two seeds, one run")
	}
}

func TestDelayIsVirtualInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := NewNet(5)
		fs := meshed(t, net, 2)
		net.SetFaults(Faults{Delay: time.Hour})
		start := time.Now()
		fs[0].Mesh.Send(fs[1].ID(), []byte("slow"))
		synctest.Wait()
		if len(fs[1].Events.Frames(fs[0].ID())) != 0 {
			t.Error("no delay")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(fs[1].Events.Frames(fs[0].ID())) != 1 || time.Since(start) != time.Hour {
			t.Errorf("after %v: %d frames", time.Since(start), len(fs[1].Events.Frames(fs[0].ID())))
		}
		for _, f := range fs {
			f.Mesh.Close()
		}
	})
}
