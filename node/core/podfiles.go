package core

import (
	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// Files of ConfigMaps and Secrets follow their objects while a pod runs. A run is stale
// from when one of its objects changes, or the pod is found running after a boot, until
// an order is made with what the objects say then. So changes that come faster than the
// runtime writes are written as one, and an order that fails is made again.

// filesChanged makes the runs stale that show an object as files. It looks at all: a
// node has a thousand at most, and an index would have to follow every template.
func (c *Core) filesChanged(key state.Key) {
	namespace, name := "", ""
	switch resource, in, of := key.Split(); resource {
	case state.ConfigMaps, state.Secrets:
		namespace, name = in, of
	default:
		return
	}
	n := &c.runner
	for id, r := range n.runs {
		if r.wanted && r.workload.Namespace == namespace && shows(r.template, key.Resource(), name) {
			r.stale, n.stirred[id] = true, true
		}
	}
}

// shows reports whether a pod has files of an object; of any, if name is empty.
func shows(template *corev1.PodTemplateSpec, resource, name string) bool {
	is := func(of, called string) bool { return name == "" || of == resource && called == name }
	for i := range template.Spec.Volumes {
		switch v := &template.Spec.Volumes[i]; {
		case v.ConfigMap != nil && is(state.ConfigMaps, v.ConfigMap.Name), v.Secret != nil && is(state.Secrets, v.Secret.SecretName):
			return true
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil && is(state.ConfigMaps, s.ConfigMap.Name) || s.Secret != nil && is(state.Secrets, s.Secret.Name) {
					return true
				}
			}
		}
	}
	return false
}

// updateFiles orders that the files of a pod that runs become what its objects say now.
// If one of them is gone the pod keeps what it has, until they change again.
func (c *Core) updateFiles(r *run) {
	r.stale = false
	spec, sealed, err := c.podSpec(r)
	if err != nil {
		c.fact(true, r.about(), "FailedMount", "the files of the pod stay as they are: %v", err)
		return
	}
	c.order(r, Order{Kind: Update, Spec: spec, Sealed: sealed})
}

// filesFailed takes the word that files could not be written: they are written again
// with the next order, or after a while. The pod itself is no worse for it.
func (c *Core) filesFailed(r *run, err *runtime.Error) {
	r.stale, r.retryAt = err.Kind.Retry() && err.Kind != runtime.NotFound, c.now+orderRetryMax
	c.fact(true, r.about(), "FailedMount", "%s", err.Error())
}
