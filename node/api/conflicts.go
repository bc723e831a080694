package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Conflict is one field, or a whole object, that was written on two sides of a partition
// and that nobody has settled. It is in the namespace of that object, or in "default" if
// that is in none, as Kubernetes does with Events. There are as many as the node that is
// asked knows of.
type Conflict struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ConflictSpec `json:"spec"`
}

// ConflictSpec says what was written, and where.
type ConflictSpec struct {
	Kind      string    `json:"kind"`
	Resource  string    `json:"resource"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Field     string    `json:"field"`
	Winner    Version   `json:"winner"`
	Losers    []Version `json:"losers"` // the first is what take takes
}

// Version is one of the values in conflict, JSON; absent if the field was removed.
type Version struct {
	Value json.RawMessage `json:"value,omitempty"`
	Node  string          `json:"node"` // that wrote it, or its replica ID
}

// DeepCopyObject implements runtime.Object.
func (c *Conflict) DeepCopyObject() runtime.Object {
	out := *c
	c.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Losers = slices.Clone(c.Spec.Losers)
	return &out
}

// ConflictList is the answer to a list of conflicts.
type ConflictList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Conflict `json:"items"`
}

const settledByHand = "'holon conflicts take' and 'drop' settle a conflict, and so does whoever writes the field"

var conflictKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: holonGroup, Version: holonVersion, Kind: "Conflict"},
	plural:           "conflicts", singular: "conflict", namespaced: true, verbs: gatheredVerbs, gather: (*Server).conflicts,
	refuses: map[string]string{"create": settledByHand, "update": settledByHand, "patch": settledByHand, "delete": settledByHand},
	make:    func() runtime.Object { return &Conflict{} },
	columns: []metav1.TableColumnDefinition{nameColumn, column("Object"), column("Field"), column("Winner"), column("Losers")},
	row: row(func(c *Conflict) []any {
		losers := make([]string, len(c.Spec.Losers))
		for i, l := range c.Spec.Losers {
			losers[i] = l.Words()
		}
		return []any{c.Name, strings.ToLower(c.Spec.Kind) + "/" + c.Spec.Name, c.Spec.Field, c.Spec.Winner.Words(), strings.Join(losers, ", ")}
	}),
}

// valueMax bounds a value in a table.
const valueMax = 40

// Words spells a value for a table.
func (v Version) Words() string {
	switch {
	case v.Value == nil:
		return "(removed)"
	case len(v.Value) > valueMax:
		return strings.ToValidUTF8(string(v.Value[:valueMax-3]), "") + "..."
	}
	return string(v.Value)
}

// conflicts makes objects of the conflicts of a namespace, or of all.
func (s *Server) conflicts(_ http.ResponseWriter, r *http.Request, t *target) ([]Object, error) {
	found, err := s.config.Backend.Conflicts(r.Context())
	if err != nil {
		return nil, ofBackend(err, holonResource("conflicts"), "")
	}
	var objects []Object
	for i := range found {
		c := found[i].object(t.kind)
		if t.namespace != "" && c.Namespace != t.namespace {
			continue
		}
		value, err := toMap(c)
		if err != nil {
			return nil, err
		}
		objects = append(objects, Object{Key: Key{Resource: t.kind.key(), Namespace: c.Namespace, Name: c.Name}, Source: Decoded(value)})
	}
	return objects, nil
}

// object names a conflict after its object and its field: the same on every node.
func (c *ConflictSpec) object(k *kind) *Conflict {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.Resource, c.Namespace, c.Name, c.Field}, "\x00")))
	o := &Conflict{Spec: *c}
	o.APIVersion, o.Kind = k.GroupVersion().String(), k.Kind
	o.Namespace, o.Name = or(c.Namespace, metav1.NamespaceDefault), fmt.Sprintf("%s.%s.%x", strings.ToLower(c.Kind), c.Name, sum[:4])
	return o
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
