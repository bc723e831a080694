package api

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// claimKind and its kin: a claim is stored, its volume is derived of it, and the class is
// given.
var claimKind = &kind{
	GroupVersionKind: core("PersistentVolumeClaim"), plural: "persistentvolumeclaims", singular: "persistentvolumeclaim", short: []string{"pvc"},
	namespaced: true, verbs: allVerbs,
	make:     func() runtime.Object { return &corev1.PersistentVolumeClaim{} },
	fields:   merged(typeRules.at(""), metadataRules.at("metadata"), claimRules.at("spec")),
	defaults: by(valid.DefaultClaim), validate: on(valid.Claim), validateCreate: on(valid.ClaimCreate), validateUpdate: onUpdate(valid.ClaimUpdate),
	carry: carryVolume,
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("Status"), column("Volume"), column("Capacity"), column("Access Modes"), column("StorageClass"),
		column("VolumeAttributesClass"), column("Age"), wide("VolumeMode"),
	},
	row: row(claimRow),
}

// claimRules classify corev1.PersistentVolumeClaimSpec.
var claimRules = fieldRules{
	honoured: []string{
		"accessModes", "resources", "resources.requests", "resources.requests.storage", "storageClassName", "volumeMode", "volumeName",
	},
	warned: map[string]string{"resources.limits": "not enforced: a volume takes what its node's disk has"},
	refused: map[string]string{
		"selector":                  "there are no volumes to choose from: a claim gets a new one where its first pod runs",
		"dataSource":                "a volume begins empty: let a Job or the program itself fill it",
		"dataSourceRef":             "a volume begins empty: let a Job or the program itself fill it",
		"volumeAttributesClassName": "a volume is a directory and has no attributes",
	},
}

// carryVolume leaves a claim what its binding has given it, if a client does not send it
// back.
func carryVolume(obj, old runtime.Object) {
	now, was := obj.(*corev1.PersistentVolumeClaim), old.(*corev1.PersistentVolumeClaim)
	if now.Spec.VolumeName == "" {
		now.Spec.VolumeName = was.Spec.VolumeName
	}
	for _, name := range []string{"pv.kubernetes.io/bind-completed", "volume.kubernetes.io/selected-node", "volume.kubernetes.io/storage-provisioner"} {
		if text, ok := was.Annotations[name]; ok {
			metav1.SetMetaDataAnnotation(&now.ObjectMeta, name, text)
		}
	}
}

// modes abbreviates access modes as kubectl's printer does.
func modes(list []corev1.PersistentVolumeAccessMode) string {
	short := make([]string, len(list))
	for i, mode := range list {
		short[i] = map[corev1.PersistentVolumeAccessMode]string{corev1.ReadWriteOnce: "RWO"}[mode]
	}
	return strings.Join(short, ",")
}

func storageOf(list corev1.ResourceList) string {
	size, ok := list[corev1.ResourceStorage]
	if !ok {
		return ""
	}
	return size.String()
}

func claimRow(c *corev1.PersistentVolumeClaim) []any {
	return []any{
		c.Name, string(c.Status.Phase), c.Spec.VolumeName, storageOf(c.Status.Capacity), modes(c.Status.AccessModes), deref(c.Spec.StorageClassName),
		"<unset>", age(c.CreationTimestamp), string(deref(c.Spec.VolumeMode)),
	}
}

const (
	volumesDerived = "holon makes the volume of a claim where the claim's first pod runs; create a PersistentVolumeClaim"
	volumesGo      = "a volume goes with its claim; delete the PersistentVolumeClaim, or see holon volume"
)

var volumeKind = &kind{
	GroupVersionKind: core("PersistentVolume"), plural: "persistentvolumes", singular: "persistentvolume", short: []string{"pv"},
	verbs:   readVerbs,
	refuses: map[string]string{"create": volumesDerived, "update": volumesDerived, "patch": volumesDerived, "delete": volumesGo},
	make:    func() runtime.Object { return &corev1.PersistentVolume{} },
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("Capacity"), column("Access Modes"), column("Reclaim Policy"), column("Status"), column("Claim"), column("StorageClass"),
		column("VolumeAttributesClass"), column("Reason"), column("Age"), wide("VolumeMode"),
	},
	row: row(func(v *corev1.PersistentVolume) []any {
		claim := ""
		if r := v.Spec.ClaimRef; r != nil {
			claim = r.Namespace + "/" + r.Name
		}
		return []any{
			v.Name, storageOf(v.Spec.Capacity), modes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), string(v.Status.Phase), claim,
			v.Spec.StorageClassName, "<unset>", v.Status.Reason, age(v.CreationTimestamp), string(deref(v.Spec.VolumeMode)),
		}
	}),
}

const oneClass = "there is one class, " + valid.LocalClass + ": a directory of the node where the first pod of a claim runs"

var storageClassKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass"},
	plural:           "storageclasses", singular: "storageclass", short: []string{"sc"},
	verbs:   readVerbs,
	refuses: map[string]string{"create": oneClass, "update": oneClass, "patch": oneClass, "delete": oneClass},
	make:    func() runtime.Object { return &storagev1.StorageClass{} },
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("Provisioner"), column("ReclaimPolicy"), column("VolumeBindingMode"), column("AllowVolumeExpansion"), column("Age"),
	},
	row: row(func(s *storagev1.StorageClass) []any {
		name := s.Name
		if s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			name += " (default)"
		}
		return []any{name, s.Provisioner, string(deref(s.ReclaimPolicy)), string(deref(s.VolumeBindingMode)), deref(s.AllowVolumeExpansion), age(s.CreationTimestamp)}
	}),
}

// localClass is the class that every cluster has.
func localClass() Object {
	return Object{Key: Key{Resource: StorageClasses, Name: valid.LocalClass}, Source: Decoded(map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
		"metadata": map[string]any{
			"name": valid.LocalClass, "uid": state.DerivedUID("given", StorageClasses, valid.LocalClass).String(),
			"annotations": map[string]any{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		"provisioner": state.LocalProvisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true,
	})}
}
