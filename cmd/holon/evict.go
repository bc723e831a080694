package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/node/api"
)

const evictPath = ownGroup + "/evict"

func newEvictCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "evict NODE",
		Short: "Take another node out of the cluster for good",
		Example: `  holon node evict n3
  holon node evict 12D3KooW...      # where several nodes bore the name: the peer ID`,
		Long: `Take another node out of the cluster for good, whether it is in reach or not: the
others let it in no more, its slots get homes elsewhere, and Secrets are sealed
under a new key. The node hears of it, stops its pods and ends, if need be when it
is back from wherever it is cut off now.

It counts for majorities until more than half of those who count agree.`,
		Args: wantArgs(1, 1, "the name of a node"), ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.evict(cmd, args[0], api.MemberEviction{}, "evicted")
		},
	}
}

func newForgetCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "forget NODE",
		Short: "Stop counting a node that is gone",
		Example: `  holon node forget n3
  holon node forget n3 --force      # where too few are left to agree`,
		Long: `Stop counting a node that will not come back, because its machine is dead or gone.
Its slots get homes elsewhere. It is an eviction, but of a live node it is refused.

Where half of the members that count are gone, the others cannot agree on it.
With --force they need not: the node counts no more at once. If it runs on after
all, cut off from here, then homes may move on both sides, and slots run twice
until the sides meet.`,
		Args: wantArgs(1, 1, "the name of a node"), ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if force {
				a.warn(fmt.Sprintf("if %s runs on somewhere, homes may move there and here", args[0]))
			}
			return a.evict(cmd, args[0], api.MemberEviction{Gone: true, Force: force}, "forgotten")
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also where the others are too few to agree")
	return c
}

func (a *app) evict(cmd *cobra.Command, name string, e api.MemberEviction, did string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = c.do(cmd.Context(), request{method: http.MethodPost, path: evictPath + "/" + url.PathEscape(name), body: body})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s is no member that this node knows; 'holon status' lists them", name)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "node/%s %s\n", name, did)
	return err
}
