package api

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func (m *memory) Conflicts(context.Context) ([]ConflictSpec, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.conflicts), nil
}

func (m *memory) Settle(_ context.Context, k Key, field string, loser int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, c := range m.conflicts {
		if c.Resource == k.Resource && c.Name == k.Name && c.Field == field {
			m.settled = append(m.settled, fmt.Sprint(field, " ", loser))
			m.conflicts = slices.Delete(m.conflicts, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("%w: no conflict at %s", ErrNotFound, field)
}

func (m *memory) Compact(_ context.Context, k Key, recreate bool) (string, error) {
	if !recreate {
		return "", fmt.Errorf("%w: 5 registers are of removed fields", ErrInvalid)
	}
	if k.Name == "none" {
		return "", ErrNotFound
	}
	return "new-uid", nil
}

func TestConflictsAreServed(t *testing.T) {
	f := serve(t)
	f.do("GET", holonPath+"conflicts", "").want(t, 200, `"items":[]`, `"kind":"ConflictList"`)
	f.backend.conflicts = []ConflictSpec{{
		Kind: "Deployment", Resource: "deployments.apps", Namespace: "default", Name: "web", Field: "spec.replicas",
		Winner: Version{Value: []byte("3"), Node: "n1"}, Losers: []Version{{Value: []byte("4"), Node: "n2"}, {Node: "n3"}},
	}}
	f.do("GET", holonPath+"conflicts", "").want(t, 200, `"winner":{"node":"n1","value":3}`, `"losers":[{"node":"n2","value":4},{"node":"n3"}]`)
	name := f.backend.conflicts[0].object(conflictKind).Name
	f.do("GET", holonPath+"namespaces/default/conflicts/"+name, "").want(t, 200, `"kind":"Conflict"`, `"field":"spec.replicas"`)
	f.do("GET", holonPath+"namespaces/other/conflicts", "").want(t, 200, `"items":[]`)
	f.do("DELETE", holonPath+"namespaces/default/conflicts/"+name, "").want(t, 405, "holon conflicts take")
	f.do("GET", holonPath+"conflicts", "", "Accept: application/json;as=Table;g=meta.k8s.io;v=v1").want(t, 200, `"cells":["`+name+`","deployment/web","spec.replicas","3","4, (removed)"]`)
	web := holonPath + "conflicts/deploy/default/web"
	f.do("POST", web, `{"field":"spec.paused"}`).want(t, 404, "no conflict at spec.paused")
	f.do("POST", web, `{"field":"spec.replicas","loser":-3}`).want(t, 400)
	f.do("POST", web, `{"field":"spec.replicas","loser":1}`).want(t, 200, "Success")
	f.do("POST", web, `[`).want(t, 400)
	f.do("POST", holonPath+"conflicts/secretsx/default/web", `{}`).want(t, 404)
	if want := []string{"spec.replicas 1"}; !slices.Equal(f.backend.settled, want) {
		t.Errorf("settled %q", f.backend.settled)
	}
	f.backend.conflicts = []ConflictSpec{{Resource: Nodes, Name: "n1", Field: "spec.unschedulable"}}
	f.do("POST", holonPath+"conflicts/nodes/-/n1", `{"field":"spec.unschedulable"}`).want(t, 200)
	if last := f.backend.settled[len(f.backend.settled)-1]; last != fmt.Sprint("spec.unschedulable ", KeepWinner) {
		t.Errorf("settled %s", last)
	}
}

func TestCompactIsServed(t *testing.T) {
	f := serve(t)
	f.do("POST", holonPath+"compact/cm/default/c", `{"recreate":true}`).want(t, 200, `{"uid":"new-uid"}`)
	f.do("POST", holonPath+"compact/cm/default/c", `{}`).want(t, 422, "configmaps \\\"c\\\" is invalid: 5 registers")
	f.do("POST", holonPath+"compact/cm/default/none", `{"recreate":true}`).want(t, 404)
}
