package node

import (
	"context"
	"sync"
	"time"

	"holon/node/core"
)

// Pace of asking the runtime how it is.
const (
	hostEvery   = 5 * time.Second
	hostRetry   = time.Second // while the runtime does not answer
	infoTimeout = 10 * time.Second
)

// hostWatch keeps what is known of this host.
type hostWatch struct {
	mu      sync.Mutex
	current core.Host
	again   chan struct{}
}

// poke asks for a new look soon.
func (h *hostWatch) poke() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.again != nil {
		select {
		case h.again <- struct{}{}:
		default:
		}
	}
}

// SetServer tells under which URL this node's API is reached.
func (n *Node) SetServer(url string) {
	n.host.mu.Lock()
	n.host.current.Server = url
	n.host.mu.Unlock()
	n.host.poke()
}

// watchHost tells the core when the runtime comes and goes, and the disk.
func (n *Node) watchHost(ctx context.Context) {
	n.host.mu.Lock()
	n.host.again = make(chan struct{}, 1)
	n.host.mu.Unlock()
	for {
		wait := hostEvery
		h := n.lookAtHost(ctx)
		if h.RuntimeError != "" || h.DiskError != "" {
			wait = hostRetry
		}
		if !n.tell(ctx, core.HostChanged{Host: h}) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-n.host.again:
		case <-time.After(wait):
		}
	}
}

func (n *Node) lookAtHost(ctx context.Context) core.Host {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := n.cfg.Runtime.Info(ctx)
	n.host.mu.Lock()
	defer n.host.mu.Unlock()
	h := &n.host.current
	h.Wall = time.Now().UnixMilli()
	h.RuntimeError, h.DiskError = "", ""
	if err != nil {
		h.RuntimeError = err.Error()
	} else {
		h.Runtime = info
	}
	if failing := n.disk.failing.Load(); failing != nil {
		h.DiskError = *failing
	}
	h.Spare = n.cfg.HostSpare(n.cfg.DataDir, h.Runtime.Storage)
	return *h
}
