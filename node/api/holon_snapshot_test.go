package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestSnapshotIsStreamed(t *testing.T) {
	f := serve(t)
	f.backend.snapshot = func(w io.Writer) error {
		for range 1000 {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return err
			}
		}
		return nil
	}
	a := f.do("GET", holonPath+"snapshot", "").want(t, 200)
	if len(a.body) != 1_000_000 || a.header.Get("Content-Type") != typeSnapshot {
		t.Errorf("%d bytes of %q", len(a.body), a.header.Get("Content-Type"))
	}
	f.doWith(f.anonymous(), "GET", holonPath+"snapshot", "").want(t, 401)
	f.do("POST", holonPath+"snapshot", "{}").want(t, 404)
}

// TestAFailedSnapshotIsNoAnswer: before its first byte an error has words, later
// the connection breaks, so that no client takes the beginning for the whole.
func TestAFailedSnapshotIsNoAnswer(t *testing.T) {
	f := serve(t)
	f.backend.snapshot = func(io.Writer) error { return fmt.Errorf("%w: 2 already", ErrBusy) }
	f.do("GET", holonPath+"snapshot", "").want(t, 429, "2 already")
	f.backend.snapshot = func(io.Writer) error { return fmt.Errorf("%w: disk full", ErrNotDurable) }
	f.do("GET", holonPath+"snapshot", "").want(t, 503, "disk full")
	f.backend.snapshot = func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, errors.New("the disk broke"))
	}
	r, err := http.NewRequestWithContext(f.ctx, http.MethodGet, f.url+holonPath+"snapshot", nil)
	check(t, err)
	resp, err := f.http.Do(r)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("half a snapshot was answered as a whole one")
	}
}
