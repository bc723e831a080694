package hosts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Holon types a command of holon on the host.
func (h *Host) Holon(ctx context.Context, stdin string, args ...string) (string, error) {
	line, err := h.inside(false, append([]string{h.fabric.cfg.Holon, "--socket", h.at("data", "holon.sock")}, args...)...)
	if err != nil {
		return "", err
	}
	return output(ctx, stdin, line...)
}

// Start starts the daemon, on a host without power after a boot. The first time it
// makes a cluster, or with a token becomes a member of one.
func (h *Host) Start(ctx context.Context, token string) error {
	if !h.first.running() {
		if err := h.PowerOn(ctx); err != nil {
			return err
		}
	}
	if h.daemon.running() {
		return fmt.Errorf("the daemon of %s runs already", h.Name)
	}
	args := []string{h.fabric.cfg.Holon, "up", "--data-dir", h.at("data"), "--runtime", "podman", "--podman-url", podmanURL}
	if !h.joined && token != "" {
		args = append(args, "--join", token)
	}
	daemon, err := h.spawn(ctx, "daemon", nil, args...)
	if err != nil {
		return err
	}
	h.daemon = daemon
	if err := daemon.await(ctx, func() error { _, err := h.Holon(ctx, "", "get", "nodes"); return err }); err != nil {
		return err
	}
	h.joined = true
	return nil
}

// Token asks the daemon for a token with which others may join.
func (h *Host) Token(ctx context.Context, uses int) (string, error) {
	out, err := h.Holon(ctx, "", "token", "create", "--uses", fmt.Sprint(uses))
	return strings.TrimSpace(out), err
}

// Found makes a cluster of hosts whose daemons never ran.
func (f *Fabric) Found(ctx context.Context) error {
	token := ""
	for i, h := range f.Hosts {
		if err := h.Start(ctx, token); err != nil {
			return err
		}
		if i == 0 && len(f.Hosts) > 1 {
			var err error
			if token, err = h.Token(ctx, len(f.Hosts)-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stop ends the daemon as Ctrl-C does; containers go on.
func (h *Host) Stop(ctx context.Context) error { return h.daemon.end(ctx, syscall.SIGTERM) }

// Kill ends the daemon by SIGKILL; containers go on.
func (h *Host) Kill(ctx context.Context) error { return h.daemon.kill(ctx) }

// Up reports whether the daemon runs.
func (h *Host) Up() bool { return h.daemon.running() }

// Plugged reports whether the cable is in.
func (h *Host) Plugged() bool { return !h.cut }

// PodmanUp reports whether the Podman service runs.
func (h *Host) PodmanUp() bool { return h.podman.running() }

// Said counts the lines with a word that the daemons here wrote.
func (h *Host) Said(word string) (int, error) {
	log, err := os.ReadFile(h.at("daemon.log"))
	n := 0
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(word)) {
			n++
		}
	}
	return n, err
}

// Log is the end of what the daemons here wrote.
func (h *Host) Log() string { return lastOf(h.at("daemon.log")) }
