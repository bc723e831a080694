package api

import (
	"strings"
	"testing"
)

// Who makes a Lease is told once what it is not; who renews it is not told again.
func TestALeaseSaysWhatItIsNot(t *testing.T) {
	f := serve(t)
	const path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
	body := func(second string) string {
		return `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"leader"},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,"renewTime":"2026-01-01T00:00:` + second + `.000001Z"}}`
	}
	if a := f.do("POST", path, body("00")).want(t, 201, `"holderIdentity":"a"`); !strings.Contains(a.warnings, "each side of a split grants it") {
		t.Errorf("warnings: %s", a.warnings)
	}
	if a := f.do("PUT", path+"/leader", body("02")).want(t, 200, "00:00:02.000001Z"); a.warnings != "" {
		t.Errorf("a renewal warns: %s", a.warnings)
	}
	f.do("POST", path, strings.Replace(body("00"), `"leaseDurationSeconds":15`, `"leaseDurationSeconds":0`, 1)).want(t, 422, "leaseDurationSeconds")
}
