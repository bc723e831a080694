//go:build remote

package podman

import (
	"errors"
	"testing"

	"holon/runtime"
)

// The sentences are those of Podman 4.3.1 and 5.8.2, runc 1.1.5 and crun 1.8.
func TestClassify(t *testing.T) {
	for text, want := range map[string]runtime.Kind{
		`cannot listen on the TCP port: listen tcp4 127.0.0.1:8080: bind: address already in use`:                                                                                                                        runtime.PortTaken,
		`runc: runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH: OCI runtime attempted to invoke a command that was not found`:                                    runtime.BadCommand,
		"crun: executable file `nope` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found":                                                                       runtime.BadCommand,
		`runc: exec failed: unable to start container process: exec: "/x": permission denied: OCI permission denied`:                                                                                                     runtime.BadCommand,
		`runc: runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: OCI permission denied`: runtime.Failed,
		`creating container storage: the container name "x" is already in use by 12. You have to remove that container to be able to reuse that name: that name is already in use`:                                       runtime.NameTaken,
		`adding pod to state: name "holon-x" is in use: pod already exists`:                                                                                                                                              runtime.NameTaken,
		`no container with name or ID "x" found: no such container`:                                                                                                                                                      runtime.NotFound,
		`unable to find pod "x": no such pod`: runtime.NotFound,
		`x: image not known`:                  runtime.ImageMissing,
		`fork/exec: cannot allocate memory`:   runtime.OutOfMemory,
		`something nobody has seen`:           runtime.Failed,
	} {
		if got := classify("op", errors.New(text)); got.Kind != want {
			t.Errorf("%q is %s, want %s", text, got.Kind, want)
		}
	}
}

func TestRuleSplitting(t *testing.T) {
	got := splitRule(`NETAVARK-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: n id: 1" -j X`)
	want := []string{"NETAVARK-HOSTPORT-DNAT", "-p", "tcp", "-m", "comment", "--comment", "dnat name: n id: 1", "-j", "X"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}
