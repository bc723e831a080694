package api

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// onHTTP2 serves one handler over HTTP/2, as kubectl asks, and returns its answer.
func onHTTP2(t *testing.T, handler http.HandlerFunc) *http.Response {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	answer, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.ProtoMajor != 2 {
		t.Fatalf("answered over %s", answer.Proto)
	}
	return answer
}

// A stream in which nothing is written for longer than the limit goes on.
func TestQuietStreamOutlivesTheLimitOfAWrite(t *testing.T) {
	const limit = 20 * time.Millisecond
	answer := onHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		out := timed(w, limit)
		for range 3 {
			if _, err := io.WriteString(out, "frame\n"); err != nil {
				t.Error(err)
			}
			if err := out.Flush(); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * limit)
		}
	})
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "frame\nframe\nframe\n" {
		t.Fatalf("%q, %v", body, err)
	}
}

// A client that takes nothing does not hold the handler for ever.
func TestClientThatTakesNothingIsGivenUp(t *testing.T) {
	ended := make(chan error)
	onHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		out := timed(w, 20*time.Millisecond)
		var err error
		for err == nil {
			if _, err = out.Write(bytes.Repeat([]byte("x"), 1<<16)); err == nil {
				err = out.Flush()
			}
		}
		ended <- err
	})
	if err := <-ended; err == nil {
		t.Fatal(err)
	}
}
