package api

import (
	"net/http"
	"testing"
)

// Services and ServiceAccounts are kept, found by every verb, and say what they do not do.
func TestServicesAreKeptAndWarnedAbout(t *testing.T) {
	f := serve(t)
	const services, accounts = "/api/v1/namespaces/default/services", "/api/v1/namespaces/default/serviceaccounts"
	f.do("POST", services, `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}],"selector":{"app":"web"}}}`,
		"Content-Type: application/json").want(t, http.StatusCreated, "nothing answers at its name")
	f.do("GET", services+"/web", "").want(t, http.StatusOK, `"targetPort":80`, `"type":"ClusterIP"`)
	f.do("PATCH", services+"/web", `{"spec":{"ports":[{"port":81,"name":"more"}]}}`, "Content-Type: application/strategic-merge-patch+json").
		want(t, http.StatusUnprocessableEntity, "spec.ports[1].name: Required value")
	f.do("POST", accounts, `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"web"}}`, "Content-Type: application/json").want(t, http.StatusCreated)
	f.do("DELETE", accounts+"/web", "").want(t, http.StatusOK)
	f.do("GET", accounts+"/web", "").want(t, http.StatusNotFound)
}
