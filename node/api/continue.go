package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tokenVersion tells holon's continue tokens from those of another format.
const tokenVersion = "holon.dev/v1"

// token is what a continue parameter holds: where the list goes on and in which
// state. The resourceVersion names the node and its boot, too.
type token struct {
	Version string `json:"v"`
	// RV is that of the first page; 0: whatever is there when the token is used, on any
	// node.
	RV        uint64 `json:"rv"`
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"name"`
}

func (t token) String() string {
	data, _ := json.Marshal(t) // strings and a number never fail
	return base64.RawURLEncoding.EncodeToString(data)
}

// readToken reads a continue parameter of a list of a namespace, or of all.
func readToken(text, namespace string) (t token, err error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	switch {
	case err != nil:
		return t, apierrors.NewBadRequest("continue key is not valid: " + err.Error())
	case t.Version != tokenVersion || t.Name == "":
		return t, apierrors.NewBadRequest("continue key is not valid: it is none of holon's")
	case namespace != "" && t.Namespace != namespace:
		return t, apierrors.NewBadRequest("continue key is not valid: it belongs to a list of another namespace")
	}
	return t, nil
}

// page reads the part of a collection that a request asks for.
func (s *Server) page(r *http.Request, t *target) (Page, metav1.ListMeta, error) {
	sel, err := selectorOf(r, t)
	if err != nil {
		return Page{}, metav1.ListMeta{}, err
	}
	q := Query{Resource: t.kind.key(), Namespace: t.namespace}
	if !sel.all() {
		q.Match = sel.matches
	}
	query := r.URL.Query()
	if q.Limit, err = limitOf(query); err != nil {
		return Page{}, metav1.ListMeta{}, err
	}
	var from token
	if text := query.Get("continue"); text != "" {
		if from, err = continueOf(query, t.namespace); err != nil {
			return Page{}, metav1.ListMeta{}, err
		}
		q.At, q.After = from.RV, Place{from.Namespace, from.Name}
	} else if q.At, err = versionOf(query); err != nil {
		return Page{}, metav1.ListMeta{}, err
	}
	p, err := s.config.Cache.Page(q)
	if err != nil {
		return p, metav1.ListMeta{}, outOfReach(err, from)
	}
	return p, p.meta(q.Match == nil), nil
}

// meta says where the next page begins. How many objects are left is said where
// nothing had to match, as in Kubernetes.
func (p *Page) meta(counted bool) metav1.ListMeta {
	m := metav1.ListMeta{ResourceVersion: formatRV(p.RV)}
	if !p.More {
		return m
	}
	last := p.Objects[len(p.Objects)-1]
	m.Continue = token{Version: tokenVersion, RV: p.RV, Namespace: last.Namespace, Name: last.Name}.String()
	if rest := int64(p.Rest); counted {
		m.RemainingItemCount = &rest
	}
	return m
}

// outOfReach answers for a state that is not kept here. A list that has begun may go
// on with what is there now, if its client so wishes: the token for that comes along,
// and kube-apiserver's words for it.
func outOfReach(err error, from token) error {
	if from.Name == "" {
		return expired(err)
	}
	from.RV = 0
	gone := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve " +
		"the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that " +
		"were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	gone.ErrStatus.ListMeta.Continue = from.String()
	return gone
}

// limitOf reads how many objects a page may have at most; as in Kubernetes, what is
// not positive bounds nothing.
func limitOf(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, apierrors.NewBadRequest("limit " + strconv.Quote(text) + " is not a number of objects")
	}
	return max(0, int(limit)), nil
}

// continueOf reads the token of a request, which says all about the version itself.
func continueOf(query url.Values, namespace string) (token, error) {
	if v := query.Get("resourceVersion"); v != "" && v != "0" {
		return token{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	if query.Get("resourceVersionMatch") != "" {
		return token{}, apierrors.NewBadRequest("resourceVersionMatch is forbidden when continue is provided")
	}
	return readToken(query.Get("continue"), namespace)
}
