package node

import (
	"errors"

	"holon/node/api"
	"holon/node/core"
	"holon/runtime"
)

// issuerOf makes the tokens that pods find in their files. An identity without the key of
// the API's CA, as in worlds of tests, has none.
func (n *Node) issuerOf(id *Identity) (*api.Issuer, error) {
	if len(id.CAKey) == 0 {
		return nil, nil
	}
	ca, err := api.LoadCA(id.CACert, id.CAKey)
	return &api.Issuer{CA: ca, Cache: n.cfg.Cache, Time: n.ClusterTime}, err
}

var errNoIssuer = errors.New("this node has no key to make tokens with")

// podToken makes a token for a file of the pod of an order. The core has looked whether it
// can be made; what has changed since is for the next attempt, which the core makes soon.
func (n *Node) podToken(o core.Order, want *core.AccountToken) ([]byte, error) {
	if n.issuer == nil {
		return nil, secretError(o, runtime.Unavailable, errNoIssuer)
	}
	ask := api.AccountTokenRequest{
		Namespace: o.Spec.Namespace, Account: want.Account, Pod: o.Spec.Name, PodUID: o.Spec.UID, Life: want.Life,
	}
	if want.Audience != "" {
		ask.Audiences = []string{want.Audience}
	}
	made, err := n.issuer.AccountToken(ask)
	if err != nil {
		return nil, secretError(o, runtime.Unavailable, err)
	}
	return []byte(made.Token), nil
}
