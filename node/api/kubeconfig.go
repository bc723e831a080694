package api

import (
	"errors"
	"fmt"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// Endpoint is one node as a client reaches it.
type Endpoint struct {
	Name string // of the context, the node's name
	URL  string // https://address:port
}

// Kubeconfig writes a kubeconfig (YAML, to be kept with mode 0600) with one
// context per endpoint, all for the one credential; current names the context that is used
// by default.
func Kubeconfig(c Credential, endpoints []Endpoint, current string) ([]byte, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("kubeconfig: no endpoint")
	}
	config := clientcmd.Config{
		Kind: "Config", APIVersion: "v1", CurrentContext: current,
		AuthInfos: []clientcmd.NamedAuthInfo{{
			Name:     c.User,
			AuthInfo: clientcmd.AuthInfo{ClientCertificateData: c.Cert, ClientKeyData: c.Key, Token: c.Token},
		}},
	}
	found := false
	for _, e := range endpoints {
		found = found || e.Name == current
		config.Clusters = append(config.Clusters, clientcmd.NamedCluster{
			Name: e.Name, Cluster: clientcmd.Cluster{Server: e.URL, CertificateAuthorityData: c.CA},
		})
		config.Contexts = append(config.Contexts, clientcmd.NamedContext{
			Name: e.Name, Context: clientcmd.Context{Cluster: e.Name, AuthInfo: c.User, Namespace: "default"},
		})
	}
	if !found {
		return nil, fmt.Errorf("kubeconfig: the current context %q is none of the endpoints", current)
	}
	return yaml.Marshal(config)
}
