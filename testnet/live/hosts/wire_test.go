package hosts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// newFabric makes hosts without holon. Nothing may be left of them.
func newFabric(t *testing.T, count int) *Fabric {
	t.Helper()
	dir, err := os.MkdirTemp("", "hosts")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), Config{Dir: dir, Holon: "/nonexistent/holon", Hosts: count})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		before, err := f.Traces()
		if err != nil {
			t.Error(err)
		}
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
		for _, left := range before.Left() {
			t.Errorf("left behind: %s", left)
		}
	})
	return f
}

// heard lists who hears whom: "n1>n2" if a ping of n1 gets to n2, whatever becomes
// of the answer.
func heard(t *testing.T, f *Fabric) string {
	t.Helper()
	var found []string
	for _, to := range f.Hosts {
		for _, from := range f.Hosts {
			if from == to {
				continue
			}
			before := echos(t, to)
			// It fails if there is no answer, too: what counts is what arrived.
			_, _ = from.Enter(t.Context(), "", "timeout", "0.3", "busybox", "ping", "-c", "1", to.Address().String())
			if echos(t, to) != before {
				found = append(found, from.Name+">"+to.Name)
			}
		}
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// echos is how many pings a host has received.
func echos(t *testing.T, h *Host) string {
	t.Helper()
	text, err := h.Enter(t.Context(), "", "cat", "/proc/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var icmp [][]string // names, then values
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Icmp:") {
			icmp = append(icmp, strings.Fields(line))
		}
	}
	return icmp[1][slices.Index(icmp[0], "InEchos")]
}

// Each fault of the wire does what it says, and Heal ends it.
func TestWire(t *testing.T) {
	f, ctx := newFabric(t, 3), t.Context()
	const all = "n1>n2 n1>n3 n2>n1 n2>n3 n3>n1 n3>n2"
	n3, err := f.Host("n3")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"as it was made", func() error { return nil }, all},
		{"one way", func() error { return f.OneWay(ctx, "n1", "n2") }, "n1>n3 n2>n1 n2>n3 n3>n1 n3>n2"},
		{"healed", func() error { return f.Heal(ctx) }, all},
		{"partition", func() error { return f.Partition(ctx, []string{"n1"}) }, "n2>n3 n3>n2"},
		{"another partition", func() error { return f.Partition(ctx, []string{"n1", "n3"}, []string{"n2"}) }, "n1>n3 n3>n1"},
		{"cable out", func() error { _ = f.Heal(ctx); return n3.LinkDown(ctx) }, "n1>n2 n2>n1"},
		{"healed again", func() error { return f.Heal(ctx) }, all},
		{"no loss", func() error { return f.Loss(ctx, 0, "n1") }, all},
		{"other addresses", func() error { return f.ChangeAddress(ctx) }, all},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got := heard(t, f)
		for range 10 { // who did not find the other one a moment ago may need a while
			if got == step.want {
				break
			}
			got = heard(t, f)
		}
		if got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// Some frames of a lossy host arrive and some do not. One chance in 10^17 is that
// this test is wrong.
func TestLoss(t *testing.T) {
	f, ctx := newFabric(t, 2), t.Context()
	if err := f.Loss(ctx, 50, "n2"); err != nil {
		t.Fatal(err)
	}
	const pings = 60
	from, to := f.Hosts[0], f.Hosts[1]
	if _, err := from.Enter(ctx, "", "ip", "neigh", "add", to.Address().String(), "lladdr", hardware(t, to), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	_, _ = from.Enter(ctx, "", "busybox", "ping", "-c", strconv.Itoa(pings), "-i", "0.01", "-W", "1", to.Address().String())
	if got, err := strconv.Atoi(echos(t, to)); err != nil || got == 0 || got == pings {
		t.Errorf("%d of %d arrived: %v", got, pings, err)
	}
	if err := f.Loss(ctx, 100, "n2"); err == nil {
		t.Error("a loss of 100 % is taken")
	}
	if err := f.Loss(ctx, 10, "n7"); err == nil {
		t.Error("a host that is not there is taken")
	}
}

func hardware(t *testing.T, h *Host) string {
	t.Helper()
	out, err := h.Enter(t.Context(), "", "ip", "-o", "link", "show", "eth0") // /sys is the machine's
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(out)
	return words[slices.Index(words, "link/ether")+1]
}

// Each frame is drawn once, also one between two lossy hosts.
func TestRulesOfLoss(t *testing.T) {
	text := faults{percent: 20, lossy: []string{"n1", "n3"}}.ruleset([]string{"n1", "n2", "n3"})
	for _, want := range []string{
		"  iifname { \"n1\", \"n3\" } numgen random mod 100 < 20 drop\n",
		"  iifname != { \"n1\", \"n3\" } oifname { \"n1\", \"n3\" } numgen random mod 100 < 20 drop\n",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("not once %q:\n%s", want, text)
		}
	}
}

// What is left of hosts is seen: here the fabric forgets one before it closes, and
// its pod's control group is made by hand.
func TestTracesAreSeen(t *testing.T) {
	f := newFabric(t, 2)
	forgotten := f.Hosts[1]
	group := filepath.Join(cgroupRoot, "libpod_parent", "hosts"+fmt.Sprint(os.Getpid()))
	if groups, err := filepath.Glob(cgroupRoot + "/*/cgroup.procs"); err == nil && len(groups) > 0 {
		group = filepath.Join(filepath.Dir(groups[0]), "libpod_parent", "hosts"+fmt.Sprint(os.Getpid()))
	}
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	event := fmt.Sprintf("{\"ID\":%q,\"Type\":\"pod\",\"Status\":\"create\"}\nhalf a li", filepath.Base(group))
	if err := os.WriteFile(forgotten.at("events.log"), []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := f.Traces()
	if err != nil {
		t.Fatal(err)
	}
	f.Hosts = f.Hosts[:1]
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := strings.Join(before.Left(), "\n")
	for _, want := range []string{"process " + forgotten.first.id(), "in net:", group} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is not seen:\n%s", want, seen)
		}
	}
	f.Hosts = append(f.Hosts, forgotten)
	if err := os.MkdirAll(forgotten.at(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(forgotten.at("events.log"), []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := before.Left(); len(left) > 0 {
		t.Errorf("still seen after it is gone: %v", left)
	}
}
