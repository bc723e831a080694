package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Host is one of them. Its files outlive its power.
type Host struct {
	Name string

	fabric *Fabric
	number int
	first  *process // nil: no power
	podman *process
	daemon *process
	joined bool // its data directory belongs to a cluster
	cut    bool // its cable is out
	moves  int  // how often its address has changed
}

func (h *Host) at(path ...string) string {
	return filepath.Join(append([]string{h.fabric.cfg.Dir, h.Name}, path...)...)
}

// inside makes a command line of one that runs in the host. As one of the host's
// own processes it dies with the power; else it only sees what the host sees.
func (h *Host) inside(own bool, args ...string) ([]string, error) {
	if !h.first.running() {
		return nil, fmt.Errorf("%s has no power: PowerOn comes first", h.Name)
	}
	line := []string{"nsenter", "--target", h.first.id(), "--mount", "--net", "--uts"}
	if own {
		line = append(line, "--pid")
	}
	return append(append(line, "--"), args...), nil
}

// Enter runs a command in the host and returns what it printed.
func (h *Host) Enter(ctx context.Context, stdin string, args ...string) (string, error) {
	line, err := h.inside(true, args...)
	if err != nil {
		return "", err
	}
	return output(ctx, stdin, line...)
}

// spawn starts a program that stays.
func (h *Host) spawn(ctx context.Context, what string, env []string, args ...string) (*process, error) {
	line, err := h.inside(true, args...)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, err := begin(cmd, what+" of "+h.Name, h.at(what+".log"))
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, func() error { return p.behind(cmd.Process.Pid) })
}

// behind finds the program that nsenter has started and waits for.
func (p *process) behind(nsenter int) error {
	all, err := table()
	if err != nil {
		return err
	}
	for pid, e := range all {
		if e.parent == nsenter {
			p.pid = pid
			p.self, err = os.FindProcess(pid)
			return err
		}
	}
	return errors.New("nsenter has not started it yet")
}

// PowerOn boots a host that has no power: namespaces, cable, Podman.
func (h *Host) PowerOn(ctx context.Context) error {
	if h.first.running() {
		return fmt.Errorf("%s has power already", h.Name)
	}
	if err := os.MkdirAll(h.at("data"), 0o700); err != nil {
		return err
	}
	first, err := bear(ctx, "the first process of "+h.Name, h.at())
	if err != nil {
		return err
	}
	h.first = first
	if _, err := h.Enter(ctx, "", "hostname", h.Name); err != nil {
		return err
	}
	if err := h.plugIn(ctx); err != nil {
		return err
	}
	return h.StartPodman(ctx)
}

// PowerCut ends everything in the host at once. Only its files stay.
func (h *Host) PowerCut(ctx context.Context) error {
	if h.first == nil {
		return nil
	}
	if err := h.first.kill(ctx); err != nil { // returns when all have ended
		return err
	}
	for _, p := range []*process{h.podman, h.daemon} {
		if err := p.gone(ctx); err != nil { // nsenter has nobody to wait for any more
			return err
		}
	}
	h.first, h.podman, h.daemon = nil, nil, nil
	return h.removeCgroups(ctx)
}
