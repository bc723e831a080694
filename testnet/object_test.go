package testnet

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"holon/crdt/state"
	"holon/crdt/state/valid"
	"holon/node/core"
)

// patch changes a Deployment as the API does for kubectl patch: strategically,
// and then by what differs from the object that the node has.
func (s *stage) patch(n *Node, key state.Key, text string) {
	s.t.Helper()
	before := s.object(n, key)
	patch, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	original, err := json.Marshal(before.Value)
	if err != nil {
		s.t.Fatal(err)
	}
	patched, err := strategicpatch.StrategicMergePatch(original, patch, appsv1.Deployment{})
	if err != nil {
		s.t.Fatal(err)
	}
	var after map[string]any
	if err := json.Unmarshal(patched, &after); err != nil {
		s.t.Fatal(err)
	}
	op := core.Mutate{Key: key, UID: before.UID}
	if op.Old, err = state.FlattenAs(key.Resource(), before.Value); err != nil {
		s.t.Fatal(err)
	}
	if op.New, err = state.FlattenAs(key.Resource(), after); err != nil {
		s.t.Fatal(err)
	}
	acked := s.Counts.Acked
	n.mutate(op)
	s.within(time.Second, "acknowledgement of a patch", func() bool { return s.Counts.Acked > acked })
}

// create stores a Deployment as the API does: complete, and only if it is valid.
func (s *stage) create(n *Node, key state.Key, text string) {
	s.t.Helper()
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
		s.t.Fatal(err)
	}
	_, d.Namespace, d.Name = key.Split()
	valid.DefaultDeployment(&d)
	if errs := valid.Deployment(&d); len(errs) > 0 {
		s.t.Fatal(errs)
	}
	value, err := state.Unstructured(d)
	if err != nil {
		s.t.Fatal(err)
	}
	delete(value, "status")
	delete(value, "metadata")
	s.put(n, key, value)
}

// settle answers the conflict of a Deployment that is spelled so.
func (s *stage) settle(n *Node, key state.Key, field string, loser int) {
	s.t.Helper()
	for _, c := range state.Conflicts(key, n.seen[key]) {
		if c.Field == field || strings.HasPrefix(c.Field, "object ") && field == "object" {
			s.ask(n, core.Settle{Key: key, Path: c.Path, Loser: loser})
			return
		}
	}
	s.t.Fatalf("%s knows no conflict of %s at %s", n.name, key, field)
}

func (p *player) showConflicts(n *Node, key state.Key) {
	for _, c := range state.Conflicts(key, n.seen[key]) {
		fmt.Fprintf(&p.said, "%s: %s", c.Field, state.Short(c.Winner.Value))
		for _, l := range c.Losers {
			fmt.Fprintf(&p.said, ", not %s", state.Short(l.Value))
		}
		p.said.WriteString("\n")
	}
	status, _ := n.shown[key]["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "FieldConflict" || c["type"] == "MergedInvalid" {
			fmt.Fprintf(&p.said, "condition %s: %s\n", c["type"], c["message"])
		}
	}
	fmt.Fprintf(&p.said, "generation %v, observed %v\n", p.generation(n, key), status["observedGeneration"])
}

func (s *stage) generation(n *Node, key state.Key) any {
	meta, _ := s.object(n, key).Value["metadata"].(map[string]any)
	return meta["generation"]
}

// object is what a node shows of a key.
func (s *stage) object(n *Node, key state.Key) state.Object {
	s.t.Helper()
	o, ok, err := state.DecodeObject(n.seen[key])
	if err != nil || !ok {
		s.t.Fatalf("%s has no %s: %v", n.name, key, err)
	}
	return o
}

func (p *player) show(n *Node, key state.Key) {
	text, err := yaml.Marshal(p.object(n, key).Value["spec"])
	if err != nil {
		p.t.Fatal(err)
	}
	fmt.Fprintf(&p.said, "%sgeneration: %v\n", text, p.generation(n, key))
}
