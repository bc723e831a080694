package api

import (
	"io"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	typeSnapshot = "application/vnd.holon.snapshot"
	// snapshotStall is how long a client may take none of a snapshot: what is held
	// for it does not become free by itself.
	snapshotStall = time.Minute
)

// snapshot streams the state of the cluster.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, holonResource("snapshot"), "", func(out io.Writer) error { return s.config.Backend.Snapshot(r.Context(), out) })
}

// stream answers with what write writes. An error before the first byte is answered in words;
// after that the connection breaks, and the format tells the client that the end is missing.
func (s *Server) stream(w http.ResponseWriter, gr schema.GroupResource, name string, write func(io.Writer) error) error {
	out := &snapshotBody{w: w, out: timed(w, snapshotStall)}
	err := write(out)
	switch {
	case err != nil && !out.began:
		return ofBackend(err, gr, name)
	case err != nil:
		s.log.Warn("a snapshot was not finished", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// snapshotBody is the answer.
type snapshotBody struct {
	w     http.ResponseWriter
	out   timedWriter
	began bool
}

func (b *snapshotBody) Write(p []byte) (int, error) {
	if !b.began {
		b.began = true
		b.w.Header().Set("Content-Type", typeSnapshot)
	}
	return b.out.Write(p)
}
