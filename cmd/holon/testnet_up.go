package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holon/node/api"
)

// upOptions are the flags of `testnet up`.
type upOptions struct {
	nodes   int
	runtime string
	podman  string
	timeout time.Duration
}

func (t *testnetCommands) upCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a test cluster and wait until every node is Ready",
		Example: `  holon testnet up --nodes 5
  holon testnet up --nodes 3 --runtime process --dir /tmp/net`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return t.up(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "how many nodes")
	f.StringVar(&o.runtime, "runtime", "auto", "what runs containers: podman, process (plain host processes), or auto: podman if it works here")
	f.StringVar(&o.podman, "podman", "", "URL of a Podman service to use, such as unix:///run/podman/podman.sock (default: a private one)")
	f.DurationVar(&o.timeout, "timeout", 90*time.Second, "give up when the nodes are not Ready by then")
	_ = c.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{"auto", "podman", "process"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (o upOptions) check() error {
	switch {
	case o.nodes < 1 || o.nodes > testnetNodesMax:
		return usagef("--nodes %d is not between 1 and %d", o.nodes, testnetNodesMax)
	case o.runtime != "auto" && o.runtime != "podman" && o.runtime != "process":
		return usagef("--runtime %q is not auto, podman or process", o.runtime)
	case o.runtime == "process" && o.podman != "":
		return usagef("--podman and --runtime process exclude each other")
	}
	return nil
}

// cleanupTime bounds how long a failed `up` takes to tidy up.
const cleanupTime = 30 * time.Second

func (t *testnetCommands) up(ctx context.Context, o upOptions) error {
	began := time.Now()
	n, unlock, err := t.create(ctx, o)
	if err != nil {
		return err
	}
	defer unlock()
	err = n.bringUp(ctx, o)
	if err != nil {
		n.showFailure(err)
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		progress := n.startProgress("removing what was started")
		defer progress.stop()
		return errors.Join(err, n.tearDown(tidy, false))
	}
	progress := n.startProgress("asking every node for its status")
	defer progress.stop()
	if err := n.printStatus(ctx); err != nil {
		return err
	}
	say(t.out, "\n%s Ready in %.1f s (runtime: %s), in %s\n\nexport KUBECONFIG=%s\n",
		plural(o.nodes, "node"), time.Since(began).Seconds(), n.state.Runtime, n.dir, filepath.Join(n.dir, kubeconfigName))
	return nil
}

// create makes the directory, takes addresses and writes the first state.
func (t *testnetCommands) create(ctx context.Context, o upOptions) (n *testnet, unlock func(), err error) {
	n = &testnet{app: t.app}
	for k := 1; k <= o.nodes; k++ {
		n.state.Nodes = append(n.state.Nodes, &testnetNode{Name: "n" + strconv.Itoa(k), Index: k})
	}
	err = t.changeRegistry(ctx, func(r *registry) error {
		octet, release, err := r.freeOctet(o.nodes)
		if err != nil {
			return err
		}
		n.state.Octet = octet
		unlock, err = t.settle(ctx, n)
		if err != nil {
			release()
			return err
		}
		end := unlock
		unlock = func() { release(); end() }
		r.Last = n.dir
		r.Testnets = append(r.Testnets, registryEntry{n.dir, n.state.Octet})
		return nil
	})
	return n, unlock, err
}

// settle makes the directory of a new testnet, locked and with its first state.
func (t *testnetCommands) settle(ctx context.Context, n *testnet) (unlock func(), err error) {
	if n.dir, n.state.MadeDir, err = t.makeDir(n.state.Octet); err != nil {
		return nil, err
	}
	if unlock, err = lockFile(ctx, filepath.Join(n.dir, lockFileName), 0); err != nil {
		return nil, fmt.Errorf("the directory %s is in use: %w", n.dir, err)
	}
	if err := n.save(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// unixPathMax is the longest path of a unix socket on Linux, unix(7).
const unixPathMax = 107

// makeDir returns the directory of a new testnet: the named one, which must be
// new or empty, or a new one among the user's state.
func (t *testnetCommands) makeDir(octet int) (dir string, made bool, err error) {
	dir = filepath.Join(stateDir(), fmt.Sprintf("testnet-%d", octet))
	if t.dir != "" {
		if dir, err = filepath.Abs(t.dir); err != nil {
			return "", false, err
		}
	}
	if n := len(filepath.Join(dir, "n"+strconv.Itoa(testnetNodesMax), socketName)); n > unixPathMax {
		return "", false, fmt.Errorf("the path %s is too long by %d characters for the nodes' sockets; use a shorter --dir", dir, n-unixPathMax)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return dir, true, os.MkdirAll(dir, 0o700)
	case err != nil:
		return "", false, err
	}
	if _, err := os.Stat(filepath.Join(dir, stateFileName)); err == nil {
		return "", false, fmt.Errorf("there is a testnet in %s already; take it down with 'holon testnet down --dir %s', or name another --dir", dir, dir)
	}
	for _, e := range entries {
		if e.Name() != lockFileName { // left by an `up` that did not get far
			return "", false, fmt.Errorf("the directory %s is not empty (%s); name a new or empty --dir", dir, e.Name())
		}
	}
	return dir, false, nil
}

// bringUp starts every node and returns when all are Ready in all views.
func (t *testnet) bringUp(ctx context.Context, o upOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the nodes were not Ready within %v", o.timeout))
	defer cancel()
	progress := t.startProgress("choosing a runtime")
	defer progress.stop()
	if err := t.chooseRuntime(ctx, o, progress); err != nil {
		return err
	}
	if err := t.save(); err != nil {
		return err
	}
	// The first failure ends all waiting.
	all, ctx := errgroup.WithContext(ctx)
	err := t.launchAll(ctx, all, progress)
	if err != nil {
		cancel()
	}
	if waitErr := all.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return err
	}
	return t.writeKubeconfig()
}

// launchAll starts the first node, which creates the cluster, then the others,
// and lets all wait until each node sees all of them Ready.
func (t *testnet) launchAll(ctx context.Context, all *errgroup.Group, progress *progress) error {
	first, rest := t.state.Nodes[0], t.state.Nodes[1:]
	progress.say("starting n1, which creates the cluster")
	running, err := t.launch(ctx, first, "")
	if err != nil {
		return err
	}
	if err := t.waitReady(running, first, 1); err != nil {
		return err
	}
	var view api.ClusterStatus
	if err := t.client(first).get(ctx, statusPath, nil, &view); err != nil {
		return nodeError{first, err}
	}
	t.state.Cluster = view.Cluster
	all.Go(func() error { return t.waitReady(running, first, len(t.state.Nodes)) })
	if len(rest) == 0 {
		return nil
	}
	answer, err := t.client(first).createToken(ctx, len(rest), time.Hour)
	if err != nil {
		return nodeError{first, err}
	}
	for _, n := range rest {
		running, err := t.launch(ctx, n, answer.Token)
		if err != nil {
			return err
		}
		all.Go(func() error { return t.waitReady(running, n, len(t.state.Nodes)) })
	}
	progress.say("waiting until %d nodes see each other Ready", len(t.state.Nodes))
	return nil
}

// nodeError is a failure of one node.
type nodeError struct {
	node *testnetNode
	err  error
}

func (e nodeError) Error() string { return e.node.Name + ": " + e.err.Error() }
func (e nodeError) Unwrap() error { return e.err }

// logLinesShown bounds what showFailure prints.
const logLinesShown = 15

// showFailure prints the end of the failing node's log before it is removed.
func (t *testnet) showFailure(err error) {
	var failed nodeError
	if !errors.As(err, &failed) {
		return
	}
	data, readErr := os.ReadFile(t.logFile(failed.node))
	if readErr != nil || len(data) == 0 {
		return
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	lines = lines[max(0, len(lines)-logLinesShown):]
	say(t.err, "The last lines of %s's log:\n  %s\n", failed.node.Name, strings.Join(lines, "\n  "))
}
