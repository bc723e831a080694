package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAStreamMayBeSlowButNotStandStill: the timeout is for each piece, so a long
// answer is no error and one that stops is.
func TestAStreamMayBeSlowButNotStandStill(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(stop)
	base, err := url.Parse(server.URL)
	must(t, err)
	c := &client{http: server.Client(), base: base, where: "the test", timeout: 50 * time.Millisecond, warn: func(string) {}}
	body, err := c.stream(t.Context(), request{path: "/"})
	must(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	if string(text) != "begun" || !errors.Is(err, errUnreachable) || !strings.Contains(sentence(err), "did not answer within 50ms") {
		t.Errorf("read %q, %v", text, err)
	}
	if _, err := io.ReadAll(&patientBody{client: c, body: io.NopCloser(strings.NewReader("whole")), cancel: func() {}}); err != nil {
		t.Errorf("an answer that ends: %v", err)
	}
}
