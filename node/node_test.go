package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
)

func TestThreeShellsRunAWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		if err := c.nodes[1].create(state.Deployments, "web", deployment(3)); err != nil {
			t.Fatal(err)
		}
		c.await("three ready pods in every view", func() bool {
			return !slices.ContainsFunc(c.nodes, func(m *member) bool { return len(m.readyPods()) != 3 })
		})
	})
}

func TestAStandInRunsWhileADaemonAndItsHostAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.runWeb(3)
		c.nodes[2].down()
		c.await("a stand-in serves", func() bool {
			pods := c.nodes[0].readyPods()
			return len(pods) == 3 && !strings.Contains(strings.Join(pods, ","), "on n3")
		})
		c.nodes[2].up()
		c.await("the home has its slot back", func() bool {
			return len(c.nodes[0].readyPods()) == 3 && strings.Contains(strings.Join(c.nodes[0].readyPods(), ","), "on n3")
		})
	})
}

func TestARestartKeepsEverythingAndAdoptsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		c.runWeb(2)
		before := n.readyPods()
		n.down()
		n.up()
		c.await("the same two pods", func() bool { return slices.Equal(n.readyPods(), before) })
		for start, count := range startsOf(n) {
			if count != 1 || start.Attempt != 0 {
				t.Errorf("%+v began %d times", start, count)
			}
		}
	})
}

func TestStartsDoNotWaitForStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		if err := n.create(state.Deployments, "old", deploymentOf("stubborn", 2*ordersMax)); err != nil {
			t.Fatal(err)
		}
		c.await("all of the old ones", func() bool { return len(n.readyPods()) == 2*ordersMax })
		object, _ := n.cfg.Cache.Get(api.Key{Resource: state.Deployments, Namespace: "default", Name: "old"})
		uid := object.Value()["metadata"].(map[string]any)["uid"].(string)
		if _, err := n.Mutate(t.Context(), api.Mutation{Key: object.Key, UID: uid, Old: object.Value()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := n.create(state.Deployments, "web", deployment(3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // a sixth of the grace period
		if ready := n.readyPods(); len(ready) != 3 {
			t.Errorf("ready while the old ones take their time to end: %v, want 3", ready)
		}
	})
}

func TestNothingIsAcknowledgedWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		n, other := c.nodes[0], c.nodes[1]
		n.disk.breakWith(errBroken)
		if err := n.create(state.ConfigMaps, "a", map[string]any{"data": map[string]any{"k": "v"}}); !errors.Is(err, api.ErrNotDurable) {
			t.Fatalf("a write while the disk fails: %v, want ErrNotDurable", err)
		}
		if err := n.create(state.ConfigMaps, "b", map[string]any{}); !errors.Is(err, api.ErrNotDurable) {
			t.Errorf("a second write: %v, want ErrNotDurable", err)
		}
		time.Sleep(5 * time.Second)
		if _, shown := n.cfg.Cache.Get(api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: "a"}); shown {
			t.Error("what is not on disk is shown to readers")
		}
		if _, sent := other.cfg.Cache.Get(api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: "a"}); sent {
			t.Error("what is not on disk was sent to a peer")
		}
		status, err := n.Status(t.Context())
		if err != nil || !strings.Contains(strings.Join(status.Sentences, " "), errBroken.Error()) {
			t.Errorf("status does not say what is wrong: %q, %v", status.Sentences, err)
		}
		for _, view := range c.nodes { // its own included, whose disk is what fails
			if ready := view.readyNodes(); ready != 1 {
				t.Errorf("%s shows %d nodes Ready while the disk of n1 fails, want 1", view.id.Name, ready)
			}
		}
		if err := other.create(state.Deployments, "web", deployment(3)); err != nil {
			t.Fatal(err)
		}
		c.await("three pods, none of them where the disk fails", func() bool {
			pods := other.readyPods()
			return len(pods) == 3 && !slices.ContainsFunc(pods, func(p string) bool { return !strings.HasSuffix(p, "on n2") })
		})
		n.disk.breakWith(nil)
		c.await("every node is Ready again in every view", func() bool { return n.readyNodes() == 2 && other.readyNodes() == 2 })
		c.await("the node takes writes again", func() bool { return n.create(state.ConfigMaps, "c", map[string]any{}) == nil })
		c.await("the peer has it", func() bool {
			_, ok := other.cfg.Cache.Get(api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: "c"})
			return ok
		})
	})
}

func TestLogsAndExecReachTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.runWeb(3)
		for _, entry := range c.nodes {
			for _, pod := range entry.readyPods() {
				name, _, _ := strings.Cut(pod, " ")
				var out bytes.Buffer
				if err := entry.Logs(t.Context(), "default", name, api.LogOptions{Tail: -1, Actor: api.Owner}, &out); err != nil {
					t.Errorf("logs of %s through %s: %v", pod, entry.id.Name, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				out.Reset()
				var stderr bytes.Buffer
				said := strings.Repeat("hello ", 20_000) // more than one frame
				code, err := entry.Exec(ctx, "default", name, "app", []string{"cat", "-"}, api.Stream{Actor: api.Owner, Stdin: strings.NewReader(said), Stdout: &out, Stderr: &stderr})
				cancel()
				if err != nil || code != 3 || !strings.HasSuffix(out.String(), "app [cat -] "+said) || stderr.String() != "warning" {
					t.Errorf("exec in %s through %s: code %d, %d bytes, stderr %q, %v", pod, entry.id.Name, code, out.Len(), stderr.String(), err)
				}
				out.Reset()
				stderr.Reset()
				err = entry.Attach(t.Context(), "default", name, "", api.Stream{Actor: api.Owner, Stdin: strings.NewReader(said), Stdout: &out, Stderr: &stderr})
				if err != nil || !strings.HasSuffix(out.String(), "app [attached] "+said) || stderr.String() != "warning" {
					t.Errorf("attach to %s through %s: %d bytes, stderr %q, %v", pod, entry.id.Name, out.Len(), stderr.String(), err)
				}
			}
		}
		if err := c.nodes[0].Attach(t.Context(), "default", "nobody", "", api.Stream{}); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("attach to a pod that is not there: %v", err)
		}
		if _, err := c.nodes[0].Exec(t.Context(), "default", "nobody", "", nil, api.Stream{}); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("exec in a pod that is not there: %v", err)
		}
		events, missing, err := c.nodes[0].Events(t.Context(), "default")
		if err != nil || len(missing) != 0 || len(events) == 0 {
			t.Errorf("%d events, missing %v, %v", len(events), missing, err)
		}
	})
}

// What several nodes saw is one Event, which says what it is about and who saw it.
func TestEventsOfSeveralNodesAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.runWeb(3)
		c.nodes[2].down()
		defer c.nodes[2].up()
		said := func() []map[string]any {
			events, _, err := c.nodes[0].Events(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			return slices.DeleteFunc(events, func(e map[string]any) bool { return e["reason"] != "NodeUnreachable" })
		}
		c.await("both others say so", func() bool { found := said(); return len(found) > 0 && found[0]["reportingInstance"] == "n1,n2" })
		found := said()
		about := found[0]["involvedObject"].(map[string]any)
		node, _ := c.nodes[0].cfg.Cache.Get(api.Key{Resource: state.Nodes, Name: "n3"})
		if len(found) != 1 || found[0]["count"] != int64(1) || about["kind"] != "Node" || about["apiVersion"] != "v1" {
			t.Errorf("%v", found)
		}
		if uid := node.Value()["metadata"].(map[string]any)["uid"]; about["uid"] != uid || uid == "" {
			t.Errorf("uid %v, that of the node is %v", about["uid"], uid)
		}
	})
}

func TestMergedEventsStayApartInTimeAndByNode(t *testing.T) {
	at := func(node, wall string, count int64) map[string]any {
		return map[string]any{
			"involvedObject": map[string]any{"kind": "Node", "name": "n3"}, "reason": "R", "message": "m", "type": "Normal",
			"firstTimestamp": wall, "lastTimestamp": wall, "count": count, "reportingInstance": node,
		}
	}
	merged := mergeEvents([]map[string]any{
		at("n2", "2026-01-01T00:00:00Z", 1), at("n1", "2026-01-01T00:00:10Z", 4), at("n1", "2026-01-01T00:00:12Z", 1), at("n2", "2026-01-01T00:01:00Z", 1),
	})
	var got []string
	for _, e := range merged {
		got = append(got, fmt.Sprint(e["reportingInstance"], " x", e["count"], " ", e["firstTimestamp"], " ", e["lastTimestamp"]))
	}
	want := []string{
		"n1,n2 x4 2026-01-01T00:00:00Z 2026-01-01T00:00:10Z", "n1 x1 2026-01-01T00:00:12Z 2026-01-01T00:00:12Z", "n2 x1 2026-01-01T00:01:00Z 2026-01-01T00:01:00Z",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUnreachableOwnerIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		var far string
		for _, pod := range c.nodes[0].readyPods() {
			if strings.HasSuffix(pod, "on n2") {
				far, _, _ = strings.Cut(pod, " ")
			}
		}
		c.nodes[1].down()
		defer c.nodes[1].up()
		err := c.nodes[0].Logs(t.Context(), "default", far, api.LogOptions{Tail: -1, Actor: api.Owner}, &bytes.Buffer{})
		if !errors.Is(err, api.ErrUnreachable) || !strings.Contains(err.Error(), "n2") {
			t.Errorf("logs of a pod on a lost node: %v", err)
		}
	})
}

func TestDrainEmptiesANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.runWeb(3)
		var said []string
		if err := c.nodes[2].Drain(t.Context(), func(text string) { said = append(said, text) }); err != nil {
			t.Fatal(err)
		}
		c.await("three ready pods elsewhere", func() bool {
			pods := c.nodes[0].readyPods()
			return len(pods) == 3 && !strings.Contains(strings.Join(pods, ","), "on n3")
		})
		if len(said) == 0 {
			t.Error("a drain says nothing")
		}
	})
}

// TestABlockedNodeIsKnownBeforeTheMeshStarts: the block list is by name, and the
// names are on the disk.
func TestABlockedNodeIsKnownBeforeTheMeshStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		m := c.nodes[2]
		if m.blocked != nil {
			t.Error("a node that was told nothing blocks somebody")
		}
		m.down()
		m.cut = []string{"n1"}
		m.up()
		for i, want := range []bool{true, false, false} {
			if m.blocked == nil || m.blocked(c.nodes[i].id.Peer()) != want {
				t.Errorf("at the start n%d is blocked: %v, want %v", i+1, !want, want)
			}
		}
	})
}

// TestExecLogsWhoAsked: on the node that was asked and on the one that runs the
// pod, without the command.
func TestExecLogsWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		entry := c.nodes[0]
		for _, pod := range entry.readyPods() {
			name, owner, _ := strings.Cut(pod, " on ")
			if _, err := entry.Exec(t.Context(), "default", name, "app", []string{"s3cret"}, api.Stream{Actor: api.Actor{User: "ann", Groups: api.Owner.Groups}}); err != nil {
				t.Fatal(err)
			}
			if got := entry.log.lines("exec", "default/"+name, "owner="+owner, "user=ann"); len(got) != 1 {
				t.Errorf("exec in %s through n1: n1 logs %q", pod, got)
			}
		}
		if got := c.nodes[1].log.lines("exec", "entry=n1", "container=app", "user=ann"); len(got) != 1 {
			t.Errorf("n2 logs %q of the exec that came through n1", got)
		}
		for _, m := range c.nodes {
			if got := m.log.lines("s3cret"); len(got) > 0 {
				t.Errorf("%s logs the command: %q", m.id.Name, got)
			}
		}
	})
}

// TestALongCommandReachesTheOwner: longer than any buffer that a reader has by
// itself, up to the bound of a request, which is named.
func TestALongCommandReachesTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		entry := c.nodes[0]
		for _, pod := range entry.readyPods() {
			name, owner, _ := strings.Cut(pod, " on ")
			var out bytes.Buffer
			long := strings.Repeat("x", requestMax/2)
			if _, err := entry.Exec(t.Context(), "default", name, "app", []string{long}, api.Stream{Actor: api.Owner, Stdout: &out}); err != nil || !strings.Contains(out.String(), long) {
				t.Errorf("exec of %d bytes on %s: %d bytes arrived, %v", len(long), owner, out.Len(), err)
			}
			_, err := entry.Exec(t.Context(), "default", name, "app", []string{long, long}, api.Stream{})
			if far := owner != "n1"; far != errors.Is(err, api.ErrInvalid) {
				t.Errorf("exec of %d bytes on %s: %v", 2*len(long), owner, err)
			}
		}
	})
}

func TestATerminalHasItsSizeFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		for _, entry := range c.nodes {
			for _, pod := range entry.readyPods() {
				name, _, _ := strings.Cut(pod, " ")
				for _, late := range []time.Duration{0, firstSizeWait / 2, 2 * firstSizeWait} {
					ctx, cancel := context.WithCancel(t.Context())
					sizes := make(chan api.TerminalSize, 1)
					time.AfterFunc(late, func() { sizes <- api.TerminalSize{Width: 101, Height: 33} })
					want := "101x33"
					if late > firstSizeWait {
						want = "0x0" // it may not hold up the command for ever
					}
					var out bytes.Buffer
					code, err := entry.Exec(ctx, "default", name, "app", []string{"sh"}, api.Stream{Actor: api.Owner, Stdout: &out, TTY: true, Resize: sizes})
					cancel()
					if err != nil || code != 3 || out.String() != want {
						t.Errorf("exec in %s through %s, with a size after %v: code %d, it began with %q, want %q, %v", pod, entry.id.Name, late, code, out.String(), want, err)
					}
				}
			}
		}
	})
}
