package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/crdt/state"
	"holon/node/api/rbac"
)

const (
	// accountLife is that of a ServiceAccount's token if nobody asks for another; the
	// bounds are Kubernetes'.
	accountLife    = time.Hour
	accountLifeMin = 10 * time.Minute
	accountLifeMax = 1 << 32 * time.Second
	audiencesMax   = 32
)

// Issuer makes tokens and says whose they are. Every member can, with the key of the
// cluster's CA; what it makes nobody writes down.
type Issuer struct {
	CA    *CA
	Cache *Cache // that says which ServiceAccounts and pods there are
	// Time is cluster time; false: nobody knows what time it is.
	Time func() (time.Time, bool)
}

// AccountTokenRequest asks for a token of a ServiceAccount.
type AccountTokenRequest struct {
	Namespace, Account string
	// Pod, if not empty, is a pod that runs as the account; the token ends with it. PodUID,
	// if not empty, is which of those of that name.
	Pod, PodUID string
	Audiences   []string      // empty: the API
	Life        time.Duration // 0: accountLife
}

// AccountToken is a token for a request, and until when it is good.
type AccountToken struct {
	Token     string
	Audiences []string
	Expires   time.Time
}

var errNoTime = errors.New("this node does not know what time it is, so nothing that expires can be made here: try again in a moment, or ask another node")

// AccountToken makes a token of a ServiceAccount that is known here. It is what
// `kubectl create token` gets, and what a pod's files show: whoever writes them asks with
// Pod and PodUID, and again when four fifths of the life are over, as the kubelet does. It
// fails with ErrNotFound, ErrInvalid, or when no time is known.
func (i *Issuer) AccountToken(ask AccountTokenRequest) (AccountToken, error) {
	now, known := i.Time()
	if !known {
		return AccountToken{}, errNoTime
	}
	if ask.Life == 0 {
		ask.Life = accountLife
	}
	if len(ask.Audiences) == 0 {
		ask.Audiences = []string{apiAudience}
	}
	switch {
	case ask.Life < accountLifeMin || ask.Life > accountLifeMax:
		return AccountToken{}, fmt.Errorf("%w: a ServiceAccount's token lives from %v to %v", ErrInvalid, accountLifeMin, time.Duration(accountLifeMax))
	case len(ask.Audiences) > audiencesMax:
		return AccountToken{}, fmt.Errorf("%w: a token is for at most %d audiences", ErrInvalid, audiencesMax)
	}
	bound, err := i.bind(ask)
	if err != nil {
		return AccountToken{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return AccountToken{}, err
	}
	life := lifeFrom(now, ask.Life)
	c := &claims{Issuer: apiAudience, Subject: accountName(ask.Namespace, ask.Account), Audience: ask.Audiences, Serial: serial.Text(16), Account: bound}
	c.IssuedAt, c.Expires = life.seconds()
	token, err := i.CA.sign(c)
	return AccountToken{Token: token, Audiences: ask.Audiences, Expires: life.until}, err
}

// bind finds the objects that a token ends with.
func (i *Issuer) bind(ask AccountTokenRequest) (*Bound, error) {
	account, ok := i.Cache.Get(Key{ServiceAccounts, ask.Namespace, ask.Account})
	if !ok {
		return nil, fmt.Errorf("%w: ServiceAccount %s/%s", ErrNotFound, ask.Namespace, ask.Account)
	}
	bound := &Bound{Namespace: ask.Namespace, Account: BoundName{ask.Account, uidOf(account.Value())}}
	if ask.Pod == "" {
		return bound, nil
	}
	pod, ok := i.Cache.Get(Key{Pods, ask.Namespace, ask.Pod})
	if !ok {
		return nil, fmt.Errorf("%w: pod %s/%s", ErrNotFound, ask.Namespace, ask.Pod)
	}
	value := pod.Value()
	uid := uidOf(value)
	spec, _ := value["spec"].(map[string]any)
	as, _ := spec["serviceAccountName"].(string)
	switch {
	case ask.PodUID != "" && ask.PodUID != uid:
		return nil, fmt.Errorf("%w: the pod %s/%s is another one, with the UID %s", ErrInvalid, ask.Namespace, ask.Pod, uid)
	case or(as, state.DefaultAccount) != ask.Account:
		return nil, fmt.Errorf("%w: the pod %s/%s runs as the ServiceAccount %s", ErrInvalid, ask.Namespace, ask.Pod, or(as, state.DefaultAccount))
	}
	bound.Pod = &BoundName{ask.Pod, uid}
	return bound, nil
}

// userToken makes a token of a user; ttl 0: it has no end.
func (i *Issuer) userToken(name string, groups []string, life lifetime) (token, serial string, err error) {
	number, err := newSerial()
	if err != nil {
		return "", "", err
	}
	c := &claims{Issuer: apiAudience, Subject: name, Audience: []string{apiAudience}, Groups: groups, Serial: number.Text(16)}
	c.IssuedAt, c.Expires = life.seconds()
	token, err = i.CA.sign(c)
	return token, c.Serial, err
}

// identify says whose token it is, if it is for one of the audiences, and for which of them.
// Whether it is still good, see Access.good.
func (i *Issuer) identify(token string, audiences []string) (u user, of []string, err error) {
	if i.CA == nil {
		return u, nil, apierrors.NewUnauthorized("this node has no key to judge tokens with")
	}
	c, err := i.CA.open(token)
	if err != nil {
		return u, nil, apierrors.NewUnauthorized(err.Error() + ": use the kubeconfig of this cluster (holon kubeconfig)")
	}
	u = user{User: rbac.User{Name: c.Subject, Groups: c.Groups}, serial: c.Serial, life: lifeOf(c.IssuedAt, c.Expires)}
	for _, a := range c.Audience {
		if slices.Contains(audiences, a) {
			of = append(of, a)
		}
	}
	if len(of) == 0 {
		return u, nil, apierrors.NewUnauthorized(fmt.Sprintf("the token of %s is for %q and for nobody else: it opens nothing here", u.named(), c.Audience))
	}
	return u, of, u.bind(c.Account)
}

// bind gives a ServiceAccount's token what it is bound to, and its groups. Only such a token
// has a name of Kubernetes' own.
func (u *user) bind(c *Bound) error {
	if c == nil {
		if strings.HasPrefix(u.Name, reservedPrefix) {
			return apierrors.NewUnauthorized(errNotOurs.Error())
		}
		return nil
	}
	if u.Name != accountName(c.Namespace, c.Account.Name) || len(u.Groups) > 0 {
		return apierrors.NewUnauthorized(errNotOurs.Error())
	}
	u.Groups, u.bound = accountGroups(c.Namespace), c
	return nil
}

func accountName(namespace, name string) string { return rbac.AccountPrefix + namespace + ":" + name }

func accountGroups(namespace string) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}
}
