package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
)

// manifestMax bounds the manifest of an archive with one image.
const manifestMax = 1 << 20

// checkNames refuses an archive of a peer that would give names to images here: a name
// is taken from whatever bears it. Archives of runtime.Images hold one image without
// any; it gets its name when it is here and is the one that was wanted.
func checkNames(archive io.ReadSeeker) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	found := false
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && found:
			return nil
		case err != nil:
			return fmt.Errorf("the archive cannot be read to its manifest and its end: %w", err)
		}
		switch path.Base(h.Name) {
		case "index.json", "oci-layout": // wherever: a link may lead there
			return errors.New("the archive is an oci-archive, too, whose names are others")
		case "manifest.json":
			if found || h.Typeflag != tar.TypeReg {
				return errors.New("the archive has more than one manifest, or a link to one")
			}
			found = true
			if err := checkManifest(io.LimitReader(r, manifestMax)); err != nil {
				return err
			}
		}
	}
}

// checkManifest refuses all but one image without names.
func checkManifest(r io.Reader) error {
	var images []struct{ RepoTags []string }
	text, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(text, &images)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the manifest of the archive: %w", err)
	case len(images) != 1:
		return fmt.Errorf("the archive holds %d images", len(images))
	case len(images[0].RepoTags) > 0:
		return fmt.Errorf("the archive names its image %.100q, and this node names it", images[0].RepoTags)
	}
	return nil
}
