package api

import (
	"net/http"
	"time"
)

const (
	typeSnapshot = "application/vnd.holon.snapshot"
	// snapshotStall is how long a client may take none of a snapshot: what is held
	// for it does not become free by itself.
	snapshotStall = time.Minute
)

// snapshot streams the state of the cluster. An error before the first byte is
// answered in words; after that the connection breaks, and the format tells the
// client that the end is missing.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) error {
	out := &snapshotBody{w: w, control: http.NewResponseController(w)}
	defer func() { _ = out.control.SetWriteDeadline(time.Time{}) }() // the connection may serve more
	err := s.config.Backend.Snapshot(r.Context(), out)
	switch {
	case err != nil && !out.began:
		return ofBackend(err, holonResource("snapshot"), "")
	case err != nil:
		s.log.Warn("a snapshot was not finished", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// snapshotBody is the answer, with a deadline for each write.
type snapshotBody struct {
	w       http.ResponseWriter
	control *http.ResponseController
	began   bool
}

func (b *snapshotBody) Write(p []byte) (int, error) {
	if !b.began {
		b.began = true
		b.w.Header().Set("Content-Type", typeSnapshot)
	}
	// Not every connection can set deadlines; those that cannot are tests' recorders.
	_ = b.control.SetWriteDeadline(time.Now().Add(snapshotStall))
	return b.w.Write(p)
}
