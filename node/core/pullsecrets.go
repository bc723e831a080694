package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// Keys of a Secret that hold credentials for registries.
var pullKeys = []string{corev1.DockerConfigJsonKey, corev1.DockerConfigKey}

// pullSecrets lists the credentials for registries that a pod's Secrets hold, sealed, and
// the names of those that are not there. A pod without any has those of its account.
func (c *Core) pullSecrets(r *run) (uses []SealedUse, absent []string) {
	spec := &r.template.Spec
	refs := spec.ImagePullSecrets
	if len(refs) == 0 {
		refs = c.accountPullSecrets(r.workload.Namespace, accountOf(r.template))
	}
	for _, ref := range refs {
		found, err := c.secretUses(r.workload.Namespace, ref.Name, nil)
		if i := slices.IndexFunc(found, func(u secretUse) bool { return slices.Contains(pullKeys, u.name) }); err == nil && i >= 0 {
			use := found[i].SealedUse
			use.ForPull = true
			uses = append(uses, use)
		} else {
			absent = append(absent, ref.Name)
		}
	}
	return uses, absent
}

func (c *Core) accountPullSecrets(namespace, name string) []corev1.LocalObjectReference {
	obj, ok, err := state.DecodeObject(c.store.record(state.MakeKey(state.ServiceAccounts, namespace, name)))
	var account corev1.ServiceAccount
	if err != nil || !ok || state.Convert(obj.Value, &account) != nil {
		return nil
	}
	return account.ImagePullSecrets
}
