package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holon/runtime"
)

// TestDropped: what is added counts more, in any spelling.
func TestDropped(t *testing.T) {
	for _, c := range []struct {
		drop, add []string
		has       []string // of CHOWN, KILL, NET_ADMIN
	}{
		{nil, nil, []string{"CHOWN", "KILL", "NET_ADMIN"}},
		{[]string{"ALL"}, nil, nil},
		{[]string{"all"}, []string{"CAP_KILL"}, []string{"KILL"}},
		{[]string{"cap_chown", "KILL"}, []string{"kill"}, []string{"KILL", "NET_ADMIN"}},
	} {
		var has []string
		lacks := dropped(&runtime.Security{Drop: c.drop, Add: c.add})
		for _, name := range []string{"CHOWN", "KILL", "NET_ADMIN"} {
			if !slices.Contains(lacks, uint8(slices.Index(capabilityNames, name))) {
				has = append(has, name)
			}
		}
		if !slices.Equal(has, c.has) {
			t.Errorf("drop %v, add %v leaves %v", c.drop, c.add, has)
		}
	}
}

// TestWhatAProcessCannotBe is said: in the container's message, or it does not start.
func TestWhatAProcessCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "closed", "in")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	user := int64(os.Geteuid()) + 1
	c := runtime.Container{Name: "main", Security: runtime.Security{ReadOnlyRoot: true, User: &user}}
	_, notes, err := identityOf(&c, dir)
	if os.Geteuid() != 0 {
		wantKind(t, "another user", err, runtime.BadConfig, "run the node as root")
		return
	}
	if said := strings.Join(notes, "\n"); err != nil || !strings.Contains(said, "readOnlyRootFilesystem") || !strings.Contains(said, "chmod o+x") {
		t.Errorf("it says %q, %v", said, err)
	}
}
