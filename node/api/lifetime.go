package api

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/node/api/rbac"
)

const (
	// clockGrace is how far two sides of a split may be apart in time before one takes a
	// credential of the other for one of the future.
	clockGrace = 5 * time.Minute
	// credentialLifeMax is the longest life that may be asked for; without one a credential
	// has no end.
	credentialLifeMax = 10 * 365 * 24 * time.Hour
	// someLife stands for a duration in advice.
	someLife = "24h"
)

// lifetime is when a credential is good, by cluster time. The zero value is for ever.
type lifetime struct{ from, until time.Time }

func (l lifetime) ends() bool { return !l.until.IsZero() }

// lifeFrom begins a life now; 0: it is for ever.
func lifeFrom(now time.Time, ttl time.Duration) (l lifetime) {
	if ttl > 0 {
		now = now.Truncate(time.Second) // what certificates and tokens can say
		l = lifetime{from: now, until: now.Add(ttl)}
	}
	return l
}

// seconds are those since 1970; 0 and 0: for ever.
func (l lifetime) seconds() (from, until int64) {
	if l.ends() {
		from, until = l.from.Unix(), l.until.Unix()
	}
	return from, until
}

func lifeOf(from, until int64) (l lifetime) {
	if until != 0 {
		l = lifetime{from: time.Unix(from, 0), until: time.Unix(until, 0)}
	}
	return l
}

// judge says in words if a credential of u is not good. As long as no time is known, or
// what this node takes for it is before the credential was made, nobody can tell: then
// what expires is refused.
func (l lifetime) judge(u user, now time.Time, known bool) error {
	switch {
	case !l.ends():
		return nil
	case !known:
		return apierrors.NewUnauthorized("this node does not know what time it is, so it takes no credential that expires: try again in a moment, or ask another node")
	case l.from.Sub(now) > clockGrace:
		return apierrors.NewUnauthorized(fmt.Sprintf("the credential of %s was made at %s, and by the clocks that this node sees it is %s only: ask another node, or have the clocks set",
			u.named(), shown(l.from), shown(now)))
	case !now.Before(l.until):
		return apierrors.NewUnauthorized(fmt.Sprintf("the credential of %s expired at %s, %v ago by the members' clocks: %s",
			u.named(), shown(l.until), now.Sub(l.until).Round(time.Second), u.remedy()))
	}
	return nil
}

// named is how errors call who shows a credential.
func (u user) named() string { return fmt.Sprintf("user %q (serial %s)", u.Name, u.serial) }

// remedy is how to get a new credential.
func (u user) remedy() string {
	if rest, is := strings.CutPrefix(u.Name, rbac.AccountPrefix); is {
		namespace, name, _ := strings.Cut(rest, ":")
		return fmt.Sprintf("get a new one with 'kubectl -n %s create token %s'", namespace, name)
	}
	return fmt.Sprintf("ask for a new one, made with 'holon kubeconfig --user %s --ttl %s'", u.Name, someLife)
}

func shown(t time.Time) string { return t.UTC().Format(time.RFC3339) }
