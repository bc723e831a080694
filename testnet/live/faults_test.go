package live

import (
	"testing"
	"time"
)

// TestPowerCutOfTheScheduler cuts the power of the node that schedules a
// workload and runs part of it: the others replace what was lost. When it is
// back, it runs what is its own again, once.
func TestPowerCutOfTheScheduler(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 5, runtime)
		n.deployWeb(6)
		victim := n.scheduler("n1", "deploy/web")
		witness := others(n.names(), victim)[0]
		began := time.Now()
		n.must("kill", victim)
		eventually(t, "six replicas serve without "+victim, func() error { return n.served(witness, 6, victim) })
		t.Logf("all replicas serve %.1f s after the power cut of the scheduler", time.Since(began).Seconds())
		if next := n.scheduler(witness, "deploy/web"); next == victim || next == "" {
			t.Errorf("%q schedules after the power cut of %s", next, victim)
		}
		n.must("start", victim)
		for _, node := range n.names() {
			n.awaitServing(node, 6)
		}
	})
}

// TestPartitionAndHeal cuts five nodes in three and two, edits different fields
// on both sides, and heals: both edits hold, exactly the wanted replicas run,
// and those of before the cut were never restarted.
func TestPartitionAndHeal(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		n := up(t, 5, runtime)
		n.deployWeb(5)
		before, runs := n.awaitServing("n1", 5)
		n.must("partition", "n1,n2,n3|n4,n5")
		n.on("n1", "scale", "deploy/web", "--replicas", "7")
		n.on("n5", "label", "deploy/web", "edited-by=the-small-side")
		n.on("n2", "patch", "configmap", "web", "-p", `{"data":{"colour":"blue"}}`)
		n.on("n4", "patch", "configmap", "web", "-p", `{"data":{"size":"large"}}`)
		for _, node := range []string{"n1", "n2", "n3"} {
			eventually(t, "the large side serves seven by itself", func() error { return n.served(node, 7, "") })
		}
		for _, node := range []string{"n4", "n5"} {
			eventually(t, "the small side serves five by itself", func() error { return n.served(node, 5, "") })
		}
		began := time.Now()
		n.must("heal")
		for _, node := range n.names() {
			n.awaitOutput(node, "7 the-small-side", "get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {.metadata.labels.edited-by}")
			n.awaitOutput(node, "blue large", "get", "configmap", "web", "-o", "jsonpath={.data.colour} {.data.size}")
		}
		t.Logf("both sides' edits on all nodes %.1f s after the heal", time.Since(began).Seconds())
		for _, node := range n.names() {
			after, again := n.awaitServing(node, 7)
			for name, p := range before {
				if q := after[name]; p.life() != q.life() || runs[name] != again[name] {
					t.Errorf("%s sees %s restarted: before %s, run %s; after %s, run %s", node, name, p.life(), runs[name], q.life(), again[name])
				}
			}
		}
		t.Logf("exactly 7 replicas on all nodes %.1f s after the heal", time.Since(began).Seconds())
	})
}
