package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// ImageSum is the trailer of an upload: the SHA-256 of the archive, in hex.
	ImageSum = "Holon-Sha256"
	// uploadStall is how long a client may send nothing of an archive.
	uploadStall = time.Minute
)

// ImageInfo is an image of the cluster's nodes.
type ImageInfo struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
	Size  int64    `json:"size"`
	Nodes []string `json:"nodes"` // that have it
}

// ImageList is the answer to a list of images.
type ImageList struct {
	Items  []ImageInfo `json:"items"`
	Silent []string    `json:"silent"` // nodes that did not answer
}

// ImageCopy asks for copies of an image: on some nodes, or, if none is named, on all of
// the architecture of the node that is asked that are in reach.
type ImageCopy struct {
	Name  string   `json:"name"`
	ID    string   `json:"id,omitempty"` // empty: whatever has the name
	Nodes []string `json:"nodes,omitempty"`
}

// ImageProgress is one line of the answer to an upload: some with Progress, then one
// with Images or Error.
type ImageProgress struct {
	Progress string      `json:"progress,omitempty"`
	Images   []ImageInfo `json:"images,omitempty"`
	Error    string      `json:"error,omitempty"`
}

func (s *Server) images(w http.ResponseWriter, r *http.Request) error {
	node := r.URL.Query().Get("node")
	list, err := s.config.Backend.Images(r.Context(), node)
	switch {
	case errors.Is(err, ErrNotFound):
		return ofBackend(err, schema.GroupResource{Resource: Nodes}, node)
	case errors.Is(err, ErrInvalid):
		return apierrors.NewBadRequest(strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	case err != nil:
		return ofBackend(err, holonResource("images"), "")
	}
	writeJSON(w, r, http.StatusOK, list)
	return nil
}

// loadImage takes an archive. An error before its end is answered in words; while it
// is unpacked, lines say that it is.
func (s *Server) loadImage(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	var mu sync.Mutex
	began := false
	line := func(p ImageProgress) {
		mu.Lock()
		defer mu.Unlock()
		if !began {
			began = true
			w.Header().Set("Content-Type", typeJSON)
		}
		if json.NewEncoder(w).Encode(p) == nil {
			_ = control.Flush()
		}
	}
	images, err := s.config.Backend.LoadImage(r.Context(), &uploadBody{r.Body, control},
		func() string { return r.Trailer.Get(ImageSum) }, func(text string) { line(ImageProgress{Progress: text}) })
	words := strings.TrimPrefix(fmt.Sprint(err), ErrInvalid.Error()+": ")
	switch {
	case err != nil && began:
		line(ImageProgress{Error: words})
	case errors.Is(err, ErrInvalid):
		return apierrors.NewBadRequest(words)
	case err != nil:
		return ofBackend(err, holonResource("images"), "")
	default:
		line(ImageProgress{Images: images})
	}
	return nil
}

// uploadBody is an archive on its way in, with a deadline for each read.
type uploadBody struct {
	io.Reader
	control *http.ResponseController
}

func (b *uploadBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(uploadStall)) // as for snapshotBody
	return b.Reader.Read(p)
}

func (s *Server) copyImage(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var ask ImageCopy
	if err := json.Unmarshal(body, &ask); err != nil || ask.Name == "" {
		return apierrors.NewBadRequest("the body is no image copy: it names no image")
	}
	return s.withProgress(func(ctx context.Context, progress func(string)) error {
		return s.config.Backend.CopyImage(ctx, ask, progress)
	})(w, r)
}
