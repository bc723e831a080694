package node

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
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

// Who has another profile is named by the others, and only once it has said so.
func TestStatusNamesWhoHasAnotherProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, 3, func(m *member) {
			if m.id.Name == "n2" {
				m.profile = "edge"
			}
		})
		defer c.close()
		for i, want := range []string{"lan, others have another one: n2 (edge).", "edge, others have another one: n1 (lan), n3 (lan).", "lan, others have another one: n2 (edge)."} {
			c.await(want, func() bool {
				s, err := c.nodes[i].Status(t.Context())
				return err == nil && strings.Contains(strings.Join(s.Sentences, " "), "This node has the profile "+want)
			})
		}
		c.nodes[1].down()
		c.nodes[1].profile = ""
		c.nodes[1].up()
		c.await("one profile", func() bool {
			s, err := c.nodes[0].Status(t.Context())
			return err == nil && !strings.Contains(strings.Join(s.Sentences, " "), "profile")
		})
	})
}

func TestClockThatIsOffIsSaid(t *testing.T) {
	if said := clockOff(&core.View{}); said != nil {
		t.Errorf("said %q of a clock that is right", said)
	}
	for off, want := range map[time.Duration]string{-56 * time.Hour: "56h0m0s behind what", 90 * time.Second: "1m30s ahead of what"} {
		if said := strings.Join(clockOff(&core.View{ClockOff: off}), " "); !strings.Contains(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
	}
}

func TestWhoLacksSomethingIsNamed(t *testing.T) {
	status := func(pressure bool) *state.NodeStatus {
		return &state.NodeStatus{Conditions: []state.Condition{{Type: "DiskPressure", True: pressure, Message: "it is full"}, {Type: "Ready", True: true}}}
	}
	v := &core.View{Members: []core.MemberView{
		{Name: "n1", State: "alive", Status: status(false)}, {Name: "n2", State: "alive", Status: status(true)},
		{Name: "n3", State: "unreachable", Status: status(true)}, {Name: "n4", State: "alive"},
	}}
	if said := pressed(v); !slices.Equal(said, []string{"n2 says DiskPressure: it is full"}) {
		t.Errorf("said %q", said)
	}
}

func TestWhoComesAndGoesIsNamedUntilTheEnd(t *testing.T) {
	v := &core.View{Members: []core.MemberView{
		{Name: "n1", State: "alive"},
		{Name: "n2", State: "alive", Unsteady: 5 * time.Minute},
		{Name: "n3", State: "unreachable", Unsteady: 3 * time.Minute},
		{Name: "n4", State: "left", Unsteady: 5 * time.Minute},
	}}
	want := []string{"n2 comes and goes: last choice for new pods for 2m0s"}
	if said := unsteady(v, 3*time.Minute); !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}
