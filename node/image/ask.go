package image

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"holon/p2p"
	"holon/runtime"
)

// dial opens a stream and sends a request. The stream is reset when ctx ends; the
// caller calls end.
func (s *Store) dial(ctx context.Context, peer p2p.PeerID, req request) (st p2p.Stream, end func(), err error) {
	line, err := json.Marshal(req)
	if err != nil {
		return nil, nil, err
	}
	opening, opened := context.WithTimeout(ctx, askTimeout)
	st, err = s.cfg.Open(opening, peer, Protocol)
	opened()
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, st.Reset)
	end = func() {
		stop()
		st.Close()
	}
	if _, err = st.Write(append(line, '\n')); err == nil {
		err = st.CloseWrite()
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return st, end, nil
}

// watched is ctx until nothing has come for stallTimeout; heard is called for all that
// comes, and done in the end.
func watched(ctx context.Context) (_ context.Context, heard, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	heard = func() { stalled.Reset(stallTimeout) }
	done = func() {
		stalled.Stop()
		cancel(nil)
	}
	return ctx, heard, done
}

var errStalled = fmt.Errorf("nothing came for %v", stallTimeout)

// each asks every peer a question, at most asksMax at once, and returns the names of
// those that did not answer.
func (s *Store) each(ctx context.Context, peers []Peer, req request, take func(Peer, io.Reader) error) (silent []string) {
	var mu sync.Mutex
	var group sync.WaitGroup
	turns := make(chan struct{}, asksMax)
	for _, p := range peers {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			st, end, err := s.dial(ctx, p.ID, req)
			if err == nil {
				err = take(p, st)
				end()
			}
			if err != nil {
				mu.Lock()
				silent = append(silent, p.Name)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(silent)
	return silent
}

// holder is a peer that has an image.
type holder struct {
	peer Peer
	offer
}

// askSettle is how long the first offer waits for others: one node that does not
// answer shall not keep a pod waiting.
const askSettle = 300 * time.Millisecond

// ask finds out which peers have an image of that name. A name stands for another
// image on each architecture, so only those of this node's own are asked.
func (s *Store) ask(ctx context.Context, ref string) (found []holder) {
	ctx, settled := context.WithCancel(ctx)
	defer settled()
	var mu sync.Mutex
	alike := slices.DeleteFunc(slices.Clone(s.cfg.Peers()), func(p Peer) bool { return p.Arch != s.cfg.Arch })
	s.each(ctx, alike, request{Op: opAsk, Ref: ref}, func(p Peer, r io.Reader) error {
		var o offer
		if err := json.NewDecoder(io.LimitReader(r, requestMax)).Decode(&o); err != nil || o.ID == "" {
			return err
		}
		if !validOffer(o) {
			return errors.New("no offer")
		}
		mu.Lock()
		defer mu.Unlock()
		if found = append(found, holder{peer: p, offer: o}); len(found) == 1 {
			time.AfterFunc(askSettle, settled)
		}
		return nil
	})
	slices.SortFunc(found, func(a, b holder) int { return strings.Compare(a.peer.Name, b.peer.Name) })
	return found
}

// Here reports whether an image is here.
func (s *Store) Here(ctx context.Context, ref string) bool {
	_, err := s.cfg.Images.FindImage(ctx, ref)
	return err == nil
}

// Holders are the names of the peers that have an image of a name.
func (s *Store) Holders(ctx context.Context, ref string) (names []string) {
	for _, h := range s.ask(ctx, ref) {
		names = append(names, h.peer.Name)
	}
	return names
}

// choose picks one of the images that peers have under a name: that of which most
// containers are made, because it is what runs; else the most common one; else the
// one with the smallest ID, so that all nodes choose alike. note says, if there
// was a choice, how it was made.
func choose(ref string, found []holder) (chosen []holder, note string) {
	type candidate struct {
		id          string
		used, nodes int
	}
	var all []*candidate
	for _, h := range found {
		i := slices.IndexFunc(all, func(c *candidate) bool { return c.id == h.ID })
		if i < 0 {
			i, all = len(all), append(all, &candidate{id: h.ID})
		}
		all[i].used, all[i].nodes = all[i].used+h.Used, all[i].nodes+1
	}
	best := slices.MinFunc(all, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(b.used, a.used), cmp.Compare(b.nodes, a.nodes), cmp.Compare(a.id, b.id))
	})
	for _, h := range found {
		if h.ID == best.id {
			chosen = append(chosen, h)
		}
	}
	if len(all) > 1 {
		note = fmt.Sprintf("the nodes have %d different images named %s; this one takes %s, of which %d containers run elsewhere and which %d of them have",
			len(all), ref, Short(best.id), best.used, best.nodes)
	}
	return chosen, note
}

// Short is the beginning of an ID, as Podman shows it.
func Short(id string) string { return id[:min(12, len(id))] }

// Listing is the images of several nodes.
type Listing struct {
	Nodes  map[string][]runtime.Image
	Silent []string // nodes that did not answer
}

// List asks this node and the peers what they have; want picks the nodes.
func (s *Store) List(ctx context.Context, want func(node string) bool) (Listing, error) {
	l := Listing{Nodes: map[string][]runtime.Image{}}
	if want(s.cfg.Self) {
		list, err := s.cfg.Images.Images(ctx)
		if err != nil {
			return l, err
		}
		l.Nodes[s.cfg.Self] = list
	}
	var mu sync.Mutex
	peers := slices.DeleteFunc(slices.Clone(s.cfg.Peers()), func(p Peer) bool { return !want(p.Name) })
	l.Silent = s.each(ctx, peers, request{Op: opList}, func(p Peer, r io.Reader) error {
		list, err := decodeImages(r)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			l.Nodes[p.Name] = list
		}
		return err
	})
	return l, nil
}

// order tells a peer to get an image from whoever has it.
func (s *Store) order(ctx context.Context, to Peer, ref, id string, say func(string)) error {
	ctx, heard, done := watched(ctx)
	defer done()
	st, hangUp, err := s.dial(ctx, to.ID, request{Op: opGet, Ref: ref, ID: id})
	if err != nil {
		return fmt.Errorf("%s cannot be reached: %w", to.Name, err)
	}
	defer hangUp()
	in, buf := bufio.NewReaderSize(st, frameMax), make([]byte, frameMax)
	for ; ; heard() {
		kind, payload, err := readFrame(in, buf)
		if err != nil {
			return fmt.Errorf("%s went away: %w", to.Name, errors.Join(err, context.Cause(ctx)))
		}
		switch kind {
		case frameWait:
			say(string(payload))
		case frameEnd:
			var e end
			if err := json.Unmarshal(payload, &e); err != nil {
				return err
			}
			if e.Error != "" {
				return errors.New(e.Error)
			}
			return nil
		}
	}
}
