package node

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holon/crdt/state"
)

// dockerSecret is a Secret with a password for a registry.
func dockerSecret(registry, password string) map[string]any {
	config := fmt.Sprintf(`{"auths": {%q: {"username": "u", "password": %q}}}`, registry, password)
	return map[string]any{"type": "kubernetes.io/dockerconfigjson", "data": map[string]any{
		".dockerconfigjson": base64.StdEncoding.EncodeToString([]byte(config)),
	}}
}

// pulling is a Deployment of an image with Secrets for its registry.
func pulling(image string, secrets ...string) map[string]any {
	d := policyOf(image, "Always", 1)
	spec := d["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	var refs []any
	for _, s := range secrets {
		refs = append(refs, map[string]any{"name": s})
	}
	if refs != nil {
		spec["imagePullSecrets"] = refs
	}
	return d
}

// TestARegistryAsksForAPassword: a pod's Secret opens it, whatever comes before it is of
// no use, or that of its account; without one the pod says so. The password is nowhere.
func TestARegistryAsksForAPassword(t *testing.T) {
	imageCluster(t, 1, func(t *testing.T, c *cluster) {
		n := c.nodes[0]
		n.image.Password, n.image.Pull = planted, 3*time.Second
		n.image.SetRegistry(map[string][]byte{"r.example/app:1": []byte("one"), "r.example/app:2": []byte("two"), "r.example/app:3": []byte("three")})
		put := func(resource, name string, value map[string]any) {
			t.Helper()
			if err := n.create(resource, name, value); err != nil {
				t.Fatal(err)
			}
		}
		put(state.Secrets, "good", dockerSecret("r.example", planted))
		put(state.Secrets, "wrong", dockerSecret("r.example/app", "wrong"))
		put(state.Secrets, "other", dockerSecret("other.example", planted))
		put(state.Secrets, "broken", map[string]any{"data": map[string]any{".dockercfg": base64.StdEncoding.EncodeToString([]byte("{"))}})
		put(state.Deployments, "own", pulling("r.example/app:1", "none", "broken", "wrong", "good"))
		put(state.Deployments, "no", pulling("r.example/app:2", "other"))
		c.await("the pod with the password is ready", func() bool { return len(n.readyPods()) == 1 })
		put(state.ServiceAccounts, "default", map[string]any{"imagePullSecrets": []any{map[string]any{"name": "good"}}})
		put(state.Deployments, "account", pulling("r.example/app:3"))
		c.await("the pod with the account is ready", func() bool { return len(n.readyPods()) == 2 })
		if said := c.told("FailedToRetrieveImagePullSecret"); len(said) < 2 || !strings.Contains(strings.Join(said, "\n"), "(none)") || !strings.Contains(strings.Join(said, "\n"), "broken: it is no Docker configuration") {
			t.Errorf("of Secrets it says %q", said)
		}
		if pulled := c.told("Pulled"); len(pulled) != 2 || !strings.Contains(pulled[0], `Successfully pulled image "r.example/app:1" in 6s (6s including waiting). Image size: 3 bytes.`) {
			t.Errorf("Events Pulled: %q", pulled)
		}
		if failed := c.told("Failed"); !slices.ContainsFunc(failed, func(m string) bool { return strings.Contains(m, "app:2") && strings.Contains(m, "unauthorized") }) {
			t.Errorf("Events Failed: %q", failed)
		}
		if found := c.leaks(); len(found) > 0 {
			t.Errorf("the password can be read in %q", found)
		}
		for _, spec := range n.ordered() {
			if strings.Contains(fmt.Sprintf("%+v", spec), planted) {
				t.Errorf("the pod itself has the password: %+v", spec)
			}
		}
	})
}

// TestPullsBackOff: a registry that says no is asked as seldom as by Kubernetes, and the
// pod says so.
func TestPullsBackOff(t *testing.T) {
	imageCluster(t, 1, func(t *testing.T, c *cluster) {
		n := c.nodes[0]
		n.image.SetRegistry(map[string][]byte{})
		if err := n.create(state.Deployments, "web", policyOf("none:1", "IfNotPresent", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute) // with pauses of 10, 20, 40, 80, 160, 300 s, and half a minute for the next order
		if asked := len(n.image.Pulls()); asked < 6 || asked > 8 {
			t.Errorf("the registry was asked %d times", asked)
		}
		if said := c.told("BackOff"); len(said) == 0 {
			t.Error("no Event says BackOff")
		}
		n.image.Add("none:1", []byte("loaded by hand"))
		c.await("what is loaded by hand is ready", func() bool { return len(n.readyPods()) == 1 })
	})
}

// TestAPullHoldsUpNothing: while images come slowly, the image of another pod that is
// here is started from, and each comes once however many pods wait for it.
func TestAPullHoldsUpNothing(t *testing.T) {
	imageCluster(t, 1, func(t *testing.T, c *cluster) {
		n := c.nodes[0]
		n.image.Pull = 10 * time.Minute
		n.image.SetRegistry(map[string][]byte{"slow:1": []byte("slow")})
		n.image.Add("here:1", []byte("here"))
		for name, d := range map[string]map[string]any{"slow": policyOf("slow:1", "IfNotPresent", 20), "here": policyOf("here:1", "IfNotPresent", 1)} {
			if err := n.create(state.Deployments, name, d); err != nil {
				t.Fatal(err)
			}
		}
		c.await("what is here is ready", func() bool { return len(n.readyPods()) == 1 })
		time.Sleep(12 * time.Minute)
		if ready, asked := len(n.readyPods()), len(n.image.Pulls()); ready != 21 || asked != 1 {
			t.Errorf("%d pods are ready, and the registry was asked %d times", ready, asked)
		}
	})
}
