// Package golden checks that what an earlier holon wrote is read for ever: a
// corpus of files, testdata/golden/FORMAT.vN.* beside the package that reads the
// format. See docs/formats.md.
package golden

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes files that are missing. None is ever written again: a change that
// needs that is a new version of the format.
var write = flag.Bool("golden.write", false, "write files of the golden corpus that are missing")

const dir = "testdata/golden"

// Format is one format of one package.
type Format struct {
	// Name is its name in docs/formats.md, with its present version: "record.v1".
	Name string
	// Text formats are kept as they are, others as a hex dump.
	Text bool
	// Make is a full example, with all that the present version can say.
	Make func(t *testing.T) []byte
	// Read says in words what it read: one line per fact, so that a later version
	// may know more and still say the same of these.
	Read func(data []byte) (string, error)
	// Again writes what was read, for formats whose rule it is to keep fields that
	// they do not know; nil: the format has another rule.
	Again func(data []byte) ([]byte, error)
}

// Check reads every file of a format, of all versions, and compares what it says
// with the words beside it.
func Check(t *testing.T, f Format) {
	t.Helper()
	name, _, ok := strings.Cut(f.Name, ".v")
	if !ok {
		t.Fatalf("format %q is not NAME.vN", f.Name)
	}
	if _, err := os.Stat(f.path()); os.IsNotExist(err) && *write {
		f.add(t)
	}
	files, err := filepath.Glob(filepath.Join(dir, name+".v*.want"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, want := range files {
		file := strings.TrimSuffix(want, ".want")
		found = found || file == f.path()
		f.check(t, file, want)
	}
	if !found {
		t.Errorf("%s has no file in the golden corpus: write it with -golden.write, look at it, and commit it", f.Name)
	}
}

func (f Format) path() string { return filepath.Join(dir, f.Name) }

func (f Format) check(t *testing.T, file, want string) {
	t.Helper()
	data, err := f.load(file)
	if err != nil {
		t.Fatal(err)
	}
	words, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	said, err := f.Read(data)
	if err != nil {
		t.Errorf("%s is not read any more: %v", file, err)
		return
	}
	for line := range strings.Lines(string(words)) {
		if !strings.Contains(said+"\n", line) {
			t.Errorf("%s: it does not say any more\n%sbut\n%s", file, line, said)
		}
	}
	if f.Again == nil {
		return
	}
	again, err := f.Again(data)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s: read and written it became (%v)\n%s\nfrom\n%s", file, err, f.dump(again), f.dump(data))
	}
}

// add writes a file and what is read from it, for a person to look at.
func (f Format) add(t *testing.T) {
	t.Helper()
	data := f.Make(t)
	said, err := f.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{f.path(): f.dump(data), f.path() + ".want": []byte(strings.TrimSuffix(said, "\n") + "\n")} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (f Format) dump(data []byte) []byte {
	if f.Text {
		return data
	}
	var out bytes.Buffer
	text := hex.EncodeToString(data)
	for len(text) > 64 {
		out.WriteString(text[:64] + "\n")
		text = text[64:]
	}
	out.WriteString(text + "\n")
	return out.Bytes()
}

func (f Format) load(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil || f.Text {
		return data, err
	}
	return hex.DecodeString(strings.Join(strings.Fields(string(data)), ""))
}
