//go:build remote

package podman

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"holon/runtime"
)

// labelContent holds the digest of what LoadImage built an image from.
const labelContent = "io.holon.content"

// importLimit bounds the building of one image.
const importLimit = 5 * time.Minute

// LoadImage builds an image named name on the service at url out of files
// alone, with no registry: files maps paths in the image to files of this
// host, which become executable; one file may be at several paths (a multi-call
// program) and takes its space once. An image that was built from the same files
// is left alone.
func LoadImage(ctx context.Context, url, name string, files map[string]string, entrypoint []string) error {
	op := "build image " + name
	digest, err := contentDigest(files, entrypoint)
	if err != nil {
		return failed(op, err)
	}
	l := newLink(url)
	defer l.close()
	return l.call(ctx, importLimit, op, func(ctx context.Context) error {
		old, err := images.GetImage(ctx, name, nil)
		if err == nil && old.Labels[labelContent] == digest {
			return nil
		}
		if err != nil && classify(op, err).Kind != runtime.ImageMissing && !isGone(classify(op, err)) {
			return err
		}
		changes := []string{"LABEL " + labelContent + "=" + digest}
		if len(entrypoint) > 0 {
			b, err := json.Marshal(entrypoint)
			if err != nil {
				return err
			}
			changes = append(changes, "ENTRYPOINT "+string(b))
		}
		r, w := io.Pipe()
		wrote := make(chan error, 1)
		go func() {
			err := writeTar(w, files)
			_ = w.CloseWithError(err)
			wrote <- err
		}()
		_, err = images.Import(ctx, r, &images.ImportOptions{Changes: &changes, Reference: &name})
		_ = r.Close() // ends the writer, should the import have failed early
		if werr := <-wrote; err == nil {
			err = werr
		}
		return err
	})
}

func contentDigest(files map[string]string, entrypoint []string) (string, error) {
	h := sha256.New()
	for _, inside := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q\n", inside)
		f, err := os.Open(files[inside])
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		_ = f.Close()
		if err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%q", entrypoint)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeTar writes a root file system of files, their directories and /tmp.
func writeTar(w io.Writer, files map[string]string) error {
	t := tar.NewWriter(w)
	dirs := map[string]bool{"tmp": true}
	for inside := range files {
		for d := path.Dir(relative(inside)); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	for _, d := range slices.Sorted(maps.Keys(dirs)) { // parents sort first
		mode := int64(0o755)
		if d == "tmp" {
			mode = 0o1777
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: mode}); err != nil {
			return err
		}
	}
	first := make(map[string]string) // where a file of the host is already
	for _, inside := range slices.Sorted(maps.Keys(files)) {
		name, from := relative(inside), files[inside]
		var err error
		if there, again := first[from]; again {
			err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: there, Mode: 0o755})
		} else {
			first[from] = name
			err = writeTarFile(t, name, from)
		}
		if err != nil {
			return err
		}
	}
	return t.Close()
}

func writeTarFile(t *tar.Writer, name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

func relative(inside string) string { return strings.TrimPrefix(path.Clean("/"+inside), "/") }
