package live

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"holon/testnet/live/hosts"
	"holon/testnet/story"
)

// long is whether there is time (make test-long).
func long() bool { return os.Getenv("HOLON_TEST_LONG") != "" }

// TestHosts plays the stories of the seeded world (package story) on hosts with a
// network and a Podman of their own, and measures replacement there. Stories of as
// many nodes share their hosts.
func TestHosts(t *testing.T) {
	all, err := story.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []string{"5", "4"} {
		t.Run(size+" hosts", func(t *testing.T) {
			p := &performer{t: t}
			t.Cleanup(func() { p.close(t) })
			play := func(name string, do func() error) {
				if !t.Run(name, func(t *testing.T) { p.tell(t, do) }) {
					p.close(t) // the next story deserves hosts that are well
				}
			}
			for _, s := range all {
				if s.Commands[0].Args[0] == size && (long() || !s.Long) {
					play(s.Name, func() error { return story.Play(s, p) })
				}
			}
			if size != "5" {
				return
			}
			play("lies", p.lies)
			play("replacement", p.replacement)
			play("busy", p.busy)
			for seed := range uint64(randomStories) {
				if long() {
					play(fmt.Sprint("random ", seed), func() error { return p.random(seed) })
				}
			}
		})
	}
}

// randomStories is how many made-up stories are played when there is time.
const randomStories = 10

func (p *performer) random(seed uint64) error {
	s, err := story.Random(seed)
	if err != nil {
		return err
	}
	if err := story.Play(s, p); err != nil {
		return fmt.Errorf("%w\n%s", err, s)
	}
	return nil
}

// tell plays one story, then makes all well again.
func (p *performer) tell(t *testing.T, play func() error) {
	p.t = t
	began := time.Now()
	err := play()
	if err == nil {
		err = p.restore()
	}
	t.Logf("all of it took %.1f s", time.Since(began).Seconds())
	if err != nil {
		p.showLogs()
		t.Fatal(err)
	}
}

func (p *performer) showLogs() {
	if p.fabric == nil {
		return
	}
	for _, h := range p.fabric.Hosts {
		p.t.Logf("%s:\n%s", h.Name, h.Log())
	}
}

// close ends the hosts, if there are some; nothing may be left of them.
func (p *performer) close(t *testing.T) {
	if p.fabric == nil {
		return
	}
	before, err := p.fabric.Traces()
	if err != nil {
		t.Error(err)
	}
	if err := p.fabric.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for _, left := range before.Left() {
		t.Errorf("left behind: %s", left)
	}
	p.fabric = nil
}

// found makes hosts and a cluster of them.
func (p *performer) found(count int) error {
	ctx := p.t.Context()
	dir, err := os.MkdirTemp("", "hosts")
	if err != nil {
		return err
	}
	began := time.Now()
	p.fabric, err = hosts.New(ctx, hosts.Config{Dir: dir, Holon: holonProgram, Hosts: count, Images: map[string]string{webImage: webProgram}})
	if err != nil {
		return err
	}
	p.t.Logf("%d hosts after %.1f s", count, time.Since(began).Seconds())
	if err := p.fabric.Found(ctx); err != nil {
		return err
	}
	if err := p.Until(patience, "all nodes are Ready", func() error { return p.allReady(count) }); err != nil {
		return fmt.Errorf("%d nodes Ready: %w", count, err)
	}
	p.t.Logf("%d nodes Ready after %.1f s", count, time.Since(began).Seconds())
	return nil
}
