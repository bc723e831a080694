package node

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/runtime/runtimetest"
)

// tokenPod runs as the ServiceAccount robot and is shown a token of it, and the CA.
func tokenPod() map[string]any {
	d := deployment(1)
	template := d["spec"].(map[string]any)["template"].(map[string]any)
	template["spec"] = map[string]any{
		"serviceAccountName": "robot",
		"containers":         []any{map[string]any{"name": "app", "image": "web", "command": []any{"run"}}},
		"volumes": []any{map[string]any{"name": "t", "projected": map[string]any{"sources": []any{
			map[string]any{"serviceAccountToken": map[string]any{"path": "token", "audience": "vault", "expirationSeconds": int64(600)}},
			map[string]any{"configMap": map[string]any{"name": state.RootCA}},
		}}}},
	}
	return d
}

// said is what a token says, whoever signed it.
func said(t *testing.T, token string) (c map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAPodsTokenIsMadeForIt: of its account and bound to it, beside the CA, made anew while
// it runs, and neither on a disk nor in a frame.
func TestAPodsTokenIsMadeForIt(t *testing.T) {
	ca, err := api.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))) // before that nobody knows the time
		c := newClusterOf(t, 2, func(m *member) { m.id.CACert, m.id.CAKey = certPEM, keyPEM })
		defer c.close()
		for resource, value := range map[string]map[string]any{state.ServiceAccounts: {}, state.Deployments: tokenPod()} {
			if err := c.nodes[0].create(resource, "robot", value); err != nil {
				t.Fatal(err)
			}
		}
		c.await("a ready pod", func() bool { return len(c.nodes[0].readyPods()) == 1 })
		pods, _ := c.nodes[0].cfg.Cache.List(state.Pods, "default")
		shown := func() (token, root string) {
			for _, m := range c.nodes {
				for _, spec := range m.ordered() {
					m.host.Do(func(h *runtimetest.Host, _ time.Duration) {
						if v := h.Files(spec.ID); v != nil {
							token, root = string(v[0].Files[0].Data), string(v[0].Files[1].Data)
						}
					})
				}
			}
			return token, root
		}
		token, root := shown()
		claims := said(t, token)
		pod := map[string]any{"name": pods[0].Name, "uid": pods[0].Value()["metadata"].(map[string]any)["uid"]}
		bound, _ := claims["kubernetes.io"].(map[string]any)
		if claims["sub"] != "system:serviceaccount:default:robot" || !reflect.DeepEqual(claims["aud"], []any{"vault"}) || !reflect.DeepEqual(bound["pod"], pod) || root != string(certPEM) {
			t.Errorf("it is shown a token that says %v, and the CA %q", claims, root)
		}
		ends := time.Unix(int64(claims["exp"].(float64)), 0)
		for time.Until(ends) > 2*time.Minute+time.Second {
			if now, _ := shown(); now != token {
				t.Fatalf("another token %v before the end of the first one", time.Until(ends))
			}
			time.Sleep(time.Minute)
		}
		next := token
		c.await("another token", func() bool { next, _ = shown(); return next != token })
		if left := time.Until(ends); left < time.Minute || said(t, next)["jti"] == claims["jti"] {
			t.Errorf("the next one says %v, %v before the end of the first one", said(t, next), left)
		}
		if found := c.showing(token, next); len(found) > 0 {
			t.Errorf("a token can be read in %q", found)
		}
	})
}
