package podman

import "sync"

// A pulse wakes everybody who waits when it is fired. The zero value is ready.
type pulse struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed at the next fire.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch == nil {
		p.ch = make(chan struct{})
	}
	return p.ch
}

func (p *pulse) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch != nil {
		close(p.ch)
		p.ch = nil
	}
}
