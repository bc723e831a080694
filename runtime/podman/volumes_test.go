package podman

import (
	"os"
	"path/filepath"
	"testing"

	"holon/runtime"
)

func TestCheckVolumesRefusesEscapes(t *testing.T) {
	file := func(p string) []runtime.Volume {
		return []runtime.Volume{{Name: "v", Files: []runtime.File{{Path: p}}}}
	}
	mount := func(m runtime.Mount) []runtime.Container {
		return []runtime.Container{{Name: "c", Mounts: []runtime.Mount{m}}}
	}
	for what, spec := range map[string]runtime.Spec{
		"file above":      {Volumes: file("../x")},
		"absolute file":   {Volumes: file("/x")},
		"file is a dir":   {Volumes: file(".")},
		"volume above":    {Volumes: []runtime.Volume{{Name: ".."}}},
		"volume path":     {Volumes: []runtime.Volume{{Name: "a/b"}}},
		"unknown volume":  {Containers: mount(runtime.Mount{Volume: "w", Path: "/p"})},
		"relative mount":  {Volumes: file("x"), Containers: mount(runtime.Mount{Volume: "v", Path: "p"})},
		"subPath above":   {Volumes: file("x"), Containers: mount(runtime.Mount{Volume: "v", Path: "/p", SubPath: "../y"})},
		"absolute subDir": {Volumes: file("x"), Containers: mount(runtime.Mount{Volume: "v", Path: "/p", SubPath: "/y"})},
	} {
		if checkVolumes(spec) == nil {
			t.Errorf("%s is taken", what)
		}
	}
	good := runtime.Spec{Volumes: file("a/b"), Containers: mount(runtime.Mount{Volume: "v", Path: "/p", SubPath: "a"})}
	if err := checkVolumes(good); err != nil {
		t.Error(err)
	}
}

func TestMountSourceRefusesLinks(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	spec := runtime.Spec{ID: "r", Volumes: []runtime.Volume{{Name: "v"}}}
	if err := c.writeVolumes(spec); err != nil {
		t.Fatal(err)
	}
	dir := c.volumeDir("r", "v")
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "self")); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"out", "out/ssl", "self", "self/x"} {
		if path, err := c.mountSource(&spec, runtime.Mount{Volume: "v", SubPath: sub}); err == nil {
			t.Errorf("subPath %q shows %s", sub, path)
		}
	}
	path, err := c.mountSource(&spec, runtime.Mount{Volume: "v", SubPath: "new/dir"})
	if info, serr := os.Stat(path); err != nil || serr != nil || !info.IsDir() {
		t.Errorf("a new subPath: %q, %v, %v", path, err, serr)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("an empty volume has mode %v (%v), want 0777", info.Mode(), err)
	}
	if info, err := os.Stat(c.runDir("r")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the pod's directory has mode %v (%v), want 0700", info.Mode(), err)
	}
}
