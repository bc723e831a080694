package runtime

import (
	"context"
	"io"
)

// Images is what a Runtime has beyond its contract if its pods are made from
// images: it can hand them on, so that nodes help each other out without a
// registry. A runtime without images does not implement it.
type Images interface {
	// Images lists what is here, sorted by ID.
	Images(ctx context.Context) ([]Image, error)

	// FindImage resolves a name, as a container's spec has it, or an ID. It fails
	// with ImageMissing if there is no such image here; it asks no registry.
	FindImage(ctx context.Context, ref string) (Image, error)

	// PullImage asks a registry for an image, whatever is here. It fails with ImageMissing
	// if that does not bring it; the credential is in no word and no file of the runtime.
	PullImage(ctx context.Context, ref string, auth Auth) (Image, error)

	// SaveImage writes an image as a docker-archive that names no names. The bytes are a function of the
	// image and of the runtime's version, so that a broken transfer may go on.
	SaveImage(ctx context.Context, id string, w io.Writer) error

	// LoadImages takes a docker-archive or an oci-archive in and returns the images
	// that were in it. An archive that does not hold what it says is refused.
	LoadImages(ctx context.Context, r io.Reader) ([]Image, error)

	// TagImage gives an image one more name, and takes it from the image that had it.
	TagImage(ctx context.Context, id, name string) error

	// RemoveImage removes an image that nothing uses. One that is not here is no
	// error.
	RemoveImage(ctx context.Context, id string) error
}

// Image is an image that is here.
type Image struct {
	ID    string   `json:"id"` // the digest of its configuration: 64 hex digits; what it names never changes
	Names []string `json:"names,omitempty"`
	Size  int64    `json:"size"` // in bytes, unpacked
	// Used is how many containers here are made from it; only FindImage knows.
	Used int `json:"used,omitempty"`
}

// ImageError is the cause of an ImageMissing: which image it is, and why it cannot be
// had.
type ImageError struct {
	Image string // as the container's spec has it
	// NoRegistry: no registry answered, or none is known for that name. Else it was
	// not asked, or it said no.
	NoRegistry bool
	// Ask: it may be here, and its policy is Always: a registry is to be asked first.
	Ask bool
	Err error
}

// Auth is a credential for a registry; none if it is zero.
type Auth struct{ User, Password string }

func (e *ImageError) Error() string { return e.Err.Error() }
func (e *ImageError) Unwrap() error { return e.Err }
