//go:build remote

package podman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"holon/runtime"
)

var _ runtime.Images = (*Runtime)(nil)

// archiveLimit bounds the saving or loading of one image.
const archiveLimit = 30 * time.Minute

// archiveFormat is what images are saved as. An oci-archive compresses its layers
// anew each time, with other bytes each time.
const archiveFormat = "docker-archive"

// Images implements runtime.Images.
func (r *Runtime) Images(ctx context.Context) (list []runtime.Image, err error) {
	err = r.look(ctx, "list images", func(ctx context.Context) error {
		found, err := images.List(ctx, nil)
		for _, i := range found {
			list = append(list, runtime.Image{ID: bareID(i.ID), Names: slices.Sorted(slices.Values(i.RepoTags)), Size: i.Size})
		}
		return err
	})
	slices.SortFunc(list, func(a, b runtime.Image) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

// FindImage implements runtime.Images.
func (r *Runtime) FindImage(ctx context.Context, ref string) (found runtime.Image, err error) {
	op := "find image " + ref
	err = r.look(ctx, op, func(ctx context.Context) error {
		report, err := images.GetImage(ctx, ref, nil)
		if err != nil {
			return err
		}
		found = runtime.Image{ID: bareID(report.ID), Names: slices.Sorted(slices.Values(report.RepoTags)), Size: report.Size}
		users, err := containers.List(ctx, &containers.ListOptions{All: ptr(true), Filters: map[string][]string{"ancestor": {found.ID}}})
		found.Used = len(users)
		return err
	})
	if isMissing(err) {
		err = imageMissing(op, ref, errors.New("it is not on this node"))
	}
	return found, err
}

// isMissing reports whether Podman's answer says that there is no such image.
func isMissing(err error) bool {
	return err != nil && (runtime.KindOf(err) == runtime.ImageMissing || isGone(err))
}

// SaveImage implements runtime.Images.
func (r *Runtime) SaveImage(ctx context.Context, id string, w io.Writer) error {
	out := &rememberingWriter{w: w}
	err := r.link.call(ctx, archiveLimit, "save image "+id, func(ctx context.Context) error {
		return images.Export(ctx, []string{id}, out, &images.ExportOptions{Format: ptr(archiveFormat)})
	})
	if out.err != nil { // the reader's failure, and no word about Podman
		return out.err
	}
	return err
}

type rememberingWriter struct {
	w   io.Writer
	err error
}

func (r *rememberingWriter) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// LoadImages implements runtime.Images. Podman itself compares the digest of each
// layer with the configuration, whose digest is the ID.
func (r *Runtime) LoadImages(ctx context.Context, from io.Reader) (loaded []runtime.Image, err error) {
	var names []string
	in := &rememberingReader{r: from}
	err = r.link.call(ctx, archiveLimit, "load an image", func(ctx context.Context) error {
		report, err := images.Load(ctx, in)
		if err == nil {
			names = report.Names
		}
		return err
	})
	if in.err != nil {
		return nil, in.err
	}
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		i, err := r.FindImage(ctx, strings.TrimPrefix(name, "sha256:"))
		if err != nil {
			return loaded, err
		}
		if !slices.ContainsFunc(loaded, func(l runtime.Image) bool { return l.ID == i.ID }) {
			loaded = append(loaded, i)
		}
	}
	return loaded, nil
}

type rememberingReader struct {
	r   io.Reader
	err error
}

func (r *rememberingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.err == nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// TagImage implements runtime.Images.
func (r *Runtime) TagImage(ctx context.Context, id, name string) error {
	op := fmt.Sprintf("name image %s %s", id, name)
	if strings.Contains(name, "@") {
		return badSpec(op, errors.New("a name with a digest cannot be given, only pulled"))
	}
	repo, tag := name, "latest"
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		repo, tag = name[:at], name[at+1:]
	}
	return r.change(ctx, op, func(ctx context.Context) error { return images.Tag(ctx, id, tag, repo, nil) })
}

// RemoveImage implements runtime.Images.
func (r *Runtime) RemoveImage(ctx context.Context, id string) error {
	err := r.change(ctx, "remove image "+id, func(ctx context.Context) error {
		_, errs := images.Remove(ctx, []string{id}, nil)
		return errors.Join(errs...)
	})
	if isMissing(err) {
		return nil
	}
	return err
}

func bareID(id string) string { return strings.TrimPrefix(id, "sha256:") }
