package node

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/runtime/runtimetest"
)

func TestWhySaysWhyARunFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		n := c.nodes[0]
		n.host.Do(func(h *runtimetest.Host, _ time.Duration) { h.SetImageMissing("nowhere", true) })
		for _, test := range []struct {
			image string
			words []string
		}{
			{"nowhere", []string{"Pending", "container app: ErrImagePull: ", `image "nowhere" is not here`}},
			{"crash", []string{"container app: CrashLoopBackOff: waiting 10s", "Error (exit code 7)", "restarts: 1"}},
			{"web", []string{"on n1: Running$"}}, // and no more
		} {
			if err := n.create(state.Deployments, test.image, deploymentOf(test.image, 1)); err != nil {
				t.Fatal(err)
			}
			run := ""
			c.await(strings.Join(test.words, ", "), func() bool {
				why, err := n.Why(t.Context(), api.Key{Resource: state.Deployments, Namespace: "default", Name: test.image})
				if err != nil || len(why.Slots) != 1 || len(why.Slots[0].Runs) != 1 {
					return false
				}
				run = why.Slots[0].Runs[0]
				return !slices.ContainsFunc(test.words, func(word string) bool { return !strings.Contains(run+"$", word) })
			})
		}
	})
}
