package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"holon/crdt/state"
	"holon/node/core"
	"holon/node/image/auth"
	"holon/runtime"
)

// pullSecrets are the credentials that an order brings along for registries: sealed
// until an image has to be pulled, and gone with the order.
type pullSecrets struct {
	open    func() ([]auth.Credential, []string)
	missing []string // Secrets that are not there
	opened  bool
	all     []auth.Credential
	broken  []string // what is wrong with those that are there
}

// pullSecretsOf finds the credentials of an order.
func (n *Node) pullSecretsOf(o core.Order) *pullSecrets {
	return &pullSecrets{missing: o.NoPullSecret, open: func() (all []auth.Credential, broken []string) {
		for _, use := range o.Sealed {
			if !use.ForPull {
				continue
			}
			_, _, name := use.Secret.Split()
			plain, err := state.OpenRegister(use.Secret, use.UID, use.Path, use.Value, n.keys.find)
			if err == nil {
				var found []auth.Credential
				found, err = auth.Parse(plain)
				all = append(all, found...)
			}
			if err != nil {
				broken = append(broken, fmt.Sprintf("%s: %v", name, err))
			}
		}
		// The longest is the most particular, as in Kubernetes' keyring.
		slices.SortStableFunc(all, func(a, b auth.Credential) int { return cmp.Compare(len(b.At), len(a.At)) })
		return all, broken
	}}
}

// forImage are the credentials that may be for an image, the most particular first.
func (s *pullSecrets) forImage(ref string) (auths []runtime.Auth) {
	if !s.opened {
		s.opened = true
		s.all, s.broken = s.open()
	}
	for _, c := range s.all {
		if c.IsFor(ref) && !slices.Contains(auths, c.Auth) {
			auths = append(auths, c.Auth)
		}
	}
	return auths
}

// complain names the Secrets that do not help. Their values are in no word of it.
func (s *pullSecrets) complain(say func(format string, args ...any)) {
	if len(s.missing) > 0 {
		say("Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(s.missing, ", "))
	}
	if len(s.broken) > 0 {
		say("some image pull secrets are of no use (%s); the image is pulled without them", strings.Join(s.broken, "; "))
	}
}
