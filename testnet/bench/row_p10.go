package main

import (
	"context"
	"sync"
	"time"
)

// writeGap is P10: clients write one after the other, each through a member of
// its own, while a member is killed; the figure is the longest time from one
// acknowledgement to the next. Under etcd the leader is killed. The client of a
// killed holon node goes on with the next node that its kubeconfig knows.
func writeGap(ctx context.Context, b *bench) error {
	for round := range b.rounds {
		var gaps []time.Duration
		err := b.withHolon(ctx, 3, someKeys, smallValue, func(t *testnet, a *httpAPI) (err error) {
			victim := round % 3
			gaps, err = gapsOf(ctx, a, victim, true, func() error {
				_, err := t.run(ctx, "testnet", "kill", t.nodes[victim], "--dir", t.dir)
				return err
			})
			gaps = append([]time.Duration{gaps[victim]}, append(gaps[:victim:victim], gaps[victim+1:]...)...)
			return err
		})
		if err != nil {
			return err
		}
		var theirs time.Duration
		err = b.withEtcd(ctx, someKeys, smallValue, func(e *etcd) error {
			leader, err := e.leader(ctx)
			if err != nil {
				return err
			}
			gaps, err := gapsOf(ctx, e, leader, false, func() error { e.nodes[leader].kill(); return nil })
			for i, g := range gaps {
				if i != leader {
					theirs = max(theirs, g)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		b.figure("P10", "longest write gap, clients of survivors", "ms", "etcd, leader killed", atMost("<= 0.05x", 0.05)).
			add(millis(max(gaps[1], gaps[2])), millis(theirs))
		b.figure("P10", "longest write gap, client of the killed node", "ms", "", atMost("<= 1 s", 1000)).add(millis(gaps[0]), 0)
	}
	return nil
}

// Times around a kill.
const (
	gapBefore = 2 * time.Second
	gapAfter  = 6 * time.Second
	// gapTry is the patience with one write. etcd lets a write that was on its way
	// to a dead leader wait for 7 s; a client that asks again is served when there
	// is a new leader.
	gapTry = 300 * time.Millisecond
)

// gapsOf returns the longest gap that each member's client had from shortly
// before the kill on. With another, a client whose member is gone tries the next.
func gapsOf(ctx context.Context, c cluster, victim int, another bool, kill func() error) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ids := numbers{last: 10 * someKeys}
	gaps := make([]time.Duration, c.members())
	var mu sync.Mutex
	var all sync.WaitGroup
	killed := time.Now().Add(gapBefore)
	for m := range c.members() {
		if m == victim && !another {
			continue
		}
		all.Go(func() {
			at, last := m, time.Now()
			for ctx.Err() == nil {
				try, done := context.WithTimeout(ctx, gapTry)
				err := c.put(try, at, write{key: m, id: ids.next()})
				done()
				if err != nil {
					if another {
						at = (at + 1) % c.members()
					}
					continue
				}
				now := time.Now()
				if now.After(killed) {
					mu.Lock()
					gaps[m] = max(gaps[m], now.Sub(last))
					mu.Unlock()
				}
				last = now
			}
			mu.Lock() // a write that is still waiting has a gap, too
			gaps[m] = max(gaps[m], time.Since(last))
			mu.Unlock()
		})
	}
	err := sleep(ctx, gapBefore)
	if err == nil {
		if err = kill(); err == nil {
			err = sleep(ctx, gapAfter)
		}
	}
	cancel()
	all.Wait()
	return gaps, err
}
