package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/memberlist"
)

// member is a memberlist with its LAN defaults on an address of its own; its name
// is its number.
type member struct {
	*memberlist.Memberlist
	number int
	say    func(of int, state opinionState)
	ended  atomic.Bool // what its timers say after that counts no more
}

// memberIP is an address of loopback, in a network namespace that nobody else uses.
func memberIP(i int) string { return fmt.Sprintf("127.8.0.%d", i+1) }

const memberPort = 7946

// startMember joins through another member, or is the first.
func startMember(i, through int, say func(of int, state opinionState)) (*member, error) {
	m := &member{number: i, say: say}
	config := memberlist.DefaultLANConfig()
	config.Name, config.BindAddr, config.BindPort, config.AdvertisePort = strconv.Itoa(i), memberIP(i), memberPort, memberPort
	config.Events, config.LogOutput = m, io.Discard
	list, err := memberlist.Create(config)
	if err != nil {
		return nil, err
	}
	m.Memberlist = list
	if through != i {
		_, err = list.Join([]string{fmt.Sprintf("%s:%d", memberIP(through), memberPort)})
	}
	if err != nil {
		return nil, errors.Join(err, m.end())
	}
	return m, nil
}

// end closes the sockets and says nothing to anybody.
func (m *member) end() error {
	m.ended.Store(true)
	return m.Shutdown()
}

func (m *member) notify(n *memberlist.Node, state opinionState) {
	if of, err := strconv.Atoi(n.Name); err == nil && of != m.number && !m.ended.Load() {
		m.say(of, state)
	}
}

// NotifyJoin, NotifyLeave and NotifyUpdate are memberlist's events.
func (m *member) NotifyJoin(n *memberlist.Node)  { m.notify(n, alive) }
func (m *member) NotifyLeave(n *memberlist.Node) { m.notify(n, dead) }
func (m *member) NotifyUpdate(*memberlist.Node)  {}

// members are memberlists in this process.
type members struct {
	o   *opinions
	all []*member
}

func withMembers(_ context.Context, _ *bench, o *opinions, body func(mortals) error) (err error) {
	c := &members{o: o, all: make([]*member, len(o.held))}
	defer func() {
		for _, m := range c.all {
			if m != nil {
				err = errors.Join(err, m.end())
			}
		}
	}()
	for i := range c.all {
		if err := c.start(i, 0); err != nil {
			return err
		}
	}
	return body(c)
}

func (c *members) start(i, through int) (err error) {
	c.all[i], err = startMember(i, through, func(of int, state opinionState) { c.o.say(i, of, state) })
	return err
}

func (c *members) die(i int, _ bool) error { return c.all[i].end() }

func (c *members) revive(_ context.Context, i int) error { return c.start(i, (i+1)%len(c.all)) }

// memberProcesses are memberlists in processes of their own, which print what they
// hold of each other.
type memberProcesses struct {
	o   *opinions
	all []*child
}

func withMemberProcesses(ctx context.Context, _ *bench, o *opinions, body func(mortals) error) error {
	c := &memberProcesses{o: o, all: make([]*child, len(o.held))}
	defer func() {
		for _, m := range c.all {
			if m != nil {
				m.kill()
			}
		}
	}()
	for i := range c.all {
		if err := c.start(ctx, i, 0); err != nil {
			return err
		}
	}
	return body(c)
}

// start returns when the member has joined.
func (c *memberProcesses) start(ctx context.Context, i, through int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	said := &lines{of: func(line string) {
		var of int
		var state opinionState
		if _, err := fmt.Sscan(line, &of, &state); err == nil && of != i {
			c.o.say(i, of, state)
		}
	}, began: make(chan struct{}, 1)}
	c.all[i], err = startTalking("", self, []string{"-child", fmt.Sprintf("member %d %d", i, through)}, said)
	if err != nil {
		return err
	}
	select {
	case <-said.began:
		return nil
	case <-c.all[i].done:
		return c.all[i].ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *memberProcesses) die(i int, silent bool) error {
	if silent {
		return c.all[i].cmd.Process.Signal(syscall.SIGSTOP)
	}
	return c.all[i].cmd.Process.Kill()
}

func (c *memberProcesses) revive(ctx context.Context, i int) error {
	c.all[i].kill()
	return c.start(ctx, i, (i+1)%len(c.all))
}

// joined is the line that a member prints once it belongs to the cluster.
const joined = "joined"

// beMember is the process of one member.
func beMember(ctx context.Context, job string) error {
	var i, through int
	if _, err := fmt.Sscan(job, &i, &through); err != nil {
		return err
	}
	m, err := startMember(i, through, func(of int, state opinionState) { fmt.Println(of, int(state)) })
	if err != nil {
		return err
	}
	fmt.Println(joined)
	<-ctx.Done()
	return m.end()
}

// lines hands on what is written to it, line by line.
type lines struct {
	of    func(line string)
	began chan struct{}
	rest  []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.rest = rest
		if string(line) == joined {
			l.began <- struct{}{}
			continue
		}
		l.of(string(line))
	}
}
