package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/node/api/rbac"
)

// Versioned is a Source that knows what else its object may be until its conflicts are
// settled. The first version is what readers see.
type Versioned interface {
	Source
	Versions(Key) []map[string]any
}

// versionsOf lists what an object may be.
func versionsOf(o *Object) []map[string]any {
	if v, ok := o.Source.(Versioned); ok {
		return v.Versions(o.Key)
	}
	return []map[string]any{o.Value()}
}

// granting are the kinds that say who may do what.
var granting = [...]string{Roles, RoleBindings, ClusterRoles, ClusterRoleBindings, Revocations}

// Access says who may do what by what one node has. It keeps what the objects of the cache
// grant until one of them changes.
type Access struct {
	cache  *Cache
	time   func() (time.Time, bool) // cluster time; false: nobody knows what time it is
	opened opened

	mu      sync.Mutex
	trees   [len(granting)]*btree.BTreeG[*Object] // that the rest was made of
	policy  *rbac.Policy
	revoked map[string]string // serial or user, see Revocation: why
}

// NewAccess judges by the objects of a cache and by cluster time. What it lets in for long
// ends in time only while somebody runs Follow.
func NewAccess(cache *Cache, time func() (time.Time, bool)) *Access {
	return &Access{cache: cache, time: time, opened: opened{of: map[*openRequest]struct{}{}, more: make(chan struct{}, 1)}}
}

// current is what is granted and what is revoked now.
func (a *Access) current() (*rbac.Policy, map[string]string) {
	snapshot := a.cache.current.Load()
	trees := snapshot.grants()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.policy == nil || trees != a.trees {
		a.trees, a.policy, a.revoked = trees, policyOf(snapshot), revokedBy(snapshot)
	}
	return a.policy, a.revoked
}

func (s *snapshot) grants() (trees [len(granting)]*btree.BTreeG[*Object]) {
	for i, resource := range granting {
		trees[i] = s.trees[resource]
	}
	return trees
}

// policyOf reads what the objects of one state grant. One that cannot be read grants
// nothing.
func policyOf(s *snapshot) *rbac.Policy {
	p := &rbac.Policy{Roles: map[rbac.Name]rbac.Role{}, Bindings: map[rbac.Name][]rbac.Binding{}}
	for _, resource := range []string{Roles, ClusterRoles} {
		for _, o := range s.list(resource, "") {
			name := rbac.Name{Namespace: o.Namespace, Name: o.Name}
			p.Roles[name] = readVersions(&o, func(r *rbacv1.ClusterRole) []rbacv1.PolicyRule { return r.Rules })
		}
	}
	for _, resource := range []string{RoleBindings, ClusterRoleBindings} {
		for _, o := range s.list(resource, "") {
			name := rbac.Name{Namespace: o.Namespace, Name: o.Name}
			p.Bindings[name] = readVersions(&o, func(b *rbacv1.ClusterRoleBinding) rbac.Binding {
				return rbac.Binding{Ref: b.RoleRef, Subjects: b.Subjects}
			})
		}
	}
	return p
}

// readVersions reads the versions of an object; none if one of them cannot be read. The
// types of namespaces and of the whole cluster have the same fields.
func readVersions[T, V any](o *Object, take func(*T) V) (all []V) {
	for _, value := range versionsOf(o) {
		var typed T
		text, err := json.Marshal(value)
		if err == nil {
			err = json.Unmarshal(text, &typed)
		}
		if err != nil {
			return nil
		}
		all = append(all, take(&typed))
	}
	return all
}

// authorize says in Kubernetes' words that a user may not do what a request asks for, and
// who does it if he may: he himself, or whom he acts as.
func (s *Server) authorize(u user, r *http.Request) (user, error) {
	u, err := s.access.actsAs(u, r.Header)
	if err != nil {
		return user{}, err
	}
	if refusalOf(r.URL.Path) != nil {
		return u, nil // no right would help, and the refusal says so
	}
	return u, s.access.allows(u, requestOf(r))
}

// good says in words that a credential counts no more, or not yet: by time, because what it is
// bound to is not there, or because it or somebody who has to do with it is revoked.
func (a *Access) good(u user) error {
	now, known := a.time()
	if err := u.life.judge(u, now, known); err != nil {
		return err
	}
	if b := u.bound; b != nil {
		const gone = "the token of %s has ended with its %s, or this node has not heard of that yet"
		if !a.there(b.accountKey(), b.Account.UID) {
			return apierrors.NewUnauthorized(fmt.Sprintf(gone, u.named(), "ServiceAccount"))
		}
		if b.Pod != nil && !a.there(b.podKey(), b.Pod.UID) {
			return apierrors.NewUnauthorized(fmt.Sprintf(gone, u.named(), "pod "+b.Pod.Name))
		}
	}
	_, revoked := a.current()
	return revocationOf(revoked, u)
}

func (a *Access) there(k Key, uid string) bool {
	o, ok := a.cache.Get(k)
	return ok && uid != "" && uidOf(o.Value()) == uid
}

// allows says in words that a user may not do something.
func (a *Access) allows(u user, ask rbac.Request) error {
	if err := a.good(u); err != nil {
		return err
	}
	policy, _ := a.current()
	if rbac.Basic(ask) || policy.Allows(u.User, ask) {
		return nil
	}
	return forbidden(u.Name, ask)
}

// revocationOf says in words that a user, his credential, or who acts as him is revoked.
func revocationOf(revoked map[string]string, u user) error {
	if why, is := revoked[serialOf(u.serial)]; is && u.serial != "" {
		return statusError(http.StatusForbidden, metav1.StatusReasonForbidden, "this credential (serial %s, user %q) is revoked: %s", u.serial, u.bearer(), why)
	}
	for _, name := range []string{u.bearer(), u.Name} {
		if why, is := revoked[userOf(name)]; is {
			return statusError(http.StatusForbidden, metav1.StatusReasonForbidden, "user %q is revoked: %s", name, why)
		}
	}
	return nil
}

func forbidden(user string, ask rbac.Request) error {
	if ask.Path != "" {
		return apierrors.NewForbidden(schema.GroupResource{}, "", fmt.Errorf("User %q cannot %s path %q", user, ask.Verb, ask.Path))
	}
	resource := ask.Resource
	if ask.Subresource != "" {
		resource += "/" + ask.Subresource
	}
	where := " at the cluster scope"
	if ask.Namespace != "" {
		where = fmt.Sprintf(" in the namespace %q", ask.Namespace)
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: ask.Group, Resource: ask.Resource}, ask.Name,
		fmt.Errorf("User %q cannot %s resource %q in API group %q%s", user, ask.Verb, resource, ask.Group, where))
}

// pathVerbs are what RBAC calls a method on something that is no object.
var pathVerbs = map[string]string{
	http.MethodGet: "get", http.MethodHead: "get", http.MethodPost: "create", http.MethodPut: "update",
	http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// requestOf is what RBAC calls a request.
func requestOf(r *http.Request) rbac.Request {
	if rest, ok := strings.CutPrefix(r.URL.Path, holonPath); ok && rest != "" && !isHolonObject(rest) {
		ask := rbac.Request{Verb: pathVerbs[r.Method], Group: holonGroup}
		switch segments := strings.Split(rest, "/"); len(segments) {
		case 4: // what/RESOURCE/NAMESPACE/NAME
			ask.Resource, ask.Name = segments[0], segments[3]
			if segments[2] != noNamespace {
				ask.Namespace = segments[2]
			}
		default:
			ask.Resource, ask.Name = segments[0], strings.Join(segments[1:], "/")
		}
		return ask
	}
	t, err := parseTarget(r.URL.Path)
	if err != nil {
		return rbac.Request{Verb: pathVerbs[r.Method], Path: r.URL.Path}
	}
	ask := rbac.Request{
		Verb: verbOf(r, t), Group: t.kind.Group, Resource: t.kind.plural, Subresource: t.sub, Namespace: t.namespace, Name: t.name,
	}
	if t.sub != "" {
		ask.Verb = subresourceVerb(r)
	}
	if t.kind.key() == Namespaces {
		ask.Namespace = t.name // as in Kubernetes: a RoleBinding there may let read it
	}
	return ask
}

// subresourceVerb: what upgrades to a stream is a create, whatever its method.
func subresourceVerb(r *http.Request) string {
	if r.Header.Get("Upgrade") != "" {
		return "create"
	}
	return pathVerbs[r.Method]
}

// isHolonObject reports whether a path of holon's group is of a kind of the table.
func isHolonObject(rest string) bool {
	plural, _, _ := strings.Cut(rest, "/")
	return kindOf(holonGroup, holonVersion, plural) != nil
}
