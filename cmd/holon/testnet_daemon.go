package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// daemonArgs is the command line of a node.
func (t *testnet) daemonArgs(n *testnetNode, token string) []string {
	ip := t.ip(n)
	args := []string{
		"up",
		"--data-dir", t.nodeDir(n),
		"--name", n.Name,
		"--listen", fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", ip, testnetMeshPort),
		"--listen", fmt.Sprintf("/ip4/%s/tcp/%d", ip, testnetMeshPort),
		"--api-listen", ip + ":" + strconv.Itoa(testnetAPIPort),
		"--runtime", t.state.Runtime,
		"--host-ip", ip,
		"--pod-subnet", strings.TrimSuffix(ip, "1") + "0/24",
		"--testnet-control",
	}
	if t.state.Podman != "" {
		args = append(args, "--podman-url", t.state.Podman)
	}
	if blocked := t.state.blockedFor(n.Name); len(blocked) > 0 {
		args = append(args, "--testnet-block", strings.Join(blocked, ","))
	}
	if token != "" {
		args = append(args, "--join", token)
	}
	return args
}

// launch starts a node as a process of its own session that outlives this
// command. The context it returns ends when the daemon exits.
func (t *testnet) launch(ctx context.Context, n *testnetNode, token string) (context.Context, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.nodeDir(n), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(t.logFile(n), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, t.daemonArgs(n, token)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = t.nodeDir(n)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nodeError{n, err}
	}
	n.Process, err = identify(cmd.Process.Pid)
	if err == nil {
		err = t.save()
	}
	running, exited := context.WithCancelCause(ctx)
	go func() { // ends with the daemon, or with this process
		wait := cmd.Wait()
		exited(nodeError{n, fmt.Errorf("the daemon ended: %w", exitReason(wait))})
	}()
	return running, err
}

func exitReason(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// connectPause is how long to wait for a daemon to open its socket before
// asking again: nothing announces it.
const connectPause = 20 * time.Millisecond

// waitReady returns when node n sees want nodes Ready.
func (t *testnet) waitReady(ctx context.Context, n *testnetNode, want int) error {
	c := t.client(n)
	c.timeout = 0
	nodes := mustBuiltin("nodes")
	for {
		ready, err := t.watchReady(ctx, c, nodes, n, want)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return t.notReady(ctx, n, ready, err)
		case <-time.After(connectPause):
		}
	}
}

var errWatchClosed = errors.New("the node closed the watch")

// watchReady also returns which nodes are Ready as n sees it; nil if n did not say.
func (t *testnet) watchReady(ctx context.Context, c *client, nodes resource, n *testnetNode, want int) (ready map[string]bool, err error) {
	var list corev1.NodeList
	if err := c.get(ctx, nodes.path("", ""), nil, &list); err != nil {
		return nil, err
	}
	ready = map[string]bool{}
	for i := range list.Items {
		ready[list.Items[i].Name] = nodeReady(&list.Items[i])
	}
	if enough(ready, n.Name, want) {
		return ready, nil
	}
	done := errWatchClosed
	err = c.watch(ctx, nodes.path("", ""), acceptJSON, list.ResourceVersion, url.Values{}, func(ev watchEvent) error {
		var node corev1.Node
		if ev.Type == "BOOKMARK" {
			return nil
		}
		if err := c.decode(ev.Object, &node); err != nil {
			return err
		}
		ready[node.Name] = ev.Type != "DELETED" && nodeReady(&node)
		if enough(ready, n.Name, want) {
			done = nil
			return errEndWatch
		}
		return nil
	})
	if err != nil {
		return ready, err
	}
	return ready, done
}

// enough says whether want nodes are Ready, the asked one among them.
func enough(ready map[string]bool, self string, want int) bool {
	count := 0
	for _, r := range ready {
		if r {
			count++
		}
	}
	return ready[self] && count >= want
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// notReady says why a wait of node n ended: a daemon exited, the time is over,
// or what the node last answered. The node to blame is the one that n does not
// see Ready, rather than n.
func (t *testnet) notReady(ctx context.Context, n *testnetNode, ready map[string]bool, last error) error {
	cause := context.Cause(ctx)
	var failed nodeError
	if errors.As(cause, &failed) {
		return failed
	}
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	late := n
	if ready[n.Name] {
		for _, other := range t.state.Nodes {
			if !ready[other.Name] {
				late = other
				cause = fmt.Errorf("%w: %s does not see it Ready", cause, n.Name)
				break
			}
		}
	}
	if state, err := late.Process.state(); err == nil && state == 'T' {
		return nodeError{late, fmt.Errorf("%w: its daemon (pid %d) is stopped", cause, late.Process.PID)}
	}
	if late != n || errors.Is(last, context.Canceled) || errors.Is(last, context.DeadlineExceeded) {
		return nodeError{late, cause}
	}
	return nodeError{n, fmt.Errorf("%w: %s", cause, sentence(last))}
}
