package runtimetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holon/runtime"
)

func testVolumeFiles(h *harness) {
	conf, sub, file := h.Path("/holon-conf"), h.Path("/holon-sub"), h.Path("/holon-file/only.txt")
	c := h.container("main", fmt.Sprintf(`cat %s/a.txt %s/deep/b.txt %s/b.txt %s; %s/run.sh; ls -l %s/secret | cut -c1-10; exit 0`,
		conf, conf, sub, file, conf, conf))
	c.Mounts = []runtime.Mount{
		{Volume: "conf", Path: "/holon-conf"},
		{Volume: "conf", Path: "/holon-sub", SubPath: "deep"},
		{Volume: "conf", Path: "/holon-file/only.txt", SubPath: "a.txt"},
	}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "conf", Files: []runtime.File{
		{Path: "a.txt", Data: []byte("alpha\n")},
		{Path: "deep/b.txt", Data: []byte("beta\n")},
		{Path: "run.sh", Data: []byte("#!/bin/sh\necho ran\n"), Mode: 0o755},
		{Path: "secret", Data: []byte{0, 1, 2}, Mode: 0o600},
	}}}
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if got, want := h.logs(spec.ID, "main", all), "alpha\nbeta\nbeta\nalpha\nran\n-rw-------\n"; got != want {
		h.t.Fatalf("the container read %q, want %q", got, want)
	}

	bad := h.pod(h.container("main", "true"))
	bad.Volumes = []runtime.Volume{{Name: "conf", Files: []runtime.File{{Path: "../escape", Data: nil}}}}
	h.wantKind("a file outside its volume", h.rt.EnsurePod(h.ctx, bad), runtime.BadSpec)
	lost := h.container("main", "true")
	lost.Mounts = []runtime.Mount{{Volume: "nowhere", Path: "/holon-x"}}
	h.wantKind("a mount of no volume", h.rt.EnsurePod(h.ctx, h.pod(lost)), runtime.BadSpec)
}

func testVolumeReadOnly(h *harness) {
	if h.ReadOnlyNotEnforced {
		info, err := h.rt.Info(h.ctx)
		if err != nil || !strings.Contains(strings.Join(info.Notes, "\n"), "read-only") {
			h.t.Fatalf("Info says nothing of read-only mounts: %+v, %v", info, err)
		}
		return
	}
	ro, rw := h.Path("/holon-ro"), h.Path("/holon-rw")
	c := h.container("main", fmt.Sprintf(`
		if (echo x > %s/a.txt) 2>/dev/null; then echo wrote read-only; else echo refused; fi
		if (echo x > %s/new) 2>/dev/null; then echo made read-only; else echo refused; fi
		echo y > %s/a.txt && cat %s/a.txt; exit 0`, ro, ro, rw, ro))
	c.Mounts = []runtime.Mount{
		{Volume: "data", Path: "/holon-ro", ReadOnly: true},
		{Volume: "data", Path: "/holon-rw"},
	}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "data", Files: []runtime.File{{Path: "a.txt", Data: []byte("x\n")}}}}
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if got, want := h.logs(spec.ID, "main", all), "refused\nrefused\ny\n"; got != want {
		h.t.Fatalf("got %q, want %q", got, want)
	}
}

func testVolumeShared(h *harness) {
	one, two := h.Path("/holon-one"), h.Path("/holon-two")
	writer := h.container("writer", fmt.Sprintf("echo across > %s/word.tmp && mv %s/word.tmp %s/word; exec sleep 1000", one, one, one))
	reader := h.container("reader", fmt.Sprintf("until [ -e %s/word ]; do sleep 0.05; done; cat %s/word; exit 0", two, two))
	writer.Mounts = []runtime.Mount{{Volume: "scratch", Path: "/holon-one"}}
	reader.Mounts = []runtime.Mount{{Volume: "scratch", Path: "/holon-two"}}
	spec := h.pod(writer, reader)
	spec.Volumes = []runtime.Volume{{Name: "scratch"}}
	h.ensure(spec)
	h.awaitState(spec.ID, "reader", 0, runtime.Exited)
	if got := h.logs(spec.ID, "reader", all); got != "across\n" {
		h.t.Fatalf("the other container read %q", got)
	}
}

func testVolumeSurvivesRestart(h *harness) {
	dir := h.Path("/holon-keep")
	c := h.container("main", fmt.Sprintf("echo x >> %s/count; wc -l < %s/count; exit 1", dir, dir))
	c.Mounts = []runtime.Mount{{Volume: "keep", Path: "/holon-keep"}}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "keep"}}
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if err := h.rt.StartContainer(h.ctx, spec, "main", 1); err != nil {
		h.t.Fatalf("StartContainer: %v", err)
	}
	h.awaitState(spec.ID, "main", 1, runtime.Exited)
	var lines int
	if fmt.Sscan(h.logs(spec.ID, "main", all), &lines); lines != 2 {
		h.t.Fatalf("an empty volume was not kept from attempt 0 to 1: %d lines", lines)
	}
	// A new run of the pod starts with an empty one.
	h.stop(spec.ID, 0)
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if fmt.Sscan(h.logs(spec.ID, "main", all), &lines); lines != 1 {
		h.t.Fatalf("an empty volume outlived its pod: %d lines", lines)
	}
}

func testFilesChange(h *harness) {
	conf, sub := h.Path("/holon-conf"), h.Path("/holon-sub")
	c := h.container("main", fmt.Sprintf(`until [ "$(cat %s/deep/a)" = new ] && ! [ -e %s/gone ]; do sleep 0.05; done
		cat %s/deep/a %s/added %s; exit 0`, conf, conf, conf, conf, sub))
	c.Mounts = []runtime.Mount{{Volume: "conf", Path: "/holon-conf"}, {Volume: "conf", Path: "/holon-sub", SubPath: "deep/a"}}
	spec := h.pod(c)
	files := func(files ...runtime.File) runtime.Spec {
		next := spec
		next.Volumes = []runtime.Volume{{Name: "conf", Files: files}, {Name: "scratch"}}
		return next
	}
	spec = files(runtime.File{Path: "deep/a", Data: []byte("old\n")}, runtime.File{Path: "gone"})
	h.wantKind("files of no pod", h.rt.UpdateFiles(h.ctx, spec), runtime.NotFound)
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
	for range 2 { // the same again is nothing
		if err := h.rt.UpdateFiles(h.ctx, files(
			runtime.File{Path: "deep/a", Data: []byte("new\n")}, runtime.File{Path: "added", Data: []byte("added\n"), Mode: 0o440},
		)); err != nil {
			h.t.Fatalf("UpdateFiles: %v", err)
		}
	}
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	want := "new\nadded\nold\n"
	if h.SubPathFollows {
		want = "new\nadded\nnew\n"
	}
	if got := h.logs(spec.ID, "main", all); got != want {
		h.t.Fatalf("the container read %q, want %q", got, want)
	}
}

// testVolumeHostPath: the pod sees the host's own file, and what it writes is there after
// the pod.
func testVolumeHostPath(h *harness) {
	host := h.t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "a"), []byte("host's\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	dir := h.Path("/holon-host")
	c := h.container("main", fmt.Sprintf("cat %s/a; echo pod > %s/b; exit 0", dir, dir))
	c.Mounts = []runtime.Mount{{Volume: "host", Path: "/holon-host"}}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "host", HostPath: &runtime.HostPath{Path: host, Type: "Directory"}}}
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if got := h.logs(spec.ID, "main", all); got != "host's\n" {
		h.t.Errorf("the container read %q", got)
	}
	h.stop(spec.ID, 0)
	for name, want := range map[string]string{"a": "host's\n", "b": "pod\n"} {
		if got, err := os.ReadFile(filepath.Join(host, name)); err != nil || string(got) != want {
			h.t.Errorf("after the pod %s is %q, %v", name, got, err)
		}
	}
	missing := h.pod(c)
	missing.Volumes = []runtime.Volume{{Name: "host", HostPath: &runtime.HostPath{Path: filepath.Join(host, "none"), Type: "Directory"}}}
	h.wantKind("a directory that is not there", h.rt.EnsurePod(h.ctx, missing), runtime.BadMount)
	if err := os.Mkdir(filepath.Join(host, "none"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.ensure(missing)
}

// testVolumeMemory: it is shared, survives a restart, is as large as it may be, and goes
// with the pod.
func testVolumeMemory(h *harness) {
	if os.Geteuid() != 0 {
		h.t.Log("not for a user who cannot mount")
		return
	}
	dir := h.Path("/holon-mem")
	c := h.container("main", fmt.Sprintf(`echo x >> %s/count; wc -l < %s/count
		(head -c 200000 /dev/zero > %s/large) 2>/dev/null && echo fits || echo full; rm %s/large; exit 1`, dir, dir, dir, dir))
	c.Mounts = []runtime.Mount{{Volume: "mem", Path: "/holon-mem"}}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "mem", Memory: true, Limit: 64 << 10}}
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if err := h.rt.StartContainer(h.ctx, spec, "main", 1); err != nil {
		h.t.Fatal(err)
	}
	h.awaitState(spec.ID, "main", 1, runtime.Exited)
	if got := strings.Fields(h.logs(spec.ID, "main", all)); !slices.Equal(got, []string{"2", "full"}) {
		h.t.Errorf("after a restart the container says %q", got)
	}
	h.stop(spec.ID, 0)
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), string(spec.ID)) {
		h.t.Errorf("it is mounted after its pod, or %v", err)
	}
}

func testVolumeKept(h *harness) {
	dir := h.Path("/holon-kept")
	c := h.container("main", fmt.Sprintf("echo x >> %s/count; wc -l < %s/count; chmod 700 %s; exit 0", dir, dir, dir))
	c.Mounts = []runtime.Mount{{Volume: "data", Path: "/holon-kept"}}
	run := func(claim string) (id runtime.RunID, lines int) {
		spec := h.pod(c)
		spec.Volumes = []runtime.Volume{{Name: "data", Claim: claim}}
		h.ensure(spec)
		h.awaitState(spec.ID, "main", 0, runtime.Exited)
		fmt.Sscan(h.logs(spec.ID, "main", all), &lines)
		return spec.ID, lines
	}
	one, other := "pvc-"+string(h.pod(c).ID), "pvc-"+string(h.pod(c).ID)
	id, lines := run(one)
	if lines != 1 {
		h.t.Fatalf("a new volume holds %d lines after the first", lines)
	}
	h.stop(id, 0)
	if id, lines = run(one); lines != 2 {
		h.t.Fatalf("the volume was not kept beyond its pod: %d lines", lines)
	}
	if _, lines := run(other); lines != 1 {
		h.t.Fatalf("another volume holds %d lines", lines)
	}
	if size, err := h.rt.VolumeSize(h.ctx, one); err != nil || size != 4 {
		h.t.Fatalf("the volume has %d bytes, %v; want 4", size, err)
	}
	h.stop(id, 0)
	h.forget(one)
	if _, lines = run(one); lines != 1 {
		h.t.Fatalf("a removed volume came back with %d lines", lines)
	}
}

func testVolumeListAndRemove(h *harness) {
	name := "pvc-" + string(h.pod(h.container("main", "exec sleep 1000")).ID)
	spec := h.pod(h.container("main", "exec sleep 1000"))
	spec.Volumes = []runtime.Volume{{Name: "data", Claim: name}}
	h.ensure(spec)
	if pods, err := h.rt.Pods(h.ctx); err != nil || !runtime.InUse(name, pods) {
		h.t.Fatalf("no pod says that it has the volume: %v, %v", pods, err)
	}
	h.wantKind("a volume that a pod has", h.rt.RemoveVolume(h.ctx, name), runtime.Failed)
	h.rt.Close()
	h.rt = h.New() // the next daemon knows of both
	if pods, err := h.rt.Pods(h.ctx); err != nil || !runtime.InUse(name, pods) {
		h.t.Fatalf("after a restart no pod says that it has the volume: %v, %v", pods, err)
	}
	h.stop(spec.ID, 0)
	if names, err := h.rt.Volumes(h.ctx); err != nil || !slices.Contains(names, name) {
		h.t.Fatalf("the volume went with its pod: %v, %v", names, err)
	}
	h.forget(name)
	if names, err := h.rt.Volumes(h.ctx); err != nil || slices.Contains(names, name) {
		h.t.Fatalf("the volume is still there: %v, %v", names, err)
	}
	h.forget(name) // again
	bad := h.pod(h.container("main", "true"))
	bad.Volumes = []runtime.Volume{{Name: "data", Claim: "../escape"}}
	h.wantKind("a volume outside its place", h.rt.EnsurePod(h.ctx, bad), runtime.BadSpec)
}

func (h *harness) forget(name string) {
	h.t.Helper()
	if err := h.rt.RemoveVolume(h.ctx, name); err != nil {
		h.t.Fatalf("RemoveVolume(%s): %v", name, err)
	}
}
