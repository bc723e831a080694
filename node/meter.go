package node

import (
	"context"
	"errors"
	"time"

	"holon/node/api"
	"holon/node/core"
	"holon/runtime"
)

// Pace of measuring. Nothing is measured while nobody asks; who asks first waits for
// the shortest window.
const (
	usageWindowMin = time.Second
	usageWindowMax = 2 * time.Minute  // an older sample begins no window
	usageFresh     = 10 * time.Second // how long an answer is given again
)

// meter tells what this node uses. CPU is a rate: a window goes from one sample to the
// next, which is usually the next time that somebody asks.
type meter struct {
	node  string
	clock func() core.Instant
	host  func() (HostUsage, error)
	pods  func(context.Context) ([]runtime.PodUsage, error)

	turn   chan struct{} // holds one token; whoever has it may use the fields below
	last   *usageSample
	answer *usageWindow // that ends with last
}

// usageSample is what had been used at an instant.
type usageSample struct {
	at   core.Instant
	wall time.Time // for display
	host HostUsage
	pods []runtime.PodUsage
	err  error // why pods is not known
}

// usageWindow is what has been used between two samples.
type usageWindow struct {
	api.NodeUsage
	err error // why its Runs are not known
}

func newMeter(cfg *Config) *meter {
	m := &meter{node: cfg.Identity.Name, clock: cfg.Clock, host: cfg.HostUsage, pods: cfg.Runtime.Usage, turn: make(chan struct{}, 1)}
	if m.host == nil {
		m.host = ThisHostUsage
	}
	m.turn <- struct{}{}
	return m
}

// measure returns the usage in a window that has just ended, or that did a moment ago.
func (m *meter) measure(ctx context.Context) (usageWindow, error) {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return usageWindow{}, ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	if m.last != nil && m.clock()-m.last.at > usageWindowMax {
		m.last, m.answer = nil, nil
	}
	if m.answer != nil && m.clock()-m.last.at < usageFresh {
		return *m.answer, nil
	}
	if m.last == nil {
		if err := m.sample(ctx); err != nil {
			return usageWindow{}, err
		}
	}
	if pause(ctx, m.last.at+usageWindowMin-m.clock()); ctx.Err() != nil {
		return usageWindow{}, ctx.Err()
	}
	before := m.last
	if err := m.sample(ctx); err != nil {
		return usageWindow{}, err
	}
	m.answer = &usageWindow{usageBetween(before, m.last), errors.Join(before.err, m.last.err)}
	m.answer.Node = m.node
	return *m.answer, nil
}

func (m *meter) sample(ctx context.Context) error {
	host, err := m.host()
	if err != nil {
		return err
	}
	pods, err := m.pods(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.last, m.answer = &usageSample{at: m.clock(), wall: time.Now(), host: host, pods: pods, err: err}, nil
	return nil
}

// usageBetween is the usage in the window between two samples. An attempt that is not
// in the first one has begun in the window.
func usageBetween(a, b *usageSample) api.NodeUsage {
	type attempt struct {
		run    runtime.RunID
		name   string
		number int
	}
	before := map[attempt]int64{}
	for _, p := range a.pods {
		for _, c := range p.Containers {
			before[attempt{p.ID, c.Name, c.Attempt}] = c.CPU
		}
	}
	took := b.at - a.at
	u := api.NodeUsage{End: b.wall, Took: took, Usage: api.Usage{CPU: rate(b.host.CPU-a.host.CPU, took), Memory: b.host.Memory}}
	for _, p := range b.pods {
		run := api.RunUsage{Run: string(p.ID)}
		for _, c := range p.Containers {
			cpu := rate(time.Duration(c.CPU-before[attempt{p.ID, c.Name, c.Attempt}]), took)
			run.Containers = append(run.Containers, api.ContainerUsage{Name: c.Name, Usage: api.Usage{CPU: cpu, Memory: c.Memory}})
		}
		u.Runs = append(u.Runs, run)
	}
	return u
}

// rate gives billionths of a core. Time is read process by process while they run, so
// it may seem to go back a little.
func rate(computed, took time.Duration) int64 {
	return int64(max(computed.Seconds()/took.Seconds(), 0) * 1e9)
}
