//go:build remote

package podman

import (
	"strings"
	"testing"

	"holon/runtime"
)

// TestSecurityOfAContainer is what only a container with files of its own has.
func TestSecurityOfAContainer(t *testing.T) {
	const script = `(echo x > /new) 2>/dev/null && echo writable || echo read-only
		while read key first rest; do case $key in CapBnd:|Seccomp:) echo $key $first;; esac; done < /proc/self/status
		[ -e /dev/kmsg ] && echo devices; exit 0`
	for name, c := range map[string]struct {
		security runtime.Security
		want     string
		without  string
	}{
		"plain":     {runtime.Security{}, "writable\n", "devices"},
		"readonly":  {runtime.Security{ReadOnlyRoot: true}, "read-only\n", "writable"},
		"add":       {runtime.Security{Drop: []string{"all"}, Add: []string{"net_admin"}}, "CapBnd: 0000000000001000\n", "devices"},
		"addcap":    {runtime.Security{Drop: []string{"ALL"}, Add: []string{"CAP_KILL"}}, "CapBnd: 0000000000000020\n", "devices"},
		"seccomp":   {runtime.Security{Unconfined: true}, "Seccomp: 0\n", "Seccomp: 2"},
		"confined":  {runtime.Security{}, "Seccomp: 2\n", "Seccomp: 0"},
		"exclusive": {runtime.Security{Privileged: true, Add: []string{"KILL"}}, "Seccomp: 0\n", "Seccomp: 2"},
	} {
		r := newRuntime(t, "security", name)
		spec := pod(t, r, "security"+name, script)
		spec.Containers[0].Security = c.security
		ensure(t, r, spec)
		awaitState(t, r, spec.ID, 0, runtime.Exited)
		var log strings.Builder
		if err := r.Logs(t.Context(), spec.ID, "main", runtime.LogOptions{Tail: -1}, &log); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); !strings.Contains(got, c.want) || strings.Contains(got, c.without) {
			t.Errorf("%s: it says %q, want %q and not %q", name, got, c.want, c.without)
		}
	}
}

// TestNonRootGoesByTheImage: a number is believed, a name is not, and a group alone goes
// with the image's user.
func TestNonRootGoesByTheImage(t *testing.T) {
	r := newRuntime(t, "users", "n1")
	image := func(user string) string {
		name := "localhost/holon-user-" + user + ":1"
		podman(t, "create", "--name", "holon-user-"+user, testImage, "/bin/true")
		podman(t, "commit", "--change", "USER "+user, "holon-user-"+user, name)
		podman(t, "rm", "-f", "holon-user-"+user)
		t.Cleanup(func() { podman(t, "rmi", "-f", name) })
		return name
	}
	group := int64(77)
	spec := pod(t, r, "usersnumber", `while read key first rest; do case $key in Uid:|Gid:) echo $key $first;; esac; done < /proc/self/status; exit 0`)
	spec.Containers[0].Image = image("4321")
	spec.Containers[0].Security = runtime.Security{NonRoot: true, Group: &group}
	ensure(t, r, spec)
	awaitState(t, r, spec.ID, 0, runtime.Exited)
	var log strings.Builder
	if err := r.Logs(t.Context(), spec.ID, "main", runtime.LogOptions{Tail: -1}, &log); err != nil || log.String() != "Uid: 4321\nGid: 77\n" {
		t.Errorf("it runs as %q, %v", log.String(), err)
	}
	named := pod(t, r, "usersname", forever)
	named.Containers[0].Image = image("app")
	named.Containers[0].Security = runtime.Security{NonRoot: true}
	wantKind(t, r.EnsurePod(t.Context(), named), runtime.BadConfig, `"app" is not a number`)
}
