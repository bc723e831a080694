package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"strings"
	"testing"

	"holon/p2p"
	"holon/runtime/runtimetest"
)

// TestNamesAreNotStolen: an archive that holds what was asked for, under the name of
// another image.
func TestNamesAreNotStolen(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		content := noise(1, 1000)
		a.images.Add("app:1", content)
		id := b.images.Add("victim:1", noise(2, 1000))
		named := runtimetest.ImageArchive("", content, "victim:1")
		b.wrap = func(_ p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
			if req.Op == opRead {
				return &playback{s, bytes.NewReader(forged(named, endOf(named), head{}))}
			}
			return s
		}
		if r := b.get("app:1"); r.Err == nil || !strings.Contains(r.Err.Error(), "victim:1") {
			t.Errorf("taken in: %+v", r)
		}
		if i, err := b.images.FindImage(t.Context(), "victim:1"); err != nil || i.ID != id {
			t.Errorf("victim:1 is %+v, %v", i, err)
		}
	})
}

// TestArchiveNames: what is no docker-archive of one image without names is refused.
func TestArchiveNames(t *testing.T) {
	const one = `[{"Config":"c.json","RepoTags":[],"Layers":["l.tar"]}]`
	type file struct{ name, text string }
	link := func(name string) file { return file{name, "->"} }
	for _, test := range []struct {
		what  string
		files []file
		words string
	}{
		{"as Podman saves it", []file{{"l.tar", "l"}, link("l/layer.tar"), {"c.json", "{}"}, {"manifest.json", one}}, ""},
		{"null for no names", []file{{"manifest.json", `[{"RepoTags":null}]`}}, ""},
		{"a name", []file{{"manifest.json", `[{"RepoTags":["app:1"]}]`}}, "app:1"},
		{"a name, spelt otherwise", []file{{"manifest.json", `[{"repotags":["app:1"]}]`}}, "app:1"},
		{"two images", []file{{"manifest.json", `[{},{"RepoTags":["app:1"]}]`}}, "2 images"},
		{"no image", []file{{"manifest.json", `[]`}}, "0 images"},
		{"no manifest", []file{{"c.json", "{}"}}, "manifest"},
		{"two manifests", []file{{"manifest.json", one}, {"./manifest.json", one}}, "more than one manifest"},
		{"a link", []file{link("manifest.json")}, "link"},
		{"a manifest without end", []file{{"manifest.json", "[" + strings.Repeat(" ", 2*manifestMax) + "]"}}, "manifest"},
		{"an oci-archive, too", []file{{"manifest.json", one}, {"index.json", "{}"}}, "oci-archive"},
		{"by a detour", []file{{"manifest.json", one}, link("d"), {"d/../d/oci-layout", "{}"}}, "oci-archive"},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range test.files {
			h := &tar.Header{Name: f.name, Size: int64(len(f.text))}
			if f.text == "->" {
				h = &tar.Header{Name: f.name, Typeflag: tar.TypeSymlink, Linkname: "elsewhere"}
				f.text = ""
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		err := checkNames(bytes.NewReader(b.Bytes()))
		if test.words == "" && err != nil || test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// FuzzNames: an archive that is let through has one manifest at least, and names nothing. What
// is no archive is refused in words.
func FuzzNames(f *testing.F) {
	archive := func(manifest string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Name: "manifest.json", Size: int64(len(manifest))})
		if err == nil {
			_, err = w.Write([]byte(manifest))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	for _, manifest := range []string{`[{"RepoTags":null}]`, `[{"repotags":["a"]}]`, `[{},{}]`, `[`} {
		f.Add(archive(manifest))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkNames(bytes.NewReader(b)) == nil && !bytes.Contains(b, []byte("manifest.json")) {
			t.Fatalf("an archive without a manifest is let through: %q", b)
		}
		if list, err := decodeImages(bytes.NewReader(b)); err == nil && len(list) > len(b) {
			t.Fatalf("%d images in %d bytes", len(list), len(b))
		}
	})
}
