package process

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"holon/runtime"
)

// TestSecretsAreOnNoDisk: the program and a command that joins it have its
// secrets; the state directory has them at no time, but for the files of a
// volume where there is no memory to put them.
func TestSecretsAreOnNoDisk(t *testing.T) {
	for name, withoutMemory := range map[string]bool{"in memory": false, "without memory": true} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.withoutMemory = withoutMemory
			cleaned(t, cfg.Dir)
			r := open(t, cfg)
			if r.memory == "" && !withoutMemory {
				t.Fatal("this host has no tmpfs that this test can use: mount one at /dev/shm")
			}
			spec := shPod("a", `echo "$S"; cat "$HOLON_POD_DIR/v/key"; echo; sleep 1000`)
			spec.Containers[0].Env = []runtime.Env{{Name: "S", Value: "sesame-$(HOME)", Secret: true}}
			spec.Containers[0].Mounts = []runtime.Mount{{Volume: "v", Path: "/v"}}
			spec.Volumes = []runtime.Volume{{Name: "v", Secret: true, Files: []runtime.File{{Path: "key", Data: []byte("abracadabra"), Mode: 0o400}}}}
			ensure(t, r, spec)
			awaitLog(t, r, "a", "c0", "sesame-$(HOME)\nabracadabra\n")
			var out bytes.Buffer
			code, err := r.Exec(ctx, "a", "c0", runtime.ExecOptions{Command: []string{"sh", "-c", `echo "$S"`}, Stdout: &out})
			if err != nil || code != 0 || out.String() != "sesame-$(HOME)\n" {
				t.Errorf("exec: %d, %v, %q", code, err, out.String())
			}
			found := map[string]bool{}
			_ = filepath.WalkDir(r.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() || filepath.Base(path) == logFile { // what the program itself prints is its own affair
					return nil
				}
				data, err := os.ReadFile(path)
				if err != nil {
					return nil
				}
				for _, secret := range []string{"sesame", "abracadabra"} {
					if bytes.Contains(data, []byte(secret)) {
						found[secret] = true
					}
				}
				return nil
			})
			if found["sesame"] || found["abracadabra"] != withoutMemory {
				t.Errorf("on disk: %v", found)
			}
			r.mu.Lock()
			kept := r.pods["a"].find("c0").spec.Env[0].Value
			r.mu.Unlock()
			if kept != "" {
				t.Errorf("the daemon keeps %q", kept)
			}
			stop(t, r, "a", 0)
			if r.memory != "" {
				mustNotExist(t, filepath.Join(r.memory, "a"))
			}
		})
	}
}

// TestMemoryLostIsFilledAgain: after a reboot a pod's containers start with their
// secrets.
func TestMemoryLostIsFilledAgain(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	if r.memory == "" {
		t.Fatal("this host has no tmpfs that this test can use: mount one at /dev/shm")
	}
	spec := shPod("a", `cat "$HOLON_POD_DIR/v/key"; exit 3`)
	spec.Containers[0].Mounts = []runtime.Mount{{Volume: "v", Path: "/v"}}
	spec.Volumes = []runtime.Volume{{Name: "v", Secret: true, Files: []runtime.File{{Path: "key", Data: []byte("one"), Mode: 0o400}}}}
	ensure(t, r, spec)
	awaitState(t, r, "a", 0, runtime.Exited)
	if err := runtime.ForgetMemory(r.memory, ""); err != nil {
		t.Fatal(err)
	}
	spec.Volumes[0].Files[0].Data = []byte("two")
	if err := r.StartContainer(ctx, spec, "c0", 1); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, r, "a", "c0", "two")
}
