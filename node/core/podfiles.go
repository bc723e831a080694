package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// Files of ConfigMaps and Secrets follow their objects while a pod runs, and tokens are made
// anew before they end. A run is stale from when one of its objects changes, a token is due,
// or the pod is found running after a boot, until an order is made with what the objects say
// then. So changes that come faster than the runtime writes are written as one, and an order
// that fails is made again.

const (
	tokenLifePreset = time.Hour
	// tokenAgeMax is how old a token becomes at most, however long it is good: the kubelet's.
	tokenAgeMax = 24 * time.Hour
)

// tokenLife is how long the token of a source is good.
func tokenLife(source *corev1.ServiceAccountTokenProjection) time.Duration {
	if s := source.ExpirationSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return tokenLifePreset
}

// tokenAge is how old the tokens of a pod become before they are made anew: four fifths of
// the life of the one that ends first. 0: it has none.
func tokenAge(template *corev1.PodTemplateSpec) (age time.Duration) {
	for i := range template.Spec.Volumes {
		if p := template.Spec.Volumes[i].Projected; p != nil {
			for _, s := range p.Sources {
				if s.ServiceAccountToken != nil {
					age = sooner(age, min(tokenLife(s.ServiceAccountToken)/5*4, tokenAgeMax))
				}
			}
		}
	}
	return age
}

// renewIn has the files of a run written again after a while, if there are tokens among them.
func (c *Core) renewIn(r *run, age time.Duration) {
	if r.renewAt = 0; age > 0 {
		r.renewAt = c.now + age
	}
}

// filesChanged makes the runs stale that show an object as files. It looks at all: a
// node has a thousand at most, and an index would have to follow every template.
func (c *Core) filesChanged(key state.Key) {
	namespace, name := "", ""
	switch resource, in, of := key.Split(); resource {
	case state.ConfigMaps, state.Secrets, state.ServiceAccounts:
		namespace, name = in, of
	default:
		return
	}
	n := &c.runner
	for id, r := range n.runs {
		if r.wanted && r.workload.Namespace == namespace && shows(r.template, key.Resource(), name) {
			r.stale, n.stirred[id] = true, true
			if r.reason == configError {
				r.retryAt = 0 // this may be what it waits for
			}
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
				switch {
				case s.ConfigMap != nil && is(state.ConfigMaps, s.ConfigMap.Name), s.Secret != nil && is(state.Secrets, s.Secret.Name),
					s.ServiceAccountToken != nil && is(state.ServiceAccounts, accountOf(template)):
					return true
				}
			}
		}
	}
	return false
}

// updateFiles orders that the files of a pod that runs become what its objects say now.
// If one of them is gone the pod keeps what it has, until they change again; one with tokens,
// which end, asks again after a while.
func (c *Core) updateFiles(r *run) {
	age := tokenAge(r.template)
	r.stale = false
	c.renewIn(r, age)
	spec, sealed, err := c.podSpec(r)
	if err != nil {
		c.renewIn(r, min(age, orderRetryMax))
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
