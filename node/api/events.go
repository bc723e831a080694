package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// eventsTimeout is how long the nodes may take to hand in their Events.
	eventsTimeout = 3 * time.Second
	// eventsEvery is how often they are asked while somebody watches Events.
	eventsEvery = 2 * time.Second
	// eventsMax bounds the Events that are mirrored; the oldest are left out.
	eventsMax = 5000
)

// eventMirror brings the Events of all nodes into the cache when somebody looks,
// so that they are listed, selected and watched like everything else.
type eventMirror struct {
	mu       sync.Mutex // one asks at a time
	watchers atomic.Int32
}

// askEvents refreshes the mirror and warns about nodes that did not answer.
func (s *Server) askEvents(w http.ResponseWriter, r *http.Request) {
	missing, err := s.mirrorEvents(r.Context())
	warn := warningsTo(w)
	if err != nil {
		warn.add("Events could not be gathered: %v", err)
	}
	if len(missing) > 0 {
		warn.add("no answer from %s: Events of these nodes may be missing or old", strings.Join(missing, ", "))
	}
}

func (s *Server) mirrorEvents(ctx context.Context) (missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventsTimeout)
	defer cancel()
	events, missing, err := s.config.Backend.Events(ctx, "")
	if err != nil {
		return missing, err
	}
	if len(events) > eventsMax {
		events = events[len(events)-eventsMax:]
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	var objects []Object
	current := map[Key]bool{}
	for _, e := range events {
		k := Key{Resource: EventsOf, Namespace: metaString(e, "namespace"), Name: metaString(e, "name")}
		current[k] = true
		objects = append(objects, Object{Key: k, Source: Decoded(e)})
	}
	var gone []Key
	if len(missing) == 0 {
		old, _ := s.config.Cache.List(EventsOf, "")
		for _, o := range old {
			if !current[o.Key] {
				gone = append(gone, o.Key)
			}
		}
	}
	return missing, s.config.Cache.Apply(objects, gone)
}

// keepAskingEvents has the mirror refreshed until release is called.
func (s *Server) keepAskingEvents() (release func()) {
	s.events.watchers.Add(1)
	return func() { s.events.watchers.Add(-1) }
}

// followEvents refreshes the mirror while Events are watched; it ends with ctx.
func (s *Server) followEvents(ctx context.Context) {
	tick := time.NewTicker(eventsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.events.watchers.Load() == 0 {
			continue
		}
		if _, err := s.mirrorEvents(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("Events could not be gathered", "err", err)
		}
	}
}
