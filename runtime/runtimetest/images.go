package runtimetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"holon/runtime"
)

// ImageFixture is two hosts with images under test.
type ImageFixture struct {
	A, B runtime.Images
	// Name is an image that A has and B has not, and New a name that nobody has.
	Name, New string
}

// ImageConformance is the suite that every runtime.Images must pass. It leaves the
// image on both hosts.
func ImageConformance(t *testing.T, f ImageFixture) {
	ctx := t.Context()
	have := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	i, err := f.A.FindImage(ctx, f.Name)
	have("find the image where it is", err)
	if len(i.ID) != 64 || i.Size <= 0 {
		t.Fatalf("the image is %+v", i)
	}
	byID, err := f.A.FindImage(ctx, i.ID)
	have("find it by its ID", err)
	if byID.ID != i.ID {
		t.Fatalf("%s is found as %s", i.ID, byID.ID)
	}
	list, err := f.A.Images(ctx)
	have("list", err)
	if !slices.ContainsFunc(list, func(l runtime.Image) bool { return l.ID == i.ID && slices.Equal(l.Names, i.Names) }) {
		t.Fatalf("the list has not %+v: %+v", i, list)
	}
	for _, ref := range []string{f.Name, i.ID} {
		if _, err := f.B.FindImage(ctx, ref); runtime.KindOf(err) != runtime.ImageMissing {
			t.Fatalf("the other host should miss %s, got %v", ref, err)
		}
	}
	if err := f.B.SaveImage(ctx, i.ID, io.Discard); err == nil {
		t.Error("what is not there was saved")
	}
	if err := f.B.RemoveImage(ctx, i.ID); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}

	var first, again, far bytes.Buffer
	have("save", f.A.SaveImage(ctx, i.ID, &first))
	var manifest []archiveManifest
	files, err := readArchive(bytes.NewReader(first.Bytes()))
	have("read the archive", err)
	have("read its manifest", json.Unmarshal(files["manifest.json"], &manifest))
	if len(manifest) != 1 || len(manifest[0].RepoTags) > 0 {
		t.Errorf("the archive holds %+v, and is to hold one image without names", manifest)
	}
	have("tag", f.A.TagImage(ctx, i.ID, f.New))
	have("save it under two names", f.A.SaveImage(ctx, i.ID, &again))
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same image, saved twice, is other bytes")
	}
	if err := f.A.SaveImage(ctx, i.ID, &limited{left: 1000}); err == nil {
		t.Error("a writer that fails was not noticed")
	}
	refuseDamaged(ctx, t, f.B, i.ID, first.Bytes())

	loaded, err := f.B.LoadImages(ctx, bytes.NewReader(first.Bytes()))
	have("load", err)
	if len(loaded) != 1 || loaded[0].ID != i.ID {
		t.Fatalf("loaded %+v instead of %s", loaded, i.ID)
	}
	have("tag what was loaded", f.B.TagImage(ctx, i.ID, f.Name))
	there, err := f.B.FindImage(ctx, f.Name)
	have("find what was loaded", err)
	if there.ID != i.ID {
		t.Fatalf("%s is %s here, %s there", f.Name, i.ID, there.ID)
	}
	have("save what was loaded", f.B.SaveImage(ctx, i.ID, &far))
	if !bytes.Equal(first.Bytes(), far.Bytes()) {
		t.Error("the same image, saved on another host, is other bytes")
	}
}

// refuseDamaged: whatever happened to an archive, it does not become the image.
func refuseDamaged(ctx context.Context, t *testing.T, to runtime.Images, id string, archive []byte) {
	t.Helper()
	flipped := bytes.Clone(archive)
	flipped[len(flipped)/2] ^= 1
	for what, bad := range map[string][]byte{"empty": nil, "cut": archive[:len(archive)/2], "flipped": flipped, "foreign": []byte("hello")} {
		loaded, err := to.LoadImages(ctx, bytes.NewReader(bad))
		for _, l := range loaded {
			if l.ID == id {
				t.Errorf("the %s archive became the image", what)
			} else if err := to.RemoveImage(ctx, l.ID); err != nil {
				t.Errorf("remove what the %s archive became: %v", what, err)
			}
		}
		if err == nil && len(loaded) == 0 {
			t.Errorf("the %s archive is taken for none", what)
		}
	}
}

// limited fails after some bytes.
type limited struct{ left int }

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}
