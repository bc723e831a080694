package runtimetest

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"holon/runtime"
)

func id(n int64) *int64 { return &n }

// whoAmI prints what the kernel says of the shell that runs it. Its groups are in no order.
const whoAmI = `while read key first rest; do case $key in
	Groups:) case " $first $rest " in *" 3456 "*) echo Groups: 3456;; esac;;
	Uid:|Gid:|NoNewPrivs:|CapBnd:) echo $key $first;; esac; done < /proc/self/status`

// testSecurityUser: user, groups and privileges are as asked, for a command that joins, too.
func testSecurityUser(h *harness) {
	if os.Geteuid() != 0 {
		h.t.Log("not for a user who cannot give identities")
		return
	}
	conf, scratch := h.Path("/holon-conf"), h.Path("/holon-scratch")
	script := whoAmI + fmt.Sprintf("\ncat %s/shared; echo written > %s/a && cat %s/a\n(cat %s/closed) 2>/dev/null || echo closed; echo done; exec sleep 1000", conf, scratch, scratch, conf)
	c := h.container("main", script)
	c.Mounts = []runtime.Mount{{Volume: "conf", Path: "/holon-conf"}, {Volume: "scratch", Path: "/holon-scratch"}}
	c.Security = runtime.Security{User: id(1234), Group: id(2345), Groups: []int64{3456}, NonRoot: true, NoNewPrivs: true, Drop: []string{"ALL"}, Add: []string{"KILL"}}
	spec := h.pod(c)
	spec.FSGroup = id(3456)
	spec.Volumes = []runtime.Volume{{Name: "conf", Files: []runtime.File{
		{Path: "shared", Data: []byte("shared\n"), Mode: 0o440}, {Path: "closed", Mode: 0o400},
	}}, {Name: "scratch"}}
	h.ensure(spec)
	const is = "Uid: 1234\nGid: 2345\nGroups: 3456\nCapBnd: 0000000000000020\nNoNewPrivs: 1\n"
	got := strings.Replace(h.awaitLog(spec.ID, "main", "done\n"), "NoNewPrivs: 1\nCapBnd: 0000000000000020\n", "CapBnd: 0000000000000020\nNoNewPrivs: 1\n", 1)
	if want := is + "shared\nwritten\nclosed\ndone\n"; got != want {
		h.t.Errorf("the container says %q, want %q", got, want)
	}
	var out bytes.Buffer
	code, err := h.rt.Exec(h.ctx, spec.ID, "main", runtime.ExecOptions{Command: []string{"/bin/sh", "-c", whoAmI}, Stdout: &out, Stderr: &out})
	if said := out.String(); err != nil || code != 0 || !strings.HasPrefix(said, "Uid: 1234\nGid: 2345\nGroups: 3456\n") || !strings.Contains(said, "NoNewPrivs: 1\n") {
		h.t.Errorf("a command that joins says %q (%d, %v)", said, code, err)
	}
}

// testSecurityNonRoot: what may be root does not start, and says so.
func testSecurityNonRoot(h *harness) {
	if os.Geteuid() != 0 {
		h.t.Log("not for a user who is not root")
		return
	}
	for _, user := range []*int64{nil, id(0)} {
		c := h.container("main", "exec sleep 1000")
		c.Security = runtime.Security{NonRoot: true, User: user}
		spec := h.pod(c)
		err := h.rt.EnsurePod(h.ctx, spec)
		h.wantKind("runAsNonRoot as root", err, runtime.BadConfig)
		if !strings.Contains(err.Error(), "runAsNonRoot") {
			h.t.Errorf("it says %v", err)
		}
		if s, ok := h.status(spec.ID); ok && find(s, "main").State == runtime.Running {
			h.t.Error("it runs all the same")
		}
	}
}
