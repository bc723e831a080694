package api

import "sync"

const (
	shortRequestsMax = 256  // answered side by side
	longRequestsMax  = 4096 // watches, followed logs, exec, attach
	// shareMax is the part of either that one user may take, so that one who asks without
	// end leaves something to the others: 1 in shareMax.
	shareMax = 2
)

// slots bounds how many requests run side by side, of all and of each user. Whoever is
// answered at once is not counted by time: a client that asks one after the other is as fast
// as the node.
type slots struct {
	mu    sync.Mutex
	room  int
	share int
	taken int
	of    map[string]int // by user; none is 0
}

func newSlots(n int) *slots { return &slots{room: n, share: n / shareMax, of: map[string]int{}} }

// take finds room for a request of a user. If there is none, it says whose fault that is.
func (s *slots) take(u user) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.taken == s.room:
		return tooMany("this node is answering %d requests already: try again in a moment", s.room)
	case s.of[u.bearer()] == s.share:
		return tooMany("this node is answering %d requests of user %q already, as many as it does for one: end some, or try again in a moment", s.share, u.bearer())
	}
	s.taken++
	s.of[u.bearer()]++
	return nil
}

func (s *slots) release(u user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.of[u.bearer()]--; s.of[u.bearer()] == 0 {
		delete(s.of, u.bearer())
	}
}
