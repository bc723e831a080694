package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holon/node/api"
)

// Paths of holon's own API group.
const (
	ownGroup   = "/apis/holon.dev/v1"
	statusPath = ownGroup + "/status"
	tokensPath = ownGroup + "/tokens"
	keysPath   = ownGroup + "/datakeys"
	drainPath  = ownGroup + "/drain"
	syncPath   = ownGroup + "/sync/confirm"
	leavePath  = ownGroup + "/leave"
)

func (c *client) createToken(ctx context.Context, uses int, ttl time.Duration) (api.TokenCreated, error) {
	var answer api.TokenCreated
	body, err := json.Marshal(api.TokenRequest{Uses: uses, TTLSeconds: int64(ttl / time.Second)})
	if err != nil {
		return answer, err
	}
	data, err := c.do(ctx, request{method: http.MethodPost, path: tokensPath, body: body})
	if err != nil {
		return answer, err
	}
	return answer, c.decode(data, &answer)
}

func newStatusCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "status",
		Example: `  holon status
  holon --context n3 status   # as n3 sees the cluster`,
		Short: "Show one node's view of the cluster",
		Long: `Show the cluster as one node sees it now: its members, whether it sees more than
half of them, and what an operator should know, in words. Ask another node with
--context to compare views.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			var s api.ClusterStatus
			if err := client.get(cmd.Context(), statusPath, nil, &s); err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, s)
			}
			printClusterStatus(a.out, s)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func printClusterStatus(w io.Writer, s api.ClusterStatus) {
	say(w, "Cluster %s, as %s sees it: %s (%d of %d that count)\n", s.Cluster, s.Node, viewWords(s.Majority), s.Reached, s.Counted)
	say(w, "%d objects; this node runs containers by %s\n", s.Records, orElse(s.Runtime, "no runtime"))
	for _, line := range s.Sentences {
		say(w, "- %s\n", line)
	}
	say(w, "\n")
	var rows [][]string
	for _, m := range s.Members {
		rows = append(rows, []string{m.Name, m.State, orElse(m.Since, "-"), orElse(m.Runtime, "-"), orElse(m.Server, "-"), m.Peer})
	}
	printTable(w, []string{"NAME", "STATE", "SINCE", "RUNTIME", "SERVER", "PEER"}, rows)
}

// viewWords says whether a node sees more than half of the cluster.
func viewWords(majority bool) string {
	if majority {
		return "it sees the majority"
	}
	return "it does not see the majority"
}

func newSyncCommand(a *app) *cobra.Command {
	confirm := &cobra.Command{
		Use:   "confirm",
		Short: "Let a node that was away drop what the others have deleted",
		Example: `  holon status            # says what would be dropped
  holon sync confirm`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			return a.followProgress(cmd.Context(), client, syncPath)
		},
	}
	return groupCommand("sync", "Answer what a node asks before it drops objects",
		`A node that was away for long may hold objects that the others have deleted. If
they are more than a tenth of what it has, it drops none of them, says so in
'holon status', and waits.`,
		"  holon --context n3 status\n  holon --context n3 sync confirm", confirm)
}

func newWhyCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "why KIND/NAME",
		Short: "Explain who schedules a workload and why its pods are where they are",
		Example: `  holon why deploy/web
  holon why pod web-6d4cf56db6-x7k2p -o json
  holon --context n3 why deploy/web     # as n3 sees it`,
		Args:              wantOneTarget,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			r, name, err := client.oneTarget(cmd.Context(), args)
			if err != nil {
				return err
			}
			var why api.Why
			path := strings.Join([]string{ownGroup, "why", r.groupResource(), orElse(client.namespaceOf(r), "-"), name}, "/")
			if err := client.get(cmd.Context(), path, nil, &why); err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, why)
			}
			printWhy(a.out, why)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func printWhy(w io.Writer, why api.Why) {
	name := why.Name
	if why.Namespace != "" {
		name = why.Namespace + "/" + name
	}
	say(w, "%s %s, as %s sees it (%s)\n", why.Kind, name, why.Node, viewWords(why.Majority))
	say(w, "Scheduler:  %s\n", orElse(why.Scheduler, "nobody"))
	say(w, "Standbys:   %s\n", orElse(strings.Join(why.Standbys, ", "), "none"))
	for _, r := range why.Reasons {
		say(w, "- %s\n", r)
	}
	for _, s := range why.Slots {
		say(w, "\n%s: home %s", slotName(s.Index), orElse(s.Home, "none yet"))
		if s.StandIn != "" {
			say(w, ", stand-in %s", s.StandIn)
		}
		say(w, "\n")
		for _, run := range s.Runs {
			say(w, "  runs %s\n", run)
		}
		for _, r := range s.Reasons {
			say(w, "  - %s\n", r)
		}
	}
}

// followProgress posts to path and prints what the node says it is doing.
func (a *app) followProgress(ctx context.Context, c *client, path string) error {
	return a.followRequest(ctx, c, request{method: http.MethodPost, path: path, body: []byte("{}")})
}

func (a *app) followRequest(ctx context.Context, c *client, r request) error {
	body, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	for {
		var line api.Progress
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return errors.New("the node ended before it was done; see its log")
		} else if err != nil {
			return c.explain(err)
		}
		switch {
		case line.Error != "":
			return errors.New(line.Error)
		case line.Done:
			return nil
		}
		say(a.err, "%v\n", line.Progress)
	}
}
