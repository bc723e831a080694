package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holon/runtime"
)

func TestPlanMessage(t *testing.T) {
	there := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path    string
		private bool
		want    messageOrder
		host    string // where it is shown besides
		note    string
	}{
		{"", true, messageOrder{}, "", ""},
		{"/", true, messageOrder{}, "", ""},
		{"/dev/termination-log", true, messageOrder{Path: "dev/termination-log"}, "", ""},
		{"/no/such/log", true, messageOrder{Path: "no/such/log"}, "", "terminationMessagePath is $HOLON_POD_DIR/no/such/log, not /no/such/log"},
		{"../no/such/log", true, messageOrder{Path: "no/such/log"}, "", "is $HOLON_POD_DIR/no/such/log"},
		{there, true, messageOrder{Path: there[1:]}, there, ""},
		{there, false, messageOrder{Path: there[1:]}, "", "not " + there},
		{"/v/log", true, messageOrder{}, "", "/v/log is in volume data, and is not read"},
		{"/v", true, messageOrder{}, "", ""},
		{"/vlog", true, messageOrder{Path: "vlog"}, "", "not /vlog"},
	} {
		spec := runtime.Container{Message: runtime.Message{Path: c.path}, Mounts: []runtime.Mount{{Volume: "data", Path: "/v/"}}}
		order, mounts, note := planMessage("/pod", &spec, c.private)
		host := ""
		for _, m := range mounts {
			host = m.Host
		}
		if order != c.want || host != c.host || (note == "") != (c.note == "") || !strings.Contains(note, c.note) {
			t.Errorf("%q: %+v at %q (%s), want %+v at %q (%s)", c.path, order, host, note, c.want, c.host, c.note)
		}
	}
}

// A program may be another user than the daemon: what it does to its directory leads its next
// attempt's message to no file of the host's, and the present one's to no other content.
func TestMessageStaysInTheDirectory(t *testing.T) {
	host, dir := t.TempDir(), t.TempDir()
	victim := filepath.Join(host, "log")
	if err := os.WriteFile(victim, []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	order := messageOrder{Path: "d/log"}
	f, err := order.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("said"); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"the file":      func() error { return os.Symlink(victim, filepath.Join(dir, "d", "log")) },
		"its directory": func() error { return os.Symlink(host, filepath.Join(dir, "d")) },
	} {
		if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
			t.Fatal(err)
		}
		if what == "the file" {
			if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if said, err := runtime.ReadMessage(f); err != nil || said != "said" {
			t.Errorf("%s leads elsewhere: it says %q (%v)", what, said, err)
		}
		if next, err := order.open(dir); err == nil {
			if said, err := runtime.ReadMessage(next); err != nil || said != "" {
				t.Errorf("%s leads elsewhere: the next attempt begins with %q (%v)", what, said, err)
			}
			next.Close()
		}
		if have, err := os.ReadFile(victim); err != nil || string(have) != "of the host" {
			t.Errorf("%s leads elsewhere: the host's file is %q (%v)", what, have, err)
		}
	}
}

// Where the host has a file at the path, the program sees its own there.
func TestMessageAtThePathItself(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	if !r.private {
		t.Log("no mount namespaces here")
		return
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := shPod("a", "echo mine > "+path+"; exit 1")
	spec.Containers[0].Message.Path = path
	ensure(t, r, spec)
	c := awaitState(t, r, "a", 0, runtime.Exited)
	if have, err := os.ReadFile(path); c.Message != "mine\n" || err != nil || string(have) != "of the host" {
		t.Errorf("it says %q, and the host's file %q (%v)", c.Message, have, err)
	}
}
