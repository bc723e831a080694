package testnet

import (
	"encoding/json"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"holon/crdt/state"
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
	o := p.object(n, key)
	text, err := yaml.Marshal(o.Value["spec"])
	if err != nil {
		p.t.Fatal(err)
	}
	meta, _ := o.Value["metadata"].(map[string]any)
	if g, ok := meta["generation"]; ok {
		text = append(text, []byte("generation: "+strings.TrimSpace(string(state.EncodeRegister(g)))+"\n")...)
	}
	p.said.Write(text)
}
