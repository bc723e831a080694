package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holon/testnet/live/hosts"
	"holon/testnet/story"
)

const (
	// spinnersPerHost programs want a core, on each host all the time.
	spinnersPerHost = 2
	// How long, without and with time (make test-long).
	busyBriefly, busyLong = 15 * time.Second, 30 * time.Minute
	busyLookEvery         = time.Second
	spinTurn              = 20 * time.Second // of one spinner; then the next takes its place
)

// busy has programs on all hosts that want far more cores than there are, and nobody
// may take a replica for lost that is not: none is started again, none gets a
// stand-in. How often a node was taken for dead is printed.
func (p *performer) busy() error {
	if err := p.playLines(sixReplicas...); err != nil {
		return err
	}
	standIns, verdicts, err := p.said("reason=StandIn"), p.said("reason=NodeUnreachable"), p.spin()
	if err != nil {
		return err
	}
	if n := p.said("reason=StandIn") - standIns; n > 0 {
		err = fmt.Errorf("%d stand-ins for replicas that run", n)
	}
	p.t.Logf("%d verdicts of one node on another", p.said("reason=NodeUnreachable")-verdicts)
	return errors.Join(err, p.playLines("expect kept web", "expect exact web within=5s"))
}

// spin keeps all hosts busy, and looks after the kept replicas meanwhile.
func (p *performer) spin() error {
	lasts := map[bool]time.Duration{false: busyBriefly, true: busyLong}[long()]
	ended, end := make(chan error, 1), time.Now().Add(lasts)
	go func() {
		ended <- hosts.Each(slices.Repeat(p.fabric.Hosts, spinnersPerHost), func(h *hosts.Host) error { return spinUntil(p.t.Context(), h, end) })
	}()
	var lost error
	look := time.NewTicker(busyLookEvery)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			p.t.Logf("%v with %d programs on %d hosts that want a core", lasts, spinnersPerHost*len(p.fabric.Hosts), len(p.fabric.Hosts))
			return errors.Join(err, lost)
		case <-look.C:
			if lost == nil {
				lost = p.Look(story.Command{Args: []string{"kept", "web"}})
			}
		}
	}
}

// spinUntil has a program on a host that wants a core, turn by turn, as the time of one
// command is bounded.
func spinUntil(ctx context.Context, h *hosts.Host, end time.Time) error {
	for left := time.Until(end); left > 0; left = time.Until(end) {
		script := fmt.Sprintf("timeout %.1f sh -c 'while :; do :; done' || [ $? = 124 ]", min(left, spinTurn).Seconds()+0.1) // 0 would be for ever
		if _, err := h.Enter(ctx, "", "sh", "-c", script); err != nil {
			return err
		}
	}
	return nil
}

// said counts the lines of all daemons that have a word.
func (p *performer) said(word string) (n int) {
	p.t.Helper()
	for _, h := range p.fabric.Hosts {
		count, err := h.Said(word)
		if err != nil {
			p.t.Error(err)
		}
		n += count
	}
	return n
}
