package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// overhead measures the bench's own HTTPS clients against a server of this
// process that does nothing but read and answer: what holon's figures contain
// of the bench. Client and server share the cores as the bench and holon do.
func overhead(ctx context.Context, b *bench) error {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	empty := &emptyServer{httpAPI: httpAPI{servers: []string{server.URL}, size: smallValue, client: httpsClient(roots)}}
	defer empty.close()
	var ids numbers
	total := b.scaled(20000, 5000)
	if err := closedLoop(ctx, empty, nil, &ids, 1024, 1000); err != nil { // handshakes
		return err
	}
	for range b.rounds {
		began := time.Now()
		if err := closedLoop(ctx, empty, nil, &ids, 1024, total); err != nil {
			return err
		}
		rate := float64(total) / time.Since(began).Seconds()
		b.figure("overhead", "requests per second, 64 clients", "/s", "", goal{}).add(rate, 0)
		t := newTracker(1)
		empty.seen = func(w write) { t.seen(0, w) }
		if err := openLoop(ctx, empty, t, &ids, 1024, 500, time.Duration(b.scaled(4, 2))*time.Second); err != nil {
			return err
		}
		b.figure("overhead", "request at 500/s, p50", "ms", "", goal{}).add(t.latencies().quantile(0.5), 0)
		b.figure("overhead", "request at 500/s, p99", "ms", "", goal{}).add(t.latencies().quantile(0.99), 0)
		empty.seen = nil
	}
	return nil
}

// emptyServer shows every write as soon as it is answered.
type emptyServer struct {
	httpAPI
	seen func(write)
}

func (e *emptyServer) put(ctx context.Context, member int, w write) error {
	if err := e.httpAPI.put(ctx, member, w); err != nil {
		return err
	}
	if e.seen != nil {
		e.seen(w)
	}
	return nil
}
