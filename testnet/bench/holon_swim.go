package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"holon/p2p/swim"
)

// detectors are holon's failure detectors alone, in this process: each has a
// goroutine and a UDP socket. In a node their packets travel on the streams that
// the mesh keeps, and the mesh tells when one closes; here nobody does.
type detectors struct {
	o     *opinions
	began time.Time
	addrs []netip.AddrPort
	ids   map[netip.AddrPort]swim.ID
	selfs []swim.Self // of the present life
	all   []*detector
}

type detector struct {
	*swim.Machine
	conn *net.UDPConn
	done chan struct{}
	err  error
}

func withDetectors(_ context.Context, _ *bench, o *opinions, body func(mortals) error) (err error) {
	c := &detectors{o: o, began: time.Now(), ids: map[netip.AddrPort]swim.ID{}, all: make([]*detector, len(o.held))}
	for i := range c.all {
		addr := netip.AddrPortFrom(netip.MustParseAddr(memberIP(i)), memberPort)
		c.addrs = append(c.addrs, addr)
		c.ids[addr] = swim.ID(strconv.Itoa(i))
		c.selfs = append(c.selfs, swim.Self{ID: c.ids[addr]})
	}
	defer func() {
		for _, m := range c.all {
			if m != nil {
				err = errors.Join(err, m.end())
			}
		}
	}()
	for i := range c.all {
		if err := c.start(i); err != nil {
			return err
		}
	}
	return body(c)
}

func (c *detectors) now() swim.Instant { return time.Since(c.began) }

// start boots a detector as a node does: a thousand incarnations on.
func (c *detectors) start(i int) error {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(c.addrs[i]))
	if err != nil {
		return err
	}
	c.selfs[i].Epoch++
	c.selfs[i].Incarnation += 1000
	m := &detector{Machine: swim.New(c.selfs[i], swim.LAN(), uint64(c.now())), conn: conn, done: make(chan struct{})}
	c.all[i] = m
	go func() { // end waits for it
		defer close(m.done)
		m.err = c.run(i, m)
	}()
	return nil
}

// run is the life of a detector, until its socket is closed.
func (c *detectors) run(i int, m *detector) error {
	var out swim.Output
	for of, addr := range c.addrs {
		if of != i {
			out = m.Join(c.now(), c.ids[addr])
			c.take(i, m, out)
		}
	}
	packet := make([]byte, swim.PacketBytesMax+1)
	for {
		wake := time.Time{}
		if out.Wake != swim.Never {
			wake = c.began.Add(out.Wake)
		}
		if err := m.conn.SetReadDeadline(wake); err != nil {
			return ignoreClosed(err)
		}
		n, from, err := m.conn.ReadFromUDPAddrPort(packet)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			out = m.Tick(c.now())
		case err != nil:
			return ignoreClosed(err)
		default:
			out = m.Receive(c.now(), c.ids[from], packet[:n])
		}
		c.take(i, m, out)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// take performs an output. A packet that cannot be sent is a lost packet.
func (c *detectors) take(i int, m *detector, out swim.Output) {
	for _, p := range out.Send {
		if to, err := strconv.Atoi(string(p.To)); err == nil {
			_, _ = m.conn.WriteToUDPAddrPort(p.Payload, c.addrs[to])
		}
	}
	for _, change := range out.Changes {
		of, err := strconv.Atoi(string(change.ID))
		switch {
		case err != nil:
		case change.To == swim.Unreachable:
			c.o.say(i, of, dead)
		case change.To == swim.Alive:
			c.o.say(i, of, alive)
		}
	}
}

func (m *detector) end() error {
	err := ignoreClosed(m.conn.Close())
	<-m.done
	return errors.Join(err, m.err)
}

func (c *detectors) die(i int, _ bool) error { return c.all[i].end() }

func (c *detectors) revive(_ context.Context, i int) error {
	c.selfs[i].Incarnation = c.all[i].Incarnation()
	return c.start(i)
}
