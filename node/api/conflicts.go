package api

import (
	"encoding/json"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConflictList is the answer to a list of conflicts.
type ConflictList struct {
	Items []Conflict `json:"items"`
}

// Settlement is what a user decides about one conflict.
type Settlement struct {
	Field string `json:"field"`
	// Loser is the index of the version to take; nil keeps the winner.
	Loser *int `json:"loser,omitempty"`
}

// Compaction asks that what removed fields hold of an object is freed.
type Compaction struct {
	Recreate bool `json:"recreate"`
}

// Compacted is the answer to it.
type Compacted struct {
	UID string `json:"uid"`
}

func (s *Server) conflicts(w http.ResponseWriter, r *http.Request) error {
	found, err := s.config.Backend.Conflicts(r.Context())
	if err != nil {
		return ofBackend(err, holonResource("conflicts"), "")
	}
	if found == nil {
		found = []Conflict{}
	}
	writeJSON(w, r, http.StatusOK, ConflictList{Items: found})
	return nil
}

// objectOf is the object that the path of a request names.
func objectOf(r *http.Request) (Key, *kind) {
	k := kindNamed(r.PathValue("resource"))
	if k == nil {
		return Key{}, nil
	}
	key := Key{Resource: k.key(), Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if key.Namespace == noNamespace {
		key.Namespace = ""
	}
	return key, k
}

func (s *Server) settleConflict(w http.ResponseWriter, r *http.Request) error {
	key, k := objectOf(r)
	if k == nil {
		return notServed()
	}
	var ask Settlement
	if err := readAsk(w, r, &ask); err != nil {
		return err
	}
	loser := KeepWinner
	if ask.Loser != nil {
		if loser = *ask.Loser; loser < 0 {
			return apierrors.NewBadRequest("loser must be 0 or greater")
		}
	}
	err := s.config.Backend.Settle(r.Context(), key, ask.Field, loser)
	if errors.Is(err, ErrNotFound) { // the field, not the object
		return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, "%v", err)
	}
	if err != nil {
		return ofBackend(err, k.groupResource(), key.Name)
	}
	writeJSON(w, r, http.StatusOK, successStatus())
	return nil
}

func (s *Server) compact(w http.ResponseWriter, r *http.Request) error {
	key, k := objectOf(r)
	if k == nil {
		return notServed()
	}
	var ask Compaction
	if err := readAsk(w, r, &ask); err != nil {
		return err
	}
	uid, err := s.config.Backend.Compact(r.Context(), key, ask.Recreate)
	if err != nil {
		return ofBackend(err, k.groupResource(), key.Name)
	}
	writeJSON(w, r, http.StatusOK, Compacted{UID: uid})
	return nil
}

// readAsk reads the JSON body of one of holon's own requests.
func readAsk(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return apierrors.NewBadRequest("the body cannot be read: " + err.Error())
	}
	return nil
}
