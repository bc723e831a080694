package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"holon/node/api"
)

const (
	rebalancePath = ownGroup + "/rebalance"
	whatIfPath    = ownGroup + "/whatif"
)

func newRebalanceCommand(a *app) *cobra.Command {
	var output string
	req := api.RebalanceRequest{MaxMoves: 10}
	c := &cobra.Command{
		Use:   "rebalance",
		Short: "Move pods from crowded nodes to emptier ones, without interruption",
		Long: `Give slots another home where they are better off: with fewer pods of their workload
around, or as many and a fifth more of the node free. Each pod goes on until its
successor is ready. Disruption budgets are kept, and what must not run twice (bare
Pods, StatefulSets, DaemonSets, Deployments annotated holon.dev/stand-in: never) stays.

Nothing is ever moved so by itself. The node that is asked has to see the majority.`,
		Example: `  holon rebalance --dry-run
  holon rebalance --max-moves 3`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if req.MaxMoves < 1 || req.MaxMoves > api.RebalanceMovesMax {
				return usagef("--max-moves must be 1 to %d", api.RebalanceMovesMax)
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			body, err := json.Marshal(req)
			if err != nil {
				return err
			}
			data, err := client.do(cmd.Context(), request{method: http.MethodPost, path: rebalancePath, body: body})
			if err != nil {
				return err
			}
			var answer api.Rebalanced
			if err := json.Unmarshal(data, &answer); err != nil {
				return fmt.Errorf("the answer cannot be read: %w", err)
			}
			if output != "" {
				return printStructured(a.out, output, answer)
			}
			a.printRebalanced(answer)
			return nil
		},
	}
	c.Flags().IntVar(&req.MaxMoves, "max-moves", req.MaxMoves, "how many slots move at most")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "change nothing, and say what would move")
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (a *app) printRebalanced(r api.Rebalanced) {
	if len(r.Moves) == 0 {
		say(a.out, "nothing would be better off elsewhere\n")
		return
	}
	var rows [][]string
	for _, m := range r.Moves {
		rows = append(rows, []string{m.Namespace, workloadName(m.Kind, m.Name), fmt.Sprint(m.Slot), m.From, m.To, m.Why})
	}
	printTable(a.out, []string{"NAMESPACE", "WORKLOAD", "SLOT", "FROM", "TO", "WHY"}, rows)
	if r.DryRun {
		say(a.out, "%s would move (dry run)\n", plural(len(r.Moves), "slot"))
	}
}

func workloadName(kind, name string) string { return strings.ToLower(kind) + "/" + name }

func newWhatIfCommand(a *app) *cobra.Command {
	var output string
	var lose []string
	c := &cobra.Command{
		Use:   "what-if --lose NODE[,NODE]",
		Short: "Say what would run where, and what nowhere, if nodes were lost",
		Long: `Plan without some nodes, from what the node that is asked has itself, and change
nothing: who would run what they run, and what would wait and why, once all delays
of the workloads are over.

The exit code is 0 if everything would run, and 3 if something would not.`,
		Example: `  holon what-if --lose n3
  holon what-if --lose n3,n4 -o json
  holon what-if --lose n3 || echo "no room for what n3 runs"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(lose) == 0 {
				return usagef("name the nodes that would be lost: --lose n3,n4")
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			var answer api.WhatIf
			if err := client.get(cmd.Context(), whatIfPath, url.Values{"lose": lose}, &answer); err != nil {
				return err
			}
			if output != "" {
				err = printStructured(a.out, output, answer)
			} else {
				a.printWhatIf(answer)
			}
			if err == nil && !answer.Fits {
				return errUnplaced
			}
			return err
		},
	}
	c.Flags().StringSliceVar(&lose, "lose", nil, "names of nodes, separated by commas")
	_ = c.RegisterFlagCompletionFunc("lose", a.completeNodes)
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (a *app) printWhatIf(w api.WhatIf) {
	say(a.out, "Without %s, as %s sees it: %s\n", strings.Join(w.Lose, ", "), w.Node, map[bool]string{
		true: "the majority is left, so homes move", false: "no majority is left, so others stand in and no home moves",
	}[w.Majority])
	if len(w.Slots) == 0 {
		say(a.out, "nothing would change: no slot runs there\n")
		return
	}
	say(a.out, "\n")
	var rows [][]string
	for _, f := range w.Slots {
		rows = append(rows, []string{f.Namespace, workloadName(f.Kind, f.Name), fmt.Sprint(f.Slot), f.From, orElse(f.To, "-"), f.State, f.Why})
	}
	printTable(a.out, []string{"NAMESPACE", "WORKLOAD", "SLOT", "FROM", "TO", "STATE", "WHY"}, rows)
}
