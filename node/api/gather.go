package api

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// gatheredVerbs are those of kinds whose objects are made when somebody looks: nothing of
// them is kept, so nothing can be watched.
var gatheredVerbs = []string{"get", "list"}

// listGathered answers in one piece, whatever the limit, and without a version: there is
// nothing to go on from.
func (s *Server) listGathered(w http.ResponseWriter, r *http.Request, t *target) error {
	sel, err := selectorOf(r, t)
	if err != nil {
		return err
	}
	objects, err := t.kind.gather(s, w, r, t)
	if err != nil {
		return err
	}
	return s.respondList(w, r, t.kind, slices.DeleteFunc(objects, func(o Object) bool { return !sel.matches(o) }), metav1.ListMeta{})
}

// gatherOne finds one object among those gathered.
func (s *Server) gatherOne(w http.ResponseWriter, r *http.Request, t *target) (Object, error) {
	objects, err := t.kind.gather(s, w, r, t)
	if err != nil {
		return Object{}, err
	}
	for _, o := range objects {
		if o.Key == t.key() {
			return o, nil
		}
	}
	return Object{}, apierrors.NewNotFound(t.kind.groupResource(), t.name)
}
