//go:build remote

package podman

import (
	"strings"
	"testing"

	"holon/runtime"
)

// TestPodSurroundings: names of hosts, the resolver, and processes that are shared.
func TestPodSurroundings(t *testing.T) {
	r := newRuntime(t, "surround", "n1")
	spec := pod(t, r, "surround", "cat /etc/hosts /etc/resolv.conf /proc/1/cmdline; exit 0")
	spec.Hosts = []runtime.Host{{IP: "192.0.2.9", Names: []string{"one.example", "two.example"}}}
	spec.DNS = &runtime.DNS{Servers: []string{"192.0.2.53"}, Searches: []string{"a.example"}, Options: []string{"ndots:3"}}
	spec.ShareIDs = true
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Exited)
	var log strings.Builder
	if err := r.Logs(t.Context(), spec.ID, "main", runtime.LogOptions{Tail: -1}, &log); err != nil {
		t.Fatal(err)
	}
	got := log.String()
	for _, want := range []string{"192.0.2.9", "one.example", "two.example", "nameserver 192.0.2.53", "search a.example", "ndots:3", "catatonit"} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing of %s in %q", want, got)
		}
	}
	if strings.Count(got, "nameserver") != 1 {
		t.Errorf("other servers, too: %q", got)
	}
}
