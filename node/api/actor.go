package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/node/api/rbac"
)

// Actor is a user as one node tells another of him, and of his credential.
type Actor struct {
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	Serial string   `json:"serial,omitempty"`
	By     string   `json:"by,omitempty"` // who acts as him
	// From and Until are when the credential is good, in seconds since 1970 of cluster time;
	// Until 0: for ever.
	From  int64  `json:"from,omitempty"`
	Until int64  `json:"until,omitempty"`
	Bound *Bound `json:"bound,omitempty"` // of a ServiceAccount's token
}

// Owner is who runs a node.
var Owner = Actor{User: AdminUser, Groups: []string{AdminGroup}}

// actingOf is the user of a request as others are told of him.
func actingOf(ctx context.Context) Actor {
	u := userOfContext(ctx)
	from, until := u.life.seconds()
	return Actor{User: u.Name, Groups: u.Groups, Serial: u.serial, By: u.by, From: from, Until: until, Bound: u.bound}
}

func (who Actor) acting() user {
	return user{User: rbac.User{Name: who.User, Groups: who.Groups}, serial: who.Serial, by: who.By, life: lifeOf(who.From, who.Until), bound: who.Bound}
}

// Use lets somebody exec, attach, portforward or log what a pod of this node says and does,
// as long as he may: then the context ends, see Over. The node that was asked judges him by
// what it has; who runs the pod judges by what it has itself, so on either side of a split
// whoever has taken away the right is heard.
func (a *Access) Use(ctx context.Context, who Actor, namespace, pod, subresource string) (_ context.Context, over func(), err error) {
	ask := rbac.Request{Verb: "create", Resource: Pods, Subresource: subresource, Namespace: namespace, Name: pod}
	if subresource == "log" {
		ask.Verb = "get"
	}
	u := who.acting()
	return a.hold(ctx, u, func() error { return a.allows(u, ask) })
}

// Read is Use of the copy that this node keeps for a Snapshot.
func (a *Access) Read(ctx context.Context, who Actor, snapshot string) (_ context.Context, over func(), err error) {
	u := who.acting()
	ask := rbac.Request{Verb: "get", Group: holonGroup, Resource: snapshotKind.plural, Subresource: "data", Name: snapshot}
	return a.hold(ctx, u, func() error { return a.allows(u, ask) })
}

// What a request says whose rights it is to be judged by.
const (
	impersonatePrefix = "Impersonate-"
	impersonateUser   = impersonatePrefix + "User"
	impersonateGroup  = impersonatePrefix + "Group"
	// anonymousUser is nobody: without a credential nothing is answered.
	anonymousUser = "system:anonymous"
)

// actsAs is the user that a request shall be judged as: u, or whom it says that u acts as,
// by Kubernetes' rules (verb impersonate of users, groups and serviceaccounts).
func (a *Access) actsAs(u user, h http.Header) (user, error) {
	name, groups := h.Get(impersonateUser), h[impersonateGroup]
	for header := range h {
		if strings.HasPrefix(header, impersonatePrefix) && header != impersonateUser && header != impersonateGroup {
			return user{}, apierrors.NewBadRequest(header + ": holon's users have a name and groups, and nothing else")
		}
	}
	switch {
	case name == "" && len(groups) == 0:
		return u, nil
	case name == "" || len(h[impersonateUser]) != 1 || len(name) > userNameMax:
		return user{}, apierrors.NewBadRequest("who acts as somebody else names one user, and groups of his if need be")
	case name == anonymousUser:
		return user{}, apierrors.NewBadRequest("nobody is anonymous here: without a credential nothing is answered")
	case len(groups) > groupsMax || slices.ContainsFunc(groups, func(g string) bool { return g == "" || len(g) > userNameMax }):
		return user{}, apierrors.NewBadRequest("these are no groups of a user")
	}
	ask := rbac.Request{Verb: "impersonate", Resource: "users", Name: name}
	as := user{User: rbac.User{Name: name, Groups: groups}, serial: u.serial, life: u.life, bound: u.bound, by: u.Name}
	if rest, is := strings.CutPrefix(name, rbac.AccountPrefix); is {
		ask.Resource = ServiceAccounts
		ask.Namespace, ask.Name, _ = strings.Cut(rest, ":")
		if len(groups) == 0 {
			as.Groups = accountGroups(ask.Namespace)
		}
	}
	if err := a.allows(u, ask); err != nil {
		return user{}, err
	}
	for _, g := range groups {
		if err := a.allows(u, rbac.Request{Verb: "impersonate", Resource: "groups", Name: g}); err != nil {
			return user{}, err
		}
		if g == rbac.MastersGroup && !slices.Contains(u.Groups, g) {
			return user{}, statusError(http.StatusForbidden, metav1.StatusReasonForbidden, "only who is of the group %s acts as one of it, whatever roles say", g)
		}
	}
	return as.authenticated(), nil
}
