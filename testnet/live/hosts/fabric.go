// Package hosts makes hosts out of namespaces: each has a network, mounts and
// process numbers of its own, an address on a common wire, its own Podman, and a
// holon daemon. What breaks real hosts can be done to them: power, cables, Podman,
// the daemon, the wire in one direction or at random, all addresses.
//
// Nothing of it has a name outside: a host is its first process, and whatever it
// has ends with that, also when the test program is killed. Only cgroups and files
// stay behind then; Close removes those, too, and says what it could not remove.
//
// A Fabric is for one goroutine; Each works on several of its hosts at once.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says what the hosts are made of.
type Config struct {
	Dir   string // the fabric's own: Close removes it
	Holon string // the program
	Hosts int
	// Images are loaded into each host's Podman: name to the one program in it,
	// which is at /bin under its own name.
	Images map[string]string
}

const (
	hostsMax = 250
	movesMax = 250
	// stepLimit bounds one command of the making, breaking and mending.
	stepLimit = time.Minute
	wireNet   = 77 // 10.77.0.0/16
)

// Fabric is a wire and the hosts on it.
type Fabric struct {
	Hosts []*Host

	cfg    Config
	first  *process // whose network namespace has the bridge
	faults faults
}

// New makes the wire and boots the hosts, each with its Podman and without a
// daemon. What it could not finish it takes away again.
func New(ctx context.Context, cfg Config) (*Fabric, error) {
	if cfg.Hosts < 1 || cfg.Hosts > hostsMax {
		return nil, fmt.Errorf("%d hosts: a fabric has 1 to %d", cfg.Hosts, hostsMax)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	f := &Fabric{cfg: cfg}
	if err := f.make(ctx); err != nil {
		return nil, errors.Join(err, f.Close(context.WithoutCancel(ctx)))
	}
	return f, nil
}

func (f *Fabric) make(ctx context.Context) error {
	if err := os.MkdirAll(f.cfg.Dir, 0o700); err != nil {
		return err
	}
	first, err := bear(ctx, "the wire", f.cfg.Dir)
	if err != nil {
		return err
	}
	f.first = first
	// Without snooping it floods multicast, as the wire of a small LAN does.
	for _, args := range [][]string{
		{"ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"},
		{"ip", "link", "set", "br0", "up"},
	} {
		if _, err := f.enter(ctx, "", args...); err != nil {
			return err
		}
	}
	for i := range f.cfg.Hosts {
		f.Hosts = append(f.Hosts, &Host{Name: fmt.Sprintf("n%d", i+1), fabric: f, number: i + 1})
	}
	return Each(f.Hosts, func(h *Host) error {
		if err := h.PowerOn(ctx); err != nil {
			return err
		}
		for name, program := range f.cfg.Images {
			if err := h.loadImage(ctx, name, program); err != nil {
				return err
			}
		}
		return nil
	})
}

// Each does something to several hosts at once.
func Each(hosts []*Host, do func(h *Host) error) error {
	problems := make([]error, len(hosts))
	var under sync.WaitGroup
	for i, h := range hosts {
		under.Go(func() {
			if err := do(h); err != nil {
				problems[i] = fmt.Errorf("%s: %w", h.Name, err)
			}
		})
	}
	under.Wait()
	return errors.Join(problems...)
}

// Host finds a host by its name.
func (f *Fabric) Host(name string) (*Host, error) {
	for _, h := range f.Hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("there is no host %q: they are n1 to n%d", name, len(f.Hosts))
}

// enter runs a command where the bridge is.
func (f *Fabric) enter(ctx context.Context, stdin string, args ...string) (string, error) {
	if f.first == nil {
		return "", errors.New("the wire is not there: the fabric is closed")
	}
	return output(ctx, stdin, append([]string{"nsenter", "--target", f.first.id(), "--net", "--"}, args...)...)
}

// Close takes everything away. It works whatever state the hosts are in, and a
// second time.
func (f *Fabric) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	problems := []error{Each(f.Hosts, func(h *Host) error { return h.PowerCut(ctx) })}
	if f.first != nil {
		problems = append(problems, f.first.kill(ctx))
		f.first = nil
	}
	problems = append(problems, os.RemoveAll(f.cfg.Dir))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("close the fabric in %s: %w; remove what is named by hand", f.cfg.Dir, err)
	}
	return nil
}
