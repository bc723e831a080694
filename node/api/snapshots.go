package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"holon/crdt/state"
)

// Snapshot asks nodes to keep a copy of the cluster's state, each as it has it when it writes
// the copy, each on its own disk.
type Snapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              SnapshotSpec   `json:"spec,omitempty"`
	Status            SnapshotStatus `json:"status,omitempty"`
}

// SnapshotSpec says who is to keep a copy.
type SnapshotSpec struct {
	Nodes []string `json:"nodes,omitempty"` // empty: every member
}

// SnapshotStatus is derived from what the nodes say.
type SnapshotStatus struct {
	Phase  string         `json:"phase,omitempty"`
	Copies []SnapshotCopy `json:"copies,omitempty"`
}

// SnapshotCopy is that of one node.
type SnapshotCopy struct {
	Node    string `json:"node"`
	State   string `json:"state"`
	Bytes   int64  `json:"bytes,omitempty"`
	Objects int64  `json:"objects,omitempty"`
	TakenAt string `json:"takenAt,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Message string `json:"message,omitempty"`
	// Also are the UIDs of Snapshots that lost the name to this one.
	Also []string `json:"also,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (s *Snapshot) DeepCopyObject() runtime.Object {
	out := *s
	s.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Nodes, out.Status.Copies = slices.Clone(s.Spec.Nodes), slices.Clone(s.Status.Copies)
	for i := range out.Status.Copies {
		out.Status.Copies[i].Also = slices.Clone(out.Status.Copies[i].Also)
	}
	return &out
}

// SwaggerDoc is what `kubectl explain snapshot` says.
func (Snapshot) SwaggerDoc() map[string]string {
	return map[string]string{
		"":       "Snapshot asks nodes to keep a copy of the cluster's state: a recovery point on their own disks. Each copy is of the moment at which its node wrote it and holds what that node knew then, so two copies may differ, and on a side of a partition a copy is of that side. A copy holds the cluster's state, Secrets sealed, and no data of volumes.",
		"spec":   "Who is to keep a copy. It cannot be changed.",
		"status": "What the nodes say of their copies, as far as the node that is asked knows.",
	}
}

// SwaggerDoc documents the fields.
func (SnapshotSpec) SwaggerDoc() map[string]string {
	return map[string]string{
		"":      "SnapshotSpec says who is to keep a copy.",
		"nodes": "The names of the nodes that are to keep a copy. None: every member does, also one that joins later, which writes its copy then.",
	}
}

// SwaggerDoc documents the fields.
func (SnapshotStatus) SwaggerDoc() map[string]string {
	return map[string]string{
		"":       "SnapshotStatus is derived from what the nodes say, and never stored.",
		"phase":  "Pending: a node in reach has not written its copy yet. Kept: every node that was asked keeps one. Partial: some do, and no other one in reach is about to. Failed: none does.",
		"copies": "One for each node that was asked, by name.",
	}
}

// SwaggerDoc documents the fields.
func (SnapshotCopy) SwaggerDoc() map[string]string {
	return map[string]string{
		"":        "SnapshotCopy is what a node says of its copy.",
		"node":    "The node that keeps it.",
		"state":   "Kept: it is on the node's disk. Writing. Failed or Refused (there is no room): message says why, and it is tried again twice a minute. Waiting: the node has said nothing of it.",
		"bytes":   "The size of the file.",
		"objects": "How many objects of users are in it.",
		"takenAt": "When it was written, by the clock of its node.",
		"sha256":  "The checksum of the file, as `holon snapshot inspect` shows it.",
		"message": "What else is to be said of it.",
		"also":    "The UIDs of Snapshots that were made under this name on another side of a partition, and whose copies the node keeps, too, until this one is deleted.",
	}
}

// SnapshotQuery asks for the file that nodes keep for a Snapshot.
type SnapshotQuery struct {
	Name, UID string
	Nodes     []string // any of them
	Actor     Actor
}

var snapshotKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: holonGroup, Version: holonVersion, Kind: "Snapshot"},
	plural:           "snapshots", singular: "snapshot", short: []string{"snap"}, verbs: allVerbs,
	subresources: []subresource{{"data", schema.GroupVersionKind{Group: holonGroup, Version: holonVersion, Kind: "Snapshot"}, []string{"get"}}},
	make:         func() runtime.Object { return &Snapshot{} },
	fields:       merged(typeRules.at(""), metadataRules.at("metadata"), fieldRules{honoured: []string{"nodes"}}.at("spec")),
	validate:     on(validSnapshot), validateUpdate: onUpdate(validSnapshotUpdate),
	columns: []metav1.TableColumnDefinition{nameColumn, column("Phase"), column("Copies"), column("Bytes"), column("Age")},
	row:     row(snapshotRow),
}

func snapshotRow(s *Snapshot) []any {
	kept, largest := 0, int64(0)
	for i := range s.Status.Copies {
		if c := &s.Status.Copies[i]; c.State == string(state.CopyKept) {
			kept, largest = kept+1, max(largest, c.Bytes)
		}
	}
	return []any{s.Name, s.Status.Phase, fmt.Sprintf("%d/%d", kept, len(s.Status.Copies)), largest, age(s.CreationTimestamp)}
}

// snapshotNodesMax bounds the names in a spec.
const snapshotNodesMax = 256

func validSnapshot(s *Snapshot) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&s.ObjectMeta, false, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	at := field.NewPath("spec", "nodes")
	if len(s.Spec.Nodes) > snapshotNodesMax {
		return append(errs, field.TooMany(at, len(s.Spec.Nodes), snapshotNodesMax))
	}
	for i, node := range s.Spec.Nodes {
		for _, why := range apivalidation.NameIsDNSSubdomain(node, false) {
			errs = append(errs, field.Invalid(at.Index(i), node, why))
		}
		if slices.Contains(s.Spec.Nodes[:i], node) {
			errs = append(errs, field.Duplicate(at.Index(i), node))
		}
	}
	return errs
}

func validSnapshotUpdate(s, old *Snapshot) field.ErrorList {
	if apiequality.Semantic.DeepEqual(s.Spec, old.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "a Snapshot asks for what is to be kept once; make another one")}
}

// snapshotData streams a copy from whichever node keeps it, or from the one that is named; or one
// for a Snapshot that lost the name to this one, by its UID.
func (s *Server) snapshotData(w http.ResponseWriter, r *http.Request, t *target) error {
	o, err := s.find(t)
	if err != nil {
		return err
	}
	var snap Snapshot
	text, err := json.Marshal(o.Value())
	if err == nil {
		err = json.Unmarshal(text, &snap)
	}
	if err != nil {
		return err
	}
	node, uid := r.URL.Query().Get("node"), r.URL.Query().Get("uid")
	q := SnapshotQuery{Name: t.name, UID: or(uid, string(snap.UID)), Actor: actingOf(r.Context())}
	why := ""
	for i := range snap.Status.Copies {
		c := &snap.Status.Copies[i]
		switch {
		case node != "" && c.Node != node:
		case slices.Contains(c.Also, uid), q.UID == string(snap.UID) && c.State == string(state.CopyKept):
			q.Nodes = append(q.Nodes, c.Node)
		case node != "" && q.UID == string(snap.UID):
			why = fmt.Sprintf(" (%s)", or(c.Message, c.State))
		}
	}
	switch {
	case len(q.Nodes) == 0 && node == "":
		return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, "no node keeps a copy for %s %q", t.kind.groupResource(), t.name)
	case len(q.Nodes) == 0:
		return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, "%s keeps no copy for %s %q%s", node, t.kind.groupResource(), t.name, why)
	}
	return s.stream(w, t.kind.groupResource(), t.name, func(out io.Writer) error { return s.config.Backend.SnapshotData(r.Context(), q, out) })
}
