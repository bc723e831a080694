package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// chooseRuntime settles what runs the containers of all nodes, and says so when
// it was not the user who chose.
func (t *testnet) chooseRuntime(ctx context.Context, o upOptions, progress *progress) error {
	t.state.Runtime = "process"
	if o.runtime == "process" {
		return nil
	}
	progress.say("trying whether podman runs containers here")
	words, err := t.choosePodman(ctx, o.podman)
	switch {
	case err == nil:
		t.state.Runtime = "podman"
		say(t.err, "runtime: %s\n", words)
	case o.runtime == "podman" || o.podman != "" || ctx.Err() != nil:
		return fmt.Errorf("podman cannot be used: %w", err)
	default:
		say(t.err, "runtime: plain host processes, because podman cannot be used: %s\n", sentence(err))
	}
	return nil
}

// powerCut ends the daemon of a node and everything it runs, at once.
func (t *testnet) powerCut(ctx context.Context, n *testnetNode) error {
	var containers []procID
	if t.state.Runtime == "podman" {
		if err := t.ensureService(ctx); err != nil {
			return err
		}
		if t.state.Private { // else the containers may be on another machine
			var err error
			if containers, err = t.containerProcesses(ctx, n); err != nil {
				return err
			}
		}
	}
	// The daemon goes first, or it would start them again.
	if err := n.Process.kill(ctx); err != nil {
		return err
	}
	n.Process = procID{}
	for _, p := range containers {
		if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, errProcGone) {
			return err
		}
	}
	if t.state.Runtime == "podman" {
		// A frozen container does not see a signal; others were started meanwhile.
		if err := t.eachContainer(ctx, n, []string{"paused"}, "unpause"); err != nil {
			return err
		}
		return t.killRunning(ctx, n)
	}
	return t.killProcesses(n)
}

// killTries bounds how often a node's running containers are listed and killed.
const killTries = 5

// killRunning kills a node's containers. Podman lists one as running for a moment
// after its end, and then refuses to kill it: the next list lacks it.
func (t *testnet) killRunning(ctx context.Context, n *testnetNode) (err error) {
	for range killTries {
		if err = t.eachContainer(ctx, n, []string{"running"}, "kill", "--signal", "KILL"); err == nil {
			return nil
		}
	}
	return err
}

// forget ends whatever a node runs and what it left behind outside its directory.
func (t *testnet) forget(ctx context.Context, n *testnetNode) error {
	switch {
	case t.state.Private:
		return nil // goes with the service
	case t.state.Runtime == "podman":
		return t.eachPod(ctx, n, "rm", "--force", "--time", "0")
	}
	return t.cleanProcesses(n)
}

// freezePods stops the containers or processes of a node, or lets them go on.
func (t *testnet) freezePods(ctx context.Context, n *testnetNode, freeze bool) error {
	if t.state.Runtime == "podman" {
		if freeze {
			return t.eachContainer(ctx, n, []string{"running"}, "pause")
		}
		return t.eachContainer(ctx, n, []string{"paused"}, "unpause")
	}
	return t.freezeProcesses(ctx, n, freeze)
}
