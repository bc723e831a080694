package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// startTime bounds how long `testnet start` waits for a node to be Ready.
const startTime = 60 * time.Second

func (t *testnetCommands) killCommand() *cobra.Command {
	var daemonOnly bool
	c := &cobra.Command{
		Use:   "kill NODE...",
		Short: "Cut the power of nodes",
		Long: `Cut the power of nodes: the daemon and every container or process of the node
die at once, without a chance to say goodbye. Disks survive; 'start' boots again.`,
		Example:           "  holon testnet kill n2 n3\n  holon testnet kill n2 --daemon-only   # a crash of the daemon: pods go on",
		Args:              wantArgs(1, -1, "the names of nodes, such as n2"),
		ValidArgsFunction: t.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.each(cmd.Context(), args, func(n *testnet, node *testnetNode) error {
				if daemonOnly {
					if err := node.Process.kill(cmd.Context()); err != nil {
						return err
					}
					node.Process = procID{}
					return n.say(node, "daemon killed")
				}
				if err := n.powerCut(cmd.Context(), node); err != nil {
					return err
				}
				node.PausedPods = false
				return n.say(node, "killed")
			})
		},
	}
	c.Flags().BoolVar(&daemonOnly, "daemon-only", false, "kill the daemon and leave its pods running")
	return c
}

func (t *testnetCommands) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "start NODE...",
		Example:           `  holon testnet start n2 n3`,
		Short:             "Start killed nodes again, from their own disk",
		Args:              wantArgs(1, -1, "the names of nodes, such as n2"),
		ValidArgsFunction: t.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.change(cmd.Context(), func(n *testnet) error {
				ctx, cancel := context.WithTimeoutCause(cmd.Context(), startTime, fmt.Errorf("not Ready within %v", startTime))
				defer cancel()
				return n.start(ctx, args)
			})
		},
	}
}

func (t *testnet) start(ctx context.Context, args []string) error {
	nodes, err := t.pick(args)
	if err != nil {
		return err
	}
	if err := t.ensureService(ctx); err != nil {
		return err
	}
	progress := t.startProgress("waiting for %s to be Ready", strings.Join(args, ", "))
	defer progress.stop()
	all, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		if node.Process.alive() {
			if err := t.say(node, "is running already"); err != nil {
				return err
			}
			continue
		}
		running, err := t.launch(ctx, node, "")
		if err != nil {
			return err
		}
		all.Go(func() error { return t.waitReady(running, node, 1) })
	}
	if err := all.Wait(); err != nil {
		t.showFailure(err)
		return err
	}
	for _, node := range nodes {
		if err := t.say(node, "started"); err != nil {
			return err
		}
	}
	return nil
}

func (t *testnetCommands) pauseCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "pause NODE...",
		Example: `  holon testnet pause n2
  holon testnet pause n2 --all   # its pods, too`,
		Short:             "Freeze the daemon of nodes (SIGSTOP)",
		Args:              wantArgs(1, -1, "the names of nodes, such as n2"),
		ValidArgsFunction: t.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.each(cmd.Context(), args, func(n *testnet, node *testnetNode) error {
				if err := node.signalDaemon(syscall.SIGSTOP); err != nil {
					return err
				}
				if all {
					node.PausedPods = true
					if err := n.freezePods(cmd.Context(), node, true); err != nil {
						return err
					}
				}
				return n.say(node, "paused")
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "freeze its pods, too")
	return c
}

func (t *testnetCommands) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "resume NODE...",
		Example:           `  holon testnet resume n2`,
		Short:             "Let paused nodes go on",
		Args:              wantArgs(1, -1, "the names of nodes, such as n2"),
		ValidArgsFunction: t.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.each(cmd.Context(), args, func(n *testnet, node *testnetNode) error {
				if node.PausedPods {
					if err := n.freezePods(cmd.Context(), node, false); err != nil {
						return err
					}
					node.PausedPods = false
				}
				if err := node.signalDaemon(syscall.SIGCONT); err != nil {
					return err
				}
				// What happened to the partition meanwhile holds for it, too.
				if err := n.block(cmd.Context(), node); err != nil {
					return err
				}
				return n.say(node, "resumed")
			})
		},
	}
}

// signalDaemon signals a daemon that must be there.
func (n *testnetNode) signalDaemon(sig syscall.Signal) error {
	if err := n.Process.signal(sig); errors.Is(err, errProcGone) {
		return fmt.Errorf("node %s is down; start it with 'holon testnet start %s'", n.Name, n.Name)
	} else if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

func (t *testnetCommands) partitionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "partition 'GROUP|GROUP...'",
		Short: "Cut the links between groups of nodes",
		Long: `Cut the links between groups of nodes. The cut is made in each daemon's mesh; it
holds until 'heal', also for nodes that are started later. Nodes that are not
named form one more group.`,
		Example:           "  holon testnet partition 'n1,n2|n3,n4,n5'\n  holon testnet partition n1                  # n1 against the rest",
		ValidArgsFunction: t.completeNodes,
		Args:              wantArgs(1, 1, "one argument in quotes, such as 'n1,n2|n3'"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.change(cmd.Context(), func(n *testnet) error {
				groups, err := parsePartition(args[0], n.names())
				if err != nil {
					return err
				}
				n.state.Partition = groups
				if err := n.applyPartition(cmd.Context()); err != nil {
					return err
				}
				var sides []string
				for _, g := range groups {
					sides = append(sides, strings.Join(g, ","))
				}
				_, err = fmt.Fprintf(n.out, "partitioned: %s\n", strings.Join(sides, " | "))
				return err
			})
		},
	}
}

func (t *testnetCommands) healCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "heal",
		Example: `  holon testnet heal`,
		Short:   "Mend all cut links",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.change(cmd.Context(), func(n *testnet) error {
				n.state.Partition = nil
				if err := n.applyPartition(cmd.Context()); err != nil {
					return err
				}
				_, err := fmt.Fprintln(n.out, "healed")
				return err
			})
		},
	}
}

// applyPartition tells every node that runs what it must not see. Nodes that
// are paused are told when they go on, and those that are down when they start.
func (t *testnet) applyPartition(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range t.state.Nodes {
		if state, err := n.Process.state(); err != nil || state == 'T' {
			continue
		}
		all.Go(func() error { return t.block(ctx, n) })
	}
	return all.Wait()
}

// block tells one node what the partition hides from it.
func (t *testnet) block(ctx context.Context, n *testnetNode) error {
	body, err := marshalIndent(map[string]any{"peers": t.state.blockedFor(n.Name)})
	if err != nil {
		return err
	}
	_, err = t.client(n).do(ctx, request{method: http.MethodPost, path: "/testnet/block", body: body})
	if err != nil {
		return nodeError{n, err}
	}
	return nil
}

func (t *testnetCommands) downCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "down",
		Example: `  holon testnet down
  holon testnet down --keep --dir /tmp/net   # keep the logs`,
		Short: "End the testnet and leave nothing behind",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.change(cmd.Context(), func(n *testnet) error {
				progress := n.startProgress("ending %s", plural(len(n.state.Nodes), "node"))
				defer progress.stop()
				if err := n.tearDown(cmd.Context(), keep); err != nil {
					return err
				}
				_, err := fmt.Fprintf(n.out, "testnet in %s is down\n", n.dir)
				return err
			})
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the files (logs, databases) for a look")
	return c
}

// tearDown ends every process and container, then removes the files. It goes on
// after a failure, and keeps the state file then, so that it can be repeated.
func (t *testnet) tearDown(ctx context.Context, keep bool) error {
	var failed []error
	for _, n := range t.state.Nodes {
		if err := n.Process.kill(ctx); err != nil {
			failed = append(failed, nodeError{n, err})
		}
	}
	for _, n := range t.state.Nodes {
		if err := t.forget(ctx, n); err != nil {
			failed = append(failed, nodeError{n, err})
		}
		n.Process = procID{}
	}
	if err := errors.Join(append(failed, t.endService(ctx))...); err != nil {
		return err
	}
	if keep {
		return nil
	}
	return t.removeFiles()
}

func (t *testnet) removeFiles() error {
	var failed []error
	for _, n := range t.state.Nodes {
		failed = append(failed, os.RemoveAll(t.nodeDir(n)))
	}
	for _, name := range []string{podmanDirName, kubeconfigName} {
		failed = append(failed, os.RemoveAll(filepath.Join(t.dir, name)))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	err := errors.Join(os.Remove(t.stateFile()), os.Remove(filepath.Join(t.dir, lockFileName)))
	if t.state.MadeDir {
		err = errors.Join(err, os.Remove(t.dir))
	}
	return err
}

// each runs fn for every named node in turn.
func (t *testnetCommands) each(ctx context.Context, args []string, fn func(*testnet, *testnetNode) error) error {
	return t.change(ctx, func(n *testnet) error {
		nodes, err := n.pick(args)
		if err != nil {
			return err
		}
		for _, node := range nodes {
			if err := fn(n, node); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *testnet) say(n *testnetNode, what string) error {
	_, err := fmt.Fprintf(t.out, "%s %s\n", n.Name, what)
	return err
}
