package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// find returns an object from the cache or a 404.
func (s *Server) find(t *target) (Object, error) {
	o, ok := s.config.Cache.Get(t.key())
	if !ok {
		return Object{}, apierrors.NewNotFound(t.kind.groupResource(), t.name)
	}
	return o.decoded(), nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, t *target) error {
	if t.kind.asked {
		s.askEvents(w, r)
	}
	find := s.find
	if t.kind.gather != nil {
		find = func(t *target) (Object, error) { return s.gatherOne(w, r, t) }
	}
	o, err := find(t)
	if lease, ok := s.nodeLease(t.key()); ok && apierrors.IsNotFound(err) {
		o, err = lease, nil
	}
	if err != nil {
		return err
	}
	return s.respond(w, r, http.StatusOK, t.kind, o)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, t *target) error {
	if t.kind.gather != nil {
		return s.listGathered(w, r, t)
	}
	if t.kind.asked && r.URL.Query().Get("continue") == "" {
		s.askEvents(w, r)
	}
	p, meta, err := s.page(r, t)
	if err != nil {
		return err
	}
	return s.respondList(w, r, t.kind, p.Objects, meta)
}

// versionOf reads which state a list is asked for, 0 for the present one. "At least
// this version" is always served with the present state: answering that the version
// is yet to come makes clients wait for something that may never arrive here.
func versionOf(query url.Values) (uint64, error) {
	match := metav1.ResourceVersionMatch(query.Get("resourceVersionMatch"))
	rv, err := parseRV(query.Get("resourceVersion"))
	if err != nil {
		return 0, err
	}
	switch match {
	case "", metav1.ResourceVersionMatchNotOlderThan:
		return 0, nil
	case metav1.ResourceVersionMatchExact:
		if rv != 0 {
			return rv, nil
		}
		return 0, apierrors.NewBadRequest("resourceVersionMatch Exact needs the resourceVersion of a state")
	}
	return 0, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", field.ErrorList{
		field.NotSupported(field.NewPath("resourceVersionMatch"), match,
			[]metav1.ResourceVersionMatch{metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan}),
	})
}

// parseRV reads a resourceVersion of a request; empty is 0.
func parseRV(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	rv, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q is not a number", text))
	}
	return rv, nil
}

// expired is the answer for a resourceVersion from which this node cannot go on.
func expired(err error) error {
	if errors.Is(err, ErrGone) || errors.Is(err, ErrSlow) {
		return apierrors.NewResourceExpired(err.Error() + ": list again")
	}
	return err
}
