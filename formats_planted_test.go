package holon_test

import (
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// TestPlantedFormatsAreCaught adds what the list must not miss.
func TestPlantedFormatsAreCaught(t *testing.T) {
	tree := func() fstest.MapFS {
		copied := fstest.MapFS{}
		add := func(name string) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			copied[name] = &fstest.MapFile{Data: text}
		}
		add("docs/formats.md")
		files, err := treeFiles()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.Contains(name, "testdata/golden/") || path.Ext(name) == ".go" {
				add(name)
			}
		}
		return copied
	}
	for name, plant := range map[string]struct {
		change func(fstest.MapFS)
		want   string
	}{
		"a decoder that nobody listed": {func(fs fstest.MapFS) {
			fs["node/planted.go"] = &fstest.MapFile{Data: []byte("package node\nfunc (n *Node) takeApart(b []byte) { _ = json.Unmarshal(b, n) }\n")}
		}, "node Node.takeApart takes bytes apart"},
		"a format without a file": {func(fs fstest.MapFS) { delete(fs, "crdt/testdata/golden/record.v1") }, "format record of docs/formats.md has no crdt/testdata/golden/record.v1"},
		"a format without words":  {func(fs fstest.MapFS) { delete(fs, "node/testdata/golden/identity.v1.want") }, "identity.v1.want"},
		"a format without a row": {func(fs fstest.MapFS) {
			doc := fs["docs/formats.md"].Data
			fs["docs/formats.md"] = &fstest.MapFile{Data: []byte(strings.Replace(string(doc), "| `digest` |", "| digest |", 1))}
		}, "format digest"},
		"a fuzz target that is gone": {func(fs fstest.MapFS) { delete(fs, "node/mark_test.go") }, "names node FuzzDecodeMark, which is not there"},
		"a fuzz target that nobody listed": {func(fs fstest.MapFS) {
			fs["node/planted_test.go"] = &fstest.MapFile{Data: []byte("package node\n\nfunc FuzzPlanted(f *testing.F) {}\n")}
		}, "node FuzzPlanted is not in fuzzed"},
		"a format that nothing fuzzes": {func(fs fstest.MapFS) {
			fs["docs/formats.md"].Data = append(fs["docs/formats.md"].Data, "| `planted` | `node` | v1 |"...)
		}, "nothing fuzzes the reader of format planted"},
		"a decoder that is gone": {func(fs fstest.MapFS) { delete(fs, "node/identity.go") }, "node decodeIdentity"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := tree()
			plant.change(fs)
			problems, err := checkFormats(fs)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(problems, "\n"), plant.want) {
				t.Errorf("%q is not among %q", plant.want, problems)
			}
		})
	}
}
