package api

import (
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestPlansAreServed(t *testing.T) {
	f := serve(t)
	rest := f.kube.Discovery().RESTClient()
	post := func(body string) error {
		return rest.Post().AbsPath(holonPath + "rebalance").Body([]byte(body)).Do(f.ctx).Error()
	}
	whatIf := func(query string) error { return rest.Get().RequestURI(holonPath + "whatif" + query).Do(f.ctx).Error() }
	check(t, post(`{"maxMoves":2,"dryRun":true}`))
	check(t, whatIf("?lose=n2"))
	for what, err := range map[string]error{"no bound": post(`{}`), "no JSON": post(`moves`), "nobody": whatIf("")} {
		if !apierrors.IsBadRequest(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.backend.fail = fmt.Errorf("%w: no majority", ErrStays)
	if err := post(`{"maxMoves":1}`); !apierrors.IsServiceUnavailable(err) || err.Error() != "no majority" {
		t.Errorf("without a majority: %v", err)
	}
	f.backend.fail = fmt.Errorf("%w: no member is called n9", ErrNotFound)
	if err := whatIf("?lose=n9"); !apierrors.IsBadRequest(err) {
		t.Errorf("a stranger: %v", err)
	}
}
