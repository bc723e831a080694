package live

import (
	"fmt"
	"strings"
	"testing"
)

// clientManifest is a pod that is a client of the API, by what is in its files alone: a
// ServiceAccount may look at pods, and the pod's holon goes to the API of its node.
const clientManifest = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: looker}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: looker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: looker, namespace: default}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: client}
data:
  kubeconfig: |
    apiVersion: v1
    kind: Config
    clusters: [{name: c, cluster: {server: "https://SERVER:6443", certificate-authority: DIR/api/ca.crt}}]
    users: [{name: u, user: {tokenFile: DIR/api/token}}]
    contexts: [{name: c, context: {cluster: c, user: u, namespace: default}}]
    current-context: c
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  serviceAccountName: looker
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: none
    command:
    - sh
    - -c
    - |
      cd "$HOLON_POD_DIR"
      sed "s|SERVER|$HOST|; s|DIR|$HOLON_POD_DIR|" config/kubeconfig > kubeconfig
      holon --kubeconfig kubeconfig get pods
      holon --kubeconfig kubeconfig get secrets
      trap 'exit 0' TERM
      while :; do sleep 0.2; done
    env: [{name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
    volumeMounts: [{name: api, mountPath: /api}, {name: config, mountPath: /config}]
  volumes:
  - name: config
    configMap: {name: client}
  - name: api
    projected:
      sources:
      - serviceAccountToken: {path: token}
      - configMap: {name: kube-root-ca.crt}
`

// TestAPodIsAClientOfTheAPI with the token and the CA in its files, and may do there what its
// ServiceAccount may.
func TestAPodIsAClientOfTheAPI(t *testing.T) {
	t.Parallel()
	n := up(t, 2, "process")
	n.apply("n1", clientManifest)
	eventually(t, "the pod's client lists itself, and no Secrets", func() error {
		r := n.ask("n2", "logs", "client")
		for _, want := range []string{"NAME", "client ", "system:serviceaccount:default:looker"} {
			if !strings.Contains(r.out, want) {
				return fmt.Errorf("%q is not in %v", want, r)
			}
		}
		return nil
	})
}
