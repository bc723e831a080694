package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	goruntime "runtime"
	"time"
)

// detection is P8: how long after the death of a member all others have declared
// it, as each of them shows it. Ten members are processes: whole holon daemons,
// whose API shows the node as out of reach, and programs that hold a memberlist with
// its LAN defaults and nothing else. A silent death is SIGSTOP: sockets stay
// open and nothing is answered. A closed socket is SIGKILL.
//
// A hundred are the detectors alone, all in one process: holon's machine and
// memberlist, each over UDP sockets of its own. There a member dies by closing its
// socket without a word, which over UDP nobody hears, either.
func detection(ctx context.Context, b *bench) error {
	deaths := b.scaled(b.cuts, min(b.cuts, 2))
	for round := range b.rounds {
		job := deathsSpec{members: 10, silent: deaths, closed: deaths, idle: b.scaled(60, 5)}
		if round == 0 {
			job.busy = b.busySeconds()
		}
		if err := b.compareDeaths(ctx, "N=10", "holon", "memberlist", job); err != nil {
			return err
		}
		job = deathsSpec{members: 100, silent: deaths, idle: b.scaled(60, 5)}
		if err := b.compareDeaths(ctx, "N=100, detectors alone", "swim", "memberlist-inproc", job); err != nil {
			return err
		}
	}
	return nil
}

// busySeconds is how long false verdicts are counted: half an hour is the goal's.
func (b *bench) busySeconds() int {
	if os.Getenv("HOLON_TEST_LONG") != "" {
		return 30 * 60
	}
	return b.scaled(60, 8)
}

// deathsSpec is one job: how many deaths of each kind, and how many seconds nothing
// happens, and other programs use all cores.
type deathsSpec struct{ members, silent, closed, idle, busy int }

// deaths is what was measured: milliseconds, bytes per second and member, verdicts.
type deaths struct {
	Silent, Closed series
	Idle           float64
	False          int
}

func (b *bench) compareDeaths(ctx context.Context, size, holon, peer string, job deathsSpec) error {
	var ours, theirs deaths
	for _, side := range []struct {
		kind   string
		result *deaths
	}{{holon, &ours}, {peer, &theirs}} {
		text := fmt.Sprintf("deaths %s %d %d %d %d %d", side.kind, job.members, job.silent, job.closed, job.idle, job.busy)
		if err := b.inNamespace(ctx, text, bytes.NewReader(nil), side.result); err != nil {
			return fmt.Errorf("%s: %w", side.kind, err)
		}
	}
	const name = "memberlist"
	b.addQuantiles("P8", fmt.Sprintf("silent death, %s, of %d", size, job.silent), name, ours.Silent, theirs.Silent, goal{}, atMost("<= 0.5x", 0.5))
	if job.closed > 0 {
		b.addQuantiles("P8", fmt.Sprintf("closed socket, %s, of %d", size, job.closed), name, ours.Closed, theirs.Closed, goal{}, atMost("<= 0.1x", 0.1))
	}
	b.figure("P8", "idle, per node, "+size, "B/s", name, goal{}).add(ours.Idle, theirs.Idle)
	if job.busy > 0 {
		what := fmt.Sprintf("false verdicts in %d s of busy cores, %s", job.busy, size)
		b.figure("P8", what, "", "", atMost("0", 0)).add(float64(ours.False), 0)
		b.figure("P8", "- beside memberlist's", "", name, goal{}).add(float64(ours.False), float64(theirs.False))
	}
	return nil
}

// mortals is a cluster whose members die and come back. Those who live say to an
// opinions what they hold of each other.
type mortals interface {
	// die ends a member in the middle of what it does: silently, or so that the
	// kernel closes its sockets.
	die(member int, silent bool) error
	// revive brings a dead member back at its old place.
	revive(ctx context.Context, member int) error
}

func deathsJob(ctx context.Context, b *bench, text string) (any, error) {
	var kind string
	var job deathsSpec
	if _, err := fmt.Sscanf(text, "%s %d %d %d %d %d", &kind, &job.members, &job.silent, &job.closed, &job.idle, &job.busy); err != nil {
		return nil, err
	}
	with, ok := map[string]func(context.Context, *bench, *opinions, func(mortals) error) error{
		"holon": withDaemons, "memberlist": withMemberProcesses, "swim": withDetectors, "memberlist-inproc": withMembers,
	}[kind]
	if !ok {
		return nil, fmt.Errorf("there is no cluster %q", kind)
	}
	var result deaths
	o := newOpinions(job.members)
	return &result, with(ctx, b, o, func(m mortals) error { return measureDeaths(ctx, m, o, job, &result) })
}

// Times of P8.
const (
	// deathCalm is how long a cluster is left alone once everybody is alive, so that
	// what is gossiped of a return is not gossiped into the next death.
	deathCalm = 3 * time.Second
	// busyPerCore is how many programs want each core.
	busyPerCore = 2
)

func measureDeaths(ctx context.Context, m mortals, o *opinions, job deathsSpec, result *deaths) (err error) {
	if err := calm(ctx, o); err != nil {
		return err
	}
	before, err := loopbackBytes()
	if err != nil {
		return err
	}
	if err := sleep(ctx, time.Duration(job.idle)*time.Second); err != nil {
		return err
	}
	after, err := loopbackBytes()
	if err != nil {
		return err
	}
	result.Idle = (after - before) / float64(job.idle) / float64(job.members)
	if result.Silent, err = dieInTurn(ctx, m, o, job.silent, true); err != nil {
		return err
	}
	if result.Closed, err = dieInTurn(ctx, m, o, job.closed, false); err != nil {
		return err
	}
	if job.busy == 0 {
		return nil
	}
	verdicts := o.count()
	err = withBusyCores(func() error { return sleep(ctx, time.Duration(job.busy)*time.Second) })
	result.False = o.count() - verdicts
	return err
}

func calm(ctx context.Context, o *opinions) error {
	if err := await(ctx, o.allAlive); err != nil {
		return err
	}
	return sleep(ctx, deathCalm)
}

// dieInTurn kills one member after the other, each after the one before is back.
func dieInTurn(ctx context.Context, m mortals, o *opinions, count int, silent bool) (took series, err error) {
	for i := range count {
		member := i % len(o.held)
		began := time.Now()
		if err := m.die(member, silent); err != nil {
			return nil, err
		}
		var last time.Time
		if err := await(ctx, func() (err error) { last, err = o.declared(member); return err }); err != nil {
			return nil, err
		}
		took = append(took, millis(last.Sub(began)))
		o.forget(member)
		if err := m.revive(ctx, member); err != nil {
			return nil, err
		}
		if err := calm(ctx, o); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// withBusyCores runs body while other programs want all cores all the time.
func withBusyCores(body func() error) error {
	for range busyPerCore * goruntime.NumCPU() {
		c, err := startChild("", "sh", []string{"-c", "while :; do :; done"})
		if err != nil {
			return err
		}
		defer c.kill()
	}
	return body()
}
