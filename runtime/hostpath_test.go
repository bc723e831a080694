package runtime

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostPathTypes: each type takes what it names and refuses all else; two make what is
// not there.
func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	there := map[string]string{"directory": dir, "file": file, "socket": filepath.Join(dir, "s"), "device": "/dev/null"}
	for kind, takes := range map[string]string{
		"": "directory file socket device", "Directory": "directory", "DirectoryOrCreate": "directory", "File": "file",
		"FileOrCreate": "file", "Socket": "socket", "CharDevice": "device", "BlockDevice": "",
	} {
		for what, path := range there {
			err := (&HostPath{path, kind}).Check()
			if strings.Contains(takes, what) != (err == nil) || err != nil && (KindOf(err) != BadMount || !strings.Contains(err.Error(), path)) {
				t.Errorf("type %q of a %s: %v", kind, what, err)
			}
		}
		missing := filepath.Join(dir, "missing"+kind)
		err := (&HostPath{missing, kind}).Check()
		if info, _ := os.Stat(missing); (info != nil) != (err == nil) || (err == nil) != (kind == "" || strings.HasSuffix(kind, "OrCreate")) {
			t.Errorf("type %q of nothing: %v, and then there is %v", kind, err, info)
		} else if err == nil && info.IsDir() == (kind == "FileOrCreate") {
			t.Errorf("type %q makes %v", kind, info.Mode())
		}
	}
	if err := (&HostPath{filepath.Join(dir, "no", "file"), "FileOrCreate"}).Check(); err == nil {
		t.Error("FileOrCreate makes a directory, too")
	}
}
