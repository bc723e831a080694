package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holon/node/api"
)

const pidFileName = "holon.pid"

func newNodeCommand(a *app) *cobra.Command {
	leave := &cobra.Command{
		Use:     "leave",
		Example: `  holon node leave`,
		Short:   "Take the local node out of the cluster for good",
		Long: `Take a node out of the cluster for good: its pods move away, the others stop
counting it, and its identity is of no use any more. To pause a node use 'holon
down' or just switch it off.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if err := a.followProgress(cmd.Context(), c, leavePath); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, "left the cluster")
			return err
		},
	}
	return groupCommand("node", "Take a node out of the cluster", "", "  holon node leave\n  holon node evict n3\n  holon node forget n3 --force",
		leave, newEvictCommand(a), newForgetCommand(a))
}

// exitTime bounds how long a daemon may take to end after SIGTERM.
const exitTime = 30 * time.Second

func newDownCommand(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "down",
		Example: `  holon down`,
		Short:   "Drain the local node, stop its pods and end it",
		Long: `Move the pods of the local node away, stop them here and end the daemon. The node
stays a member and comes back with 'holon up'. (Ctrl-C on 'holon up' ends only
the daemon: its pods go on.)`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				dir = dataDir()
			}
			return a.down(cmd.Context(), dir)
		},
	}
	c.Flags().StringVar(&dir, "data-dir", "", "data directory of the node (default: as for 'holon up')")
	_ = c.MarkFlagDirname("data-dir")
	return c
}

func (a *app) down(ctx context.Context, dir string) error {
	var daemon procID
	err := readJSON(filepath.Join(dir, pidFileName), &daemon)
	if errors.Is(err, os.ErrNotExist) || err == nil && !daemon.alive() {
		return fmt.Errorf("no node runs from %s; name another one with --data-dir", dir)
	}
	if err != nil {
		return err
	}
	if err := a.followProgress(ctx, socketClient(filepath.Join(dir, socketName)).warnBy(a), drainPath); err != nil {
		return fmt.Errorf("the node could not be drained, so it goes on: %w", err)
	}
	if err := daemon.signal(syscall.SIGTERM); err != nil && !errors.Is(err, errProcGone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, exitTime)
	defer cancel()
	if err := daemon.waitGone(ctx); err != nil {
		return fmt.Errorf("the daemon (pid %d) did not end within %v of SIGTERM; see its log", daemon.PID, exitTime)
	}
	_, err = fmt.Fprintln(a.out, "the node is down")
	return err
}

func (c *client) warnBy(a *app) *client {
	c.warn = a.warn
	return c
}

func newKubeconfigCommand(a *app) *cobra.Command {
	var dir string
	var ask api.CredentialRequest
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig of the local node, or one for another user",
		Long: `Print the kubeconfig of the local node's owner, who may do everything.

With --user it makes a credential for somebody else and prints a kubeconfig with it
and every node's API. It may do what Roles and RoleBindings say of the user and the
groups; 'kubectl create rolebinding' makes them. The serial, with which it can be
revoked, is printed on standard error. With --ttl it expires, by the time of day that
most nodes in reach agree on.`,
		Example: "  holon kubeconfig > ~/.kube/config\n  KUBECONFIG=<(holon kubeconfig) kubectl get nodes\n  holon kubeconfig --user eve --group devs --ttl 720h > eve.kubeconfig\n  holon kubeconfig --user ci --token --ttl 1h > ci.kubeconfig",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Flags().Changed("ttl") && ttl < time.Second:
				return usagef("--ttl is a duration of a second or more, as 24h; leave it out for a credential without an end")
			case ask.User != "" && dir != "":
				return usagef("--data-dir reads the file of a node; a credential for a user is made by a node that runs: leave one of the two out")
			case ask.User != "":
				ask.TTLSeconds = int64(ttl / time.Second)
				return a.printKubeconfigFor(cmd.Context(), ask)
			case len(ask.Groups) > 0 || ttl > 0 || ask.Token:
				return usagef("--group, --ttl and --token go with --user")
			}
			if dir == "" {
				dir = dataDir()
				if a.socket != "" {
					dir = filepath.Dir(a.socket)
				}
			}
			data, err := os.ReadFile(filepath.Join(dir, kubeconfigName))
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("no node has run from %s; start one with 'holon up', or name another --data-dir", dir)
			}
			if err != nil {
				return fmt.Errorf("cannot read the node's kubeconfig: %w", err)
			}
			_, err = a.out.Write(data)
			return err
		},
	}
	c.Flags().StringVar(&dir, "data-dir", "", "data directory of the node (default: as for 'holon up')")
	_ = c.MarkFlagDirname("data-dir")
	c.Flags().StringVar(&ask.User, "user", "", "make a credential for this user")
	c.Flags().StringSliceVar(&ask.Groups, "group", nil, "and for these groups; system:masters may do everything")
	c.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good (default: for ever)")
	c.Flags().BoolVar(&ask.Token, "token", false, "make a bearer token, not a certificate")
	return c
}

func newTokenCommand(a *app) *cobra.Command {
	return groupCommand("token", "Let other machines join the cluster",
		`A token lets a machine join: it names the cluster, proves it to the joiner, and
carries a secret and addresses. It is good for one join and 24 hours unless you
say otherwise.`,
		"  holon token create\n  holon token create --uses 5 --ttl 1h\n  holon token ls\n  holon token revoke 3f9c2a",
		tokenCreateCommand(a), tokenListCommand(a), tokenRevokeCommand(a))
}

func tokenCreateCommand(a *app) *cobra.Command {
	var (
		uses   int
		ttl    time.Duration
		output string
	)
	c := &cobra.Command{
		Use:     "create",
		Example: `  holon token create`,
		Short:   "Make a token and print it",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if uses < 1 || ttl < time.Second {
				return usagef("--uses and --ttl must be at least 1 and 1s")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			t, err := c.createToken(cmd.Context(), uses, ttl)
			if err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, t)
			}
			say(a.out, "%v\n", t.Token)
			if isTerminal(a.out) {
				say(a.err, "\nOn the other machine: holon up --join TOKEN\n")
			}
			return nil
		},
	}
	c.Flags().IntVar(&uses, "uses", 1, "how many machines may join with it")
	c.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long it is good")
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func tokenListCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "ls",
		Example: `  holon token ls`,
		Aliases: []string{"list"},
		Short:   "List the tokens",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var list api.TokenList
			if err := c.get(cmd.Context(), tokensPath, nil, &list); err != nil {
				return err
			}
			tokens := list.Items
			if output != "" {
				return printStructured(a.out, output, tokens)
			}
			if len(tokens) == 0 {
				say(a.err, "No tokens; make one with 'holon token create'.\n")
				return nil
			}
			var rows [][]string
			for _, t := range tokens {
				expires := t.Expires
				if t.Revoked {
					expires = "revoked"
				}
				rows = append(rows, []string{t.ID, strconv.Itoa(t.UsesLeft), expires, t.Issuer})
			}
			printTable(a.out, []string{"ID", "USES LEFT", "EXPIRES", "ISSUER"}, rows)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func tokenRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "revoke ID",
		Example:           `  holon token revoke ja3k5q7x`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Short:             "Make a token worthless",
		Args:              wantArgs(1, 1, "the ID of a token, as 'holon token ls' shows it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			_, err = c.do(cmd.Context(), request{method: http.MethodDelete, path: tokensPath + "/" + url.PathEscape(args[0])})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "token %q revoked\n", args[0])
			return err
		},
	}
}
