package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/node/api"
	"holon/runtime"
	"holon/runtime/runtimetest"
)

// withUsage makes hosts whose machine computes with so many cores, and whose pods use
// 250 millicores and 8 MiB each.
func withUsage(cores float64) func(*member) {
	return func(m *member) {
		m.used = func() (HostUsage, error) {
			return HostUsage{CPU: time.Duration(cores * float64(time.Since(m.c.start))), Memory: 1 << 29}, nil
		}
		m.host = runtimetest.NewSimulated(runtimetest.HostConfig{
			Node: m.id.Name, StartDelay: 100 * time.Millisecond,
			Program: func(runtime.Spec, runtime.Container, int) (runtimetest.Program, error) {
				return runtimetest.Program{RunFor: runtimetest.Never, CPU: 250, Memory: 8 << 20}, nil
			},
		})
	}
}

// told is an answer in words.
func told(usage []api.NodeUsage) (lines []string) {
	for _, u := range usage {
		line := fmt.Sprintf("%s: %.2f cores, %d MiB", u.Node, float64(u.CPU)/1e9, u.Memory>>20)
		for _, r := range u.Runs {
			for _, c := range r.Containers {
				line += fmt.Sprintf("; %s %.2f cores, %d MiB", c.Name, float64(c.CPU)/1e9, c.Memory>>20)
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func TestEveryNodeTellsWhatAllUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 3, withUsage(1.5))
		defer c.close()
		c.runWeb(3)
		time.Sleep(time.Second)
		pods := []string{}
		for _, name := range []string{"n1", "n2", "n3"} {
			pods = append(pods, name+": 1.50 cores, 512 MiB; app 0.25 cores, 8 MiB")
		}
		for _, n := range c.nodes {
			usage, missing, err := n.Usage(t.Context(), api.UsageQuery{Pods: true})
			if got := told(usage); err != nil || len(missing) > 0 || !slices.Equal(got, pods) {
				t.Errorf("%s says %q (missing %v, error %v), want %q", n.id.Name, got, missing, err, pods)
			}
		}
		one, missing, err := c.nodes[0].Usage(t.Context(), api.UsageQuery{Node: "n3"})
		if got := told(one); err != nil || len(missing) > 0 || !slices.Equal(got, []string{"n3: 1.50 cores, 512 MiB"}) {
			t.Errorf("of n3 alone: %q, missing %v, error %v", got, missing, err)
		}

		// Who is gone, or cannot say, is left out and named.
		c.nodes[2].down()
		c.nodes[1].host.Do(func(h *runtimetest.Host, _ time.Duration) { h.SetDown(true) })
		time.Sleep(usageFresh)
		usage, missing, err := c.nodes[0].Usage(t.Context(), api.UsageQuery{Pods: true})
		if got := told(usage); err != nil || strings.Join(missing, " ") != "n2 n3" || len(got) != 1 || !strings.HasPrefix(got[0], "n1") {
			t.Errorf("with n2's runtime and n3 gone: %q, missing %v, error %v", got, missing, err)
		}
		usage, missing, err = c.nodes[0].Usage(t.Context(), api.UsageQuery{})
		if got := told(usage); err != nil || strings.Join(missing, " ") != "n3" || len(got) != 2 {
			t.Errorf("nodes with n2's runtime and n3 gone: %q, missing %v, error %v", got, missing, err)
		}
		c.nodes[1].host.Do(func(h *runtimetest.Host, _ time.Duration) { h.SetDown(false) })
		c.nodes[2].up()
	})
}

// A restart within the window takes nothing from what the container has used in it.
func TestUsageOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 1, withUsage(0))
		defer c.close()
		c.runWeb(1)
		n := c.nodes[0]
		time.Sleep(time.Hour)
		if _, _, err := n.Usage(t.Context(), api.UsageQuery{}); err != nil {
			t.Fatal(err)
		}
		n.host.Do(func(h *runtimetest.Host, now time.Duration) {
			h.Kill(now, h.Statuses(now)[0].ID, "app")
		})
		time.Sleep(20 * time.Second)
		usage, _, err := n.Usage(t.Context(), api.UsageQuery{Pods: true})
		if err != nil || len(usage) != 1 || len(usage[0].Runs) != 1 || usage[0].Took != 20*time.Second {
			t.Fatalf("%+v, error %v", usage, err)
		}
		if cpu := usage[0].Runs[0].Containers[0].CPU; cpu < 245e6 || cpu > 250e6 {
			t.Errorf("a container that always uses a quarter of a core, and was away for a moment, used %d billionths", cpu)
		}
	})
}

// Windows go from one question to the next, but for those that come too soon or too late.
func TestWindowsOfUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 1, withUsage(2))
		defer c.close()
		n := c.nodes[0]
		for _, ask := range []struct{ after, takes, window time.Duration }{
			{0, usageWindowMin, usageWindowMin},                    // the first one
			{usageFresh - 1, 0, usageWindowMin},                    // the same answer again
			{30 * time.Second, 0, 30*time.Second + usageFresh - 1}, // since then
			{usageWindowMax + 1, usageWindowMin, usageWindowMin},
		} {
			time.Sleep(ask.after)
			begin := time.Now()
			usage, _, err := n.Usage(t.Context(), api.UsageQuery{})
			if err != nil || len(usage) != 1 {
				t.Fatalf("%+v, error %v", usage, err)
			}
			if took := time.Since(begin); took != ask.takes || usage[0].Took != ask.window || usage[0].CPU != 2e9 {
				t.Errorf("asked after %v: answered in %v, window %v, %d billionths of a core; want %v, %v and two cores",
					ask.after, took, usage[0].Took, usage[0].CPU, ask.takes, ask.window)
			}
		}
	})
}

func TestUsageOfThisHost(t *testing.T) {
	const (
		stat   = "cpu  100 20 30 9999 8888 4 6 7777 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
		memory = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n"
	)
	got, err := hostUsageOf(stat, memory)
	if want := (HostUsage{CPU: 1600 * time.Millisecond, Memory: 400 << 10}); err != nil || got != want {
		t.Errorf("%+v, error %v, want %+v", got, err, want)
	}
	for _, bad := range [][2]string{{"", memory}, {"intr 1", memory}, {"cpu a b c d e f g h i", memory}, {stat, "MemTotal: 5 kB"}} {
		if got, err := hostUsageOf(bad[0], bad[1]); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	if here, err := ThisHostUsage(); err != nil || here.CPU <= 0 || here.Memory <= 0 {
		t.Errorf("this machine: %+v, error %v", here, err)
	}
}
