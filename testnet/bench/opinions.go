package main

import (
	"fmt"
	"sync"
	"time"
)

// opinions is what the members of a cluster say of each other, and since when.
type opinions struct {
	mu       sync.Mutex
	held     [][]opinion // by who holds it and of whom
	verdicts int         // how often somebody was declared dead by somebody
}

type opinion struct {
	state opinionState
	since time.Time
}

type opinionState int

const (
	unheard opinionState = iota
	alive
	dead
)

func newOpinions(members int) *opinions {
	o := &opinions{}
	for range members {
		o.held = append(o.held, make([]opinion, members))
	}
	return o
}

// say is called when a member has an opinion of another, new or not.
func (o *opinions) say(by, of int, state opinionState) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[by][of].state == state {
		return
	}
	o.held[by][of] = opinion{state, now}
	if state == dead {
		o.verdicts++
	}
}

// forget is called when a member begins anew.
func (o *opinions) forget(by int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.held[by])
}

// allAlive is nil once everybody holds everybody else alive.
func (o *opinions) allAlive() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for by, row := range o.held {
		for of, op := range row {
			if by != of && op.state != alive {
				return fmt.Errorf("member %d does not hold member %d alive", by, of)
			}
		}
	}
	return nil
}

// declared says when the last of the others has declared a member dead.
func (o *opinions) declared(of int) (last time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for by, row := range o.held {
		switch op := row[of]; {
		case by == of:
		case op.state != dead:
			return last, fmt.Errorf("member %d has not declared member %d dead", by, of)
		case op.since.After(last):
			last = op.since
		}
	}
	return last, nil
}

func (o *opinions) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.verdicts
}
