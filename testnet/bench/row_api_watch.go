package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// watchConnections carry all watches of a measurement.
	watchConnections = 100
	// watchLineMax holds an event of a ConfigMap of 1 KB.
	watchLineMax = 4 << 10
	// idleTime is how long watches must survive with nothing to say.
	idleTime = 10 * time.Second
)

// audience waits until the last of many has heard of a write.
type audience struct {
	mu      sync.Mutex
	of      write
	missing int
	last    chan time.Time
}

func newAudience() *audience { return &audience{last: make(chan time.Time, 1)} }

// expect is called before w is sent to so many.
func (a *audience) expect(w write, count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of, a.missing = w, count
}

// heard is called by each of them, for whatever it hears.
func (a *audience) heard(w write) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w != a.of {
		return
	}
	if a.missing--; a.missing == 0 {
		a.last <- time.Now()
	}
}

// crowd is many watches of ConfigMaps that were let in.
type crowd struct {
	*audience
	size, refused int
	failed        chan error // the first watch that ended
}

// watching runs body while count watches, spread over connections and users, follow
// ConfigMaps from now on. A watch may be refused for want of room, but not end.
func (n *apiNode) watching(ctx context.Context, count, users int, body func(*crowd, *httpAPI) error) error {
	return n.withClients(ctx, watchConnections, users, func(clients []*httpAPI) error {
		ctx, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		var now struct {
			Metadata struct{ ResourceVersion string }
		}
		if err := clients[0].decode(ctx, configMapsPath+"?limit=1", &now); err != nil {
			return err
		}
		c := &crowd{audience: newAudience(), failed: make(chan error, 1)}
		path := configMapsPath + "?watch=1&resourceVersion=" + now.Metadata.ResourceVersion
		var mu sync.Mutex // of size and refused
		err := parallel(ctx, watchConnections, func(_ context.Context, client int) error {
			for i := client; i < count; i += watchConnections {
				stream, err := clients[client].open(ctx, http.MethodGet, 0, path, nil) // longer than parallel's ctx
				var no *refusal
				mu.Lock()
				switch {
				case err == nil:
					c.size++
				case errors.As(err, &no) && no.code == http.StatusTooManyRequests:
					c.refused++
					err = nil
				}
				mu.Unlock()
				if err != nil {
					return err
				}
				if stream == nil {
					continue
				}
				all.Go(func() {
					defer stream.Close()
					err := readWatch(bufio.NewReaderSize(stream, watchLineMax), c.heard)
					select {
					case c.failed <- err:
					default:
					}
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		return body(c, clients[0])
	})
}

// told writes a ConfigMap and returns how long after it was sent, and after its
// acknowledgement, the last watch had it.
func (c *crowd) told(ctx context.Context, by *httpAPI, w write) (sent, acknowledged time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.expect(w, c.size)
	began := time.Now()
	if err := by.put(ctx, 0, w); err != nil {
		return 0, 0, err
	}
	answered := time.Now()
	select {
	case last := <-c.last:
		return last.Sub(began), max(last.Sub(answered), 0), nil
	case err := <-c.failed:
		return 0, 0, fmt.Errorf("a watch ended: %w", err)
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("not all of %d watches have heard of a write: %w", c.size, ctx.Err())
	}
}

// fanOut measures writes that many watch.
func (b *bench) fanOut(ctx context.Context, n *apiNode, l apiLoad, ids *numbers) error {
	before, err := n.quietMemory(ctx)
	if err != nil {
		return err
	}
	return n.watching(ctx, l.watchers, 1, func(c *crowd, by *httpAPI) error {
		with, err := n.quietMemory(ctx)
		if err != nil {
			return err
		}
		var sent, acknowledged series
		cpu, err := cpuOf([]int{n.pid()}, float64(l.writes), func() error {
			for i := range l.writes {
				s, a, err := c.told(ctx, by, write{i % l.maps, ids.next()})
				if err != nil {
					return err
				}
				sent, acknowledged = append(sent, millis(s)), append(acknowledged, millis(a))
			}
			return nil
		})
		if err != nil {
			return err
		}
		what := fmt.Sprintf("a write's acknowledgement to the last of %d watches on %d connections, %d writes in turn", c.size, watchConnections, l.writes)
		b.api(what+", p50", "ms").add(acknowledged.quantile(0.5), 0)
		b.api(what+", p99", "ms").add(acknowledged.quantile(0.99), 0)
		b.api("- from when it was sent, p50", "ms").add(sent.quantile(0.5), 0)
		b.api("- from when it was sent, p99", "ms").add(sent.quantile(0.99), 0)
		b.api("- processor time of the node for one write", "ms").add(cpu, 0)
		b.api("- RSS of the quiet node before them", "MiB").add(before["VmRSS"].median(), 0)
		b.api("- RSS of the quiet node with them", "MiB").add(with["VmRSS"].median(), 0)
		return nil
	})
}

// idleWatches measures how many watches a node takes on, of one user and of many,
// and proves with one write that they have survived.
func (b *bench) idleWatches(ctx context.Context, n *apiNode, l apiLoad, ids *numbers) error {
	for _, users := range []int{1, apiUsers} {
		before, err := n.quietMemory(ctx)
		if err != nil {
			return err
		}
		err = n.watching(ctx, l.idle, users, func(c *crowd, by *httpAPI) error {
			if err := sleep(ctx, idleTime); err != nil {
				return err
			}
			with, err := n.quietMemory(ctx)
			if err != nil {
				return err
			}
			took, _, err := c.told(ctx, by, write{0, ids.next()})
			if err != nil {
				return err
			}
			who := fmt.Sprintf("%d idle watches asked for by %d users", l.idle, users)
			if users == 1 {
				who = fmt.Sprintf("%d idle watches asked for by one user", l.idle)
			}
			b.api(who+": taken, and alive after "+idleTime.String(), "").add(float64(c.size), 0)
			b.api(who+": refused (429)", "").add(float64(c.refused), 0)
			b.api("- RSS that they add to the quiet node, "+who, "MiB").add(with["VmRSS"].median()-before["VmRSS"].median(), 0)
			b.api("- one write, sent until the last has it, "+who, "ms").add(millis(took), 0)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%d users: %w", users, err)
		}
	}
	return nil
}
