package live

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"holon/testnet/live/hosts"
	"holon/testnet/story"
)

// playLines plays lines of a story that has no names in it.
func (p *performer) playLines(lines ...string) error {
	for _, line := range lines {
		c, err := story.ParseLine(line)
		if err == nil {
			err = story.Perform(c, p)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

var sixReplicas = []string{"nodes 5", "apply web replicas=6", "expect exact web within=10s", "expect web ready=6 within=10s", "keep web"}

// replacement measures how long it takes from the death of a host to the moment at
// which the last container that was lost runs elsewhere, as the kernel has it.
// Figures are printed, never asserted.
func (p *performer) replacement() error {
	deaths := 2
	if long() {
		deaths = 30
	}
	if err := p.playLines(sixReplicas...); err != nil {
		return err
	}
	for _, kind := range []struct{ name, kill, mend string }{
		{"power cut", "power VICTIM", "start VICTIM"},
		{"silent death", "unplug VICTIM", "heal"},
	} {
		var took []time.Duration
		for i := range deaths {
			victim := p.kept[i%len(p.kept)].Host // something runs there
			d, err := p.death(victim, strings.ReplaceAll(kind.kill, "VICTIM", victim))
			if err == nil { // and back to where all was, or a stand-in would be there already at the next death:
				// whoever was cut off has stand-ins of its own under way, hence the second look
				err = p.playLines(strings.ReplaceAll(kind.mend, "VICTIM", victim),
					"expect again web within=20s", "expect web ready=6 within=10s", "run 1s", "expect exact web within=20s")
			}
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		slices.Sort(took)
		p.t.Logf("%s to all lost containers running elsewhere, n=%d: median %.2f s, maximum %.2f s",
			kind.name, deaths, (took[(deaths-1)/2]+took[deaths/2]).Seconds()/2, took[deaths-1].Seconds())
	}
	return nil
}

// death kills a host and returns how long it took until the others run all.
func (p *performer) death(victim, kill string) (time.Duration, error) {
	all := len(p.kept)
	began := time.Now()
	if err := p.playLines(kill); err != nil {
		return 0, err
	}
	err := p.Until(patience, "the others run all of it", func() error {
		now, err := p.fabric.Replicas("web")
		if err != nil {
			return err
		}
		there := slices.DeleteFunc(now, func(r hosts.Replica) bool { return r.Host == victim })
		if len(there) != all {
			return fmt.Errorf("%d of %d run without %s: %v", len(there), all, victim, there)
		}
		return nil
	})
	return time.Since(began), err
}

// lies shows that expectations can fail on real hosts: each is asked when it does
// not hold.
func (p *performer) lies() error {
	if err := p.playLines(sixReplicas...); err != nil {
		return err
	}
	victim := p.kept[0]
	host, err := p.fabric.Host(victim.Host)
	if err != nil {
		return err
	}
	err = p.refuted("expect web ready=5", "expect web replicas=5", "expect label web never=set", "expect web ready=6 off="+victim.Host)
	// One more replica than there should be.
	pid, err2 := host.Enter(p.t.Context(), "", "sh", "-c", "POD_NAME="+victim.Pod+" "+webProgram+" -listen 127.0.0.1:9999 >/dev/null 2>&1 & echo $!")
	if err := errors.Join(err, err2, p.refuted("expect exact web")); err != nil {
		return err
	}
	if _, err := host.Enter(p.t.Context(), "", "kill", "-KILL", strings.TrimSpace(pid)); err != nil {
		return err
	}
	// A container that was started again is not one that was kept.
	if err := errors.Join(p.playLines("expect exact web within=5s", "expect kept web"), syscall.Kill(victim.PID, syscall.SIGKILL)); err != nil {
		return err
	}
	if err := errors.Join(p.playLines("run 200ms"), p.refuted("expect kept web"), p.playLines("expect again web within=20s"), p.refuted("expect kept web")); err != nil {
		return err
	}
	return errors.Join(p.playLines("expect equal within=5s", "cut n1 | n2 n3 n4 n5", "label web side=n1 on=n1"), p.refuted("expect equal"))
}

// refuted wants expectations not to hold.
func (p *performer) refuted(lines ...string) error {
	for _, line := range lines {
		if p.playLines(line) == nil {
			return fmt.Errorf("%q is believed, and it is not so", line)
		}
	}
	return nil
}
