package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state/valid"
)

// Claim is a PersistentVolumeClaim: a directory that one node keeps for the pods that
// name the claim. Which node that is follows from where the first of them runs. Life cycle:
//
//	unbound -> bound to a node -> (abandoned: unbound, next round -> bound -> ...)*
//
// Two sides of a split may both bind it. The register is one, so a merge keeps one of the
// two; what the other node has stays there, unused.
type Claim struct {
	Key             Key
	UID             crdt.UID
	Name, Namespace string
	Binding
	Request   string // of storage, as it was asked for
	Object    map[string]any
	Conflicts []Conflict
	// Losers are the objects that bore this name, too, and were deleted by a merge and
	// not by a user: what their volumes hold stays.
	Losers map[crdt.UID]bool
	modes  []any
}

// Binding is where the data of a claim is: a node, and the volume's name there; both
// empty: nowhere. Round counts how often the data was given up, and is the rank of the
// write, so that no side of a split goes back to a volume that another has given up.
type Binding struct {
	Node   string `json:"node,omitempty"`
	Volume string `json:"volume,omitempty"`
	Round  uint64 `json:"round,omitempty"`
	From   string `json:"from,omitempty"` // the node whose volume was given up last
}

// ClaimBinding is the hidden register of a claim's Binding.
const ClaimBinding = "#binding"

// LocalClass is the one StorageClass; LocalProvisioner is who makes its volumes.
const (
	LocalClass       = valid.LocalClass
	LocalProvisioner = "holon.dev/local"
)

const volumePrefix = "pvc-"

// NextVolume names the volume of an unbound claim: another one in each round, so that no
// directory of a former one is taken for it.
func (c *Claim) NextVolume() string {
	name := volumePrefix + c.UID.String()
	if c.Round > 0 {
		name += "-" + strconv.FormatUint(c.Round, 10)
	}
	return name
}

// ClaimOfVolume is the UID of the claim that a volume was made for.
func ClaimOfVolume(name string) (crdt.UID, bool) {
	const uidLen = 36
	text, ok := strings.CutPrefix(name, volumePrefix)
	if !ok || len(text) < uidLen || len(text) > uidLen && text[uidLen] != '-' {
		return crdt.UID{}, false
	}
	uid, err := crdt.ParseUID(text[:uidLen])
	return uid, err == nil
}

// Had reports whether a volume was made for the claim, or for an object that lost its name
// to it.
func (c *Claim) Had(volume string) bool {
	uid, ok := ClaimOfVolume(volume)
	return ok && (uid == c.UID || c.Losers[uid])
}

// DecodeClaim reads a claim from its record; nil if it is gone.
func DecodeClaim(key Key, rec *crdt.Record) (*Claim, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	var typed corev1.PersistentVolumeClaim
	if err := Convert(obj.Value, &typed); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	_, namespace, name := key.Split()
	live := rec.Live()
	c := &Claim{Key: key, UID: obj.UID, Name: name, Namespace: namespace, Object: obj.Value, Conflicts: Conflicts(key, rec), Losers: losersIn(live)}
	request := typed.Spec.Resources.Requests[corev1.ResourceStorage]
	c.Request = request.String()
	for _, mode := range typed.Spec.AccessModes {
		c.modes = append(c.modes, string(mode))
	}
	return c, DecodeRegisters(key, live, map[string]any{ClaimBinding: &c.Binding})
}

// BindingOf is what one object of a claim's record says of its binding.
func BindingOf(o *crdt.Object) (b Binding) {
	_ = json.Unmarshal(o.Registers[ClaimBinding].Value, &b) // malformed ones are none; Check tells
	return b
}

// ClaimUse is a volume of a pod that shows a claim.
type ClaimUse struct {
	Volume   string // its name in the pod
	Claim    Key
	ReadOnly bool
}

// ClaimTemplate is one of a StatefulSet's volumeClaimTemplates.
type ClaimTemplate struct {
	Name  string
	value map[string]any
}

// claimName names the claim of an ordinal, as Kubernetes does.
func (t *ClaimTemplate) claimName(set string, ordinal int) string {
	return t.Name + "-" + SetPodName(set, ordinal)
}

// Claims lists the claims that the slot of an index uses at a template, in the order of
// the pod's volumes. Those of claim templates come last, and in the place of volumes of
// the same name.
func (w *Workload) Claims(t *corev1.PodTemplateSpec, index int) (uses []ClaimUse) {
	for i := range t.Spec.Volumes {
		v := &t.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil && !w.claimsFor(v.Name) {
			uses = append(uses, ClaimUse{v.Name, MakeKey(Claims, w.Namespace, v.PersistentVolumeClaim.ClaimName), v.PersistentVolumeClaim.ReadOnly})
		}
	}
	for i := range w.ClaimTemplates {
		c := &w.ClaimTemplates[i]
		uses = append(uses, ClaimUse{c.Name, MakeKey(Claims, w.Namespace, c.claimName(w.Name, index)), false})
	}
	return uses
}

// claimsFor reports whether a volume of the pods comes from a claim template.
func (w *Workload) claimsFor(volume string) bool {
	for i := range w.ClaimTemplates {
		if w.ClaimTemplates[i].Name == volume {
			return true
		}
	}
	return false
}

// PodSpec is what the pod of a slot is made from: of a StatefulSet with the volumes of
// its claim templates.
func (w *Workload) PodSpec(t *corev1.PodTemplateSpec, index int) *corev1.PodSpec {
	if len(w.ClaimTemplates) == 0 {
		return &t.Spec
	}
	spec := t.Spec
	spec.Volumes = nil
	for _, v := range t.Spec.Volumes {
		if !w.claimsFor(v.Name) {
			spec.Volumes = append(spec.Volumes, v)
		}
	}
	for i := range w.ClaimTemplates {
		c := &w.ClaimTemplates[i]
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: c.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.claimName(w.Name, index)},
		}})
	}
	return &spec
}

// ofClaims gives a pod the volumes of its claim templates.
func (p *PodFace) ofClaims(spec map[string]any) error {
	own, err := Unstructured(p.Workload.PodSpec(p.Template, p.Slot.Index))
	if err == nil {
		spec["volumes"] = own["volumes"]
	}
	return err
}

// UsesClaim reports whether pods of w at a template name a claim, whatever their slots.
func (w *Workload) UsesClaim(t *corev1.PodTemplateSpec, name string) bool {
	for i := range t.Spec.Volumes {
		if c := t.Spec.Volumes[i].PersistentVolumeClaim; c != nil && c.ClaimName == name {
			return true
		}
	}
	for i := range w.ClaimTemplates {
		ordinal, ok := strings.CutPrefix(name, w.ClaimTemplates[i].Name+"-"+w.Name+"-")
		if ok && ordinal != "" && strings.Trim(ordinal, "0123456789") == "" {
			return true
		}
	}
	return false
}

// readClaimTemplates takes the claim templates of a stored StatefulSet. Its claims bear
// the labels by which it selects its pods.
func (w *Workload) readClaimTemplates(value map[string]any, labels map[string]string) {
	spec, _ := value["spec"].(map[string]any)
	list, _ := spec["volumeClaimTemplates"].([]any)
	for _, e := range list {
		template, _ := e.(map[string]any)
		meta, _ := template["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		if name == "" {
			continue
		}
		claim := map[string]any{"spec": copyObject(object(template, "spec"))}
		if class, ok := object(claim, "spec")["storageClassName"]; !ok || class == "" {
			object(claim, "spec")["storageClassName"] = LocalClass
		}
		if notes, ok := meta["annotations"].(map[string]any); ok {
			object(claim, "metadata")["annotations"] = copyObject(notes)
		}
		all := object(object(claim, "metadata"), "labels")
		if own, ok := meta["labels"].(map[string]any); ok {
			all = copyObject(own)
			object(claim, "metadata")["labels"] = all
		}
		merge(all, labels)
		w.ClaimTemplates = append(w.ClaimTemplates, ClaimTemplate{Name: name, value: claim})
	}
}

// ClaimKey is the key of the claim that a template makes for an ordinal, ClaimAt what it
// says. Both sides of a split make one that says the same but for when it was made.
func (w *Workload) ClaimKey(t *ClaimTemplate, ordinal int) Key {
	return MakeKey(Claims, w.Namespace, t.claimName(w.Name, ordinal))
}

// ClaimAt gives the registers of a new claim.
func (t *ClaimTemplate) ClaimAt(created string) (map[string][]byte, error) {
	value := copyObject(t.value)
	timestamp(object(value, "metadata"), "creationTimestamp", created)
	return FlattenAs(Claims, value)
}

// ClaimFace is a stored claim with what is derived of it. lost: the node that has its
// data is no member any more.
func ClaimFace(c *Claim, lost bool) map[string]any {
	v := WithMeta(c.Key, c.UID.String(), copyObject(c.Object))
	status := map[string]any{"phase": "Pending"}
	if c.Node != "" {
		status["phase"] = "Bound"
		status["accessModes"], status["capacity"] = c.modes, map[string]any{"storage": c.Request}
		merge(object(object(v, "metadata"), "annotations"), map[string]string{
			"pv.kubernetes.io/bind-completed": "yes", "volume.kubernetes.io/selected-node": c.Node,
			"volume.kubernetes.io/storage-provisioner": LocalProvisioner,
		})
		object(v, "spec")["volumeName"] = c.Volume
	}
	if lost {
		status["phase"] = "Lost"
	}
	if list := mergeConditions(c.Conflicts, ""); len(list) > 0 {
		status["conditions"] = list
	}
	v["status"] = status
	return v
}

// VolumeFace is the PersistentVolume of a claim that is bound.
func VolumeFace(c *Claim) map[string]any {
	meta := map[string]any{
		"name": c.Volume, "uid": DerivedUID("persistentvolume", c.Volume, c.Node).String(),
		"annotations": map[string]any{"pv.kubernetes.io/provisioned-by": LocalProvisioner},
	}
	stored, _ := c.Object["metadata"].(map[string]any)
	if created, ok := stored["creationTimestamp"].(string); ok {
		timestamp(meta, "creationTimestamp", created)
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta,
		"spec": map[string]any{
			"accessModes": c.modes, "capacity": map[string]any{"storage": c.Request}, "storageClassName": LocalClass,
			"persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem", "local": map[string]any{"path": c.Volume},
			"claimRef": map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": c.Namespace, "name": c.Name, "uid": c.UID.String()},
			"nodeAffinity": map[string]any{"required": map[string]any{"nodeSelectorTerms": []any{map[string]any{"matchExpressions": []any{
				map[string]any{"key": "kubernetes.io/hostname", "operator": "In", "values": []any{c.Node}},
			}}}}},
		},
		"status": map[string]any{"phase": "Bound"},
	}
}

// checkClaims: a binding is whole, names a volume of its own claim, and its round is the
// rank of its write, of losing writes too.
func (c *checker) checkClaims() {
	for _, key := range c.of(Claims) {
		for _, o := range sortedObjects(c.doc[key]) {
			g, ok := o.Registers[ClaimBinding]
			if !ok {
				continue
			}
			c.checkBinding(key, o, g.Value, g.Stamp.Rank)
			for _, s := range g.Siblings {
				c.checkBinding(key, o, s.Value, s.Stamp.Rank)
			}
		}
	}
}

func (c *checker) checkBinding(key Key, o *crdt.Object, value []byte, rank uint64) {
	var b Binding
	err := json.Unmarshal(value, &b)
	of, ok := ClaimOfVolume(b.Volume)
	_, inherited := o.Registers[ConflictPath(of)]
	switch {
	case err != nil || b.Round != rank:
		c.find(Broken, key, "object %s: the binding %s is written with rank %d", o.UID, cmp.Or(string(value), "(none)"), rank)
	case (b.Node == "") != (b.Volume == ""):
		c.find(Broken, key, "object %s: the binding %s is not whole", o.UID, value)
	case b.Node != "" && (!ok || of != o.UID && !inherited):
		c.find(Broken, key, "object %s is bound to %s, which is not its own", o.UID, b.Volume)
	}
}
