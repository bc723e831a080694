package api

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"holon/node/api/rbac"
)

const (
	// rateMax is how many requests a second a user may send in the long run, and rateBurst
	// how many at once: kubectl sends 50 a second, a controller of client-go 5 unless its
	// author says otherwise. Who may do everything is not counted, as in Kubernetes.
	rateMax   = 500
	rateBurst = 1000
	// pacesMax is how many users' pace is known before those who rest are forgotten.
	pacesMax = 1024
)

// pace bounds how often each user asks.
type pace struct {
	mu sync.Mutex
	of map[string]allowance
}

// allowance is how many requests a user has left, as of a moment.
type allowance struct {
	left float64
	at   time.Time
}

func (a allowance) after(now time.Time) allowance {
	gained := max(now.Sub(a.at).Seconds(), 0) * rateMax
	return allowance{left: min(a.left+gained, rateBurst), at: now}
}

// take lets a user send one more request, or says that he sends too many.
func (p *pace) take(u user, now time.Time) error {
	if slices.Contains(u.Groups, rbac.MastersGroup) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a, known := p.of[u.Name]
	if !known {
		p.forget(now)
		a.left, a.at = rateBurst, now
	}
	if a = a.after(now); a.left < 1 {
		p.of[u.Name] = a
		return tooMany("user %q sends more than %d requests a second: try again in a moment", u.Name, rateMax)
	}
	a.left--
	p.of[u.Name] = a
	return nil
}

// forget makes room for another user: who has his whole burst again is as one who is new.
func (p *pace) forget(now time.Time) {
	if p.of == nil {
		p.of = map[string]allowance{}
	}
	if len(p.of) < pacesMax {
		return
	}
	for name, a := range p.of {
		if a.after(now).left == rateBurst {
			delete(p.of, name)
		}
	}
}

// connectionsMax bounds the connections over the network, those of strangers included; one
// address may have 1 in shareMax of them. A watch of HTTP/2 takes none of its own.
const connectionsMax = 2048

// doorway is a listener that shuts the door in the face of who has, or would be, too many.
type doorway struct {
	net.Listener
	room, share int

	mu    sync.Mutex
	taken int
	of    map[string]int // by address; none is 0
}

func newDoorway(l net.Listener, room int) *doorway {
	return &doorway{Listener: l, room: room, share: room / shareMax, of: map[string]int{}}
}

// Accept implements net.Listener.
func (d *doorway) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from, ok := d.enter(c.RemoteAddr()); ok {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { d.leave(from) })}, nil
		}
		_ = c.Close() // no words: there is no TLS to say them in yet
	}
}

func (d *doorway) enter(from net.Addr) (host string, ok bool) {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		host = fmt.Sprint(from)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.taken == d.room || d.of[host] == d.share {
		return host, false
	}
	d.taken++
	d.of[host]++
	return host, true
}

func (d *doorway) leave(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken--
	if d.of[host]--; d.of[host] == 0 {
		delete(d.of, host)
	}
}

// guest is a connection that counts until it is closed.
type guest struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
