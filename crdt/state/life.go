package state

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/crdt"
)

// Life is what an object says of its own end. One that shall be deleted and has
// finalizers bears a mark, metadata.deletionTimestamp, and is there until they are gone:
//
//	alive -> deleted
//	alive -> marked -> (finalizers go, one by one) -> deleted
//
// The mark never goes away, and its time decides nothing. Each finalizer is a register
// of its own, so one that either side of a split removes is gone.
type Life struct {
	UID        crdt.UID
	Deleting   bool // it bears the mark
	Finalizers []string
	Owners     []Owner
}

// Owner is an entry of metadata.ownerReferences.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Blocks     bool   `json:"blockOwnerDeletion"`
}

// The finalizers that holon itself removes, as Kubernetes' collector does: what depends
// on the object is deleted first, or goes on without its owner.
const (
	ForegroundFinalizer = "foregroundDeletion"
	OrphanFinalizer     = "orphan"
)

// Cascade is what becomes of what depends on an object that is deleted, as
// DeleteOptions.propagationPolicy has it; empty: what the finalizers say, or Background.
type Cascade string

// The cascades.
const (
	Background Cascade = "Background"
	Foreground Cascade = "Foreground"
	Orphan     Cascade = "Orphan"
)

const metadataPath = "/metadata"

// ofLife are the fields of the metadata that Life is read from.
var ofLife = []string{"deletionTimestamp", "finalizers", "ownerReferences"}

// LifeOf reads what an object says of its end; all but the UID is empty for most.
func LifeOf(o *crdt.Object) Life {
	if o == nil {
		return Life{}
	}
	life, values := Life{UID: o.UID}, map[string][]byte{}
	for path, g := range o.Registers {
		if rest, ok := strings.CutPrefix(path, metadataPath+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			if slices.Contains(ofLife, name) {
				values[path] = g.Value
			}
		}
	}
	if len(values) == 0 {
		return life
	}
	value, err := Build(values)
	if err != nil {
		return life // it makes no sense, and whoever shows the object says so
	}
	meta, _ := value["metadata"].(map[string]any)
	_, life.Deleting = meta["deletionTimestamp"]
	life.Finalizers = finalizers(meta)
	life.Owners = owners(meta)
	return life
}

func finalizers(meta map[string]any) (names []string) {
	list, _ := meta["finalizers"].([]any)
	for _, f := range list {
		if name, ok := f.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

func owners(meta map[string]any) (list []Owner) {
	refs, _ := meta["ownerReferences"].([]any)
	for _, ref := range refs {
		var o Owner
		if Convert(ref, &o) == nil {
			list = append(list, o)
		}
	}
	return list
}

// Held reports whether a finalizer keeps a deleted object.
func (l *Life) Held() bool { return len(l.Finalizers) > 0 }

// InForeground reports whether an object waits for those that depend on it to go first.
func (l *Life) InForeground() bool {
	return l.Deleting && slices.Contains(l.Finalizers, ForegroundFinalizer)
}

// Finalized lists the finalizers of an object that is deleted with a cascade.
func (l *Life) Finalized(how Cascade) []string {
	own := map[Cascade]string{Foreground: ForegroundFinalizer, Orphan: OrphanFinalizer}
	if how == "" {
		return l.Finalizers
	}
	list := slices.DeleteFunc(slices.Clone(l.Finalizers), func(f string) bool {
		return f == ForegroundFinalizer || f == OrphanFinalizer
	})
	if name := own[how]; name != "" {
		list = append(list, name)
	}
	return list
}

// Mark gives the registers to write so that an object bears the mark and these
// finalizers; none if it does.
func (l *Life) Mark(key Key, o *crdt.Object, finalizers []string, when string) (map[string][]byte, error) {
	return editMeta(key, o, func(meta map[string]any) {
		setList(meta, "finalizers", finalizers)
		if !l.Deleting {
			meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = when, int64(0)
		}
	})
}

// WithoutFinalizer gives the registers to write so that an object has a finalizer no more.
func (l *Life) WithoutFinalizer(key Key, o *crdt.Object, name string) (map[string][]byte, error) {
	left := slices.DeleteFunc(slices.Clone(l.Finalizers), func(f string) bool { return f == name })
	return editMeta(key, o, func(meta map[string]any) { setList(meta, "finalizers", left) })
}

// Disowned gives the registers to write so that an object goes on without some owners.
func Disowned(key Key, o *crdt.Object, gone func(Owner) bool) (map[string][]byte, error) {
	cron := false // that is among them
	delta, err := editMeta(key, o, func(meta map[string]any) {
		refs, _ := meta["ownerReferences"].([]any)
		var left []any
		for i, owner := range owners(meta) {
			if !gone(owner) {
				left = append(left, refs[i])
			} else {
				cron = cron || owner.Kind == "CronJob"
			}
		}
		setList(meta, "ownerReferences", left)
	})
	if err == nil && cron && o.Registers[JobOwner].Value != nil {
		delta[JobOwner] = nil
	}
	return delta, err
}

func setList[T any](meta map[string]any, field string, list []T) {
	items := make([]any, len(list))
	for i := range list {
		items[i] = list[i]
	}
	if meta[field] = items; len(items) == 0 {
		delete(meta, field)
	}
}

// editMeta gives the registers to write so that an object's metadata is as edit makes it.
func editMeta(key Key, o *crdt.Object, edit func(meta map[string]any)) (map[string][]byte, error) {
	value, err := BuildObject(o)
	if err != nil {
		return nil, err
	}
	before := map[string]any{"metadata": object(value, "metadata")}
	after := copyObject(before)
	edit(object(after, "metadata"))
	old, err := FlattenAs(key.Resource(), before)
	if err != nil {
		return nil, err
	}
	next, err := FlattenAs(key.Resource(), after)
	if err != nil {
		return nil, err
	}
	return Changes(o.Registers, old, next), nil
}

// MarkPath is the register of the mark.
const MarkPath = metadataPath + "/deletionTimestamp"

// formerPrefix begins the hidden registers of an object that took the place of others
// (see Compacted): <prefix><UID>. Who names one of those as its owner means this one.
const formerPrefix = "#former/"

// Succeeds reports whether an object is the one of a UID, or took its place.
func Succeeds(o *crdt.Object, uid crdt.UID) bool {
	return o != nil && (o.UID == uid || o.Registers[formerPrefix+uid.String()].Value != nil)
}

// Names lists the UIDs by which others may name an object as their owner.
func Names(o *crdt.Object) []string {
	uids := []string{o.UID.String()}
	for _, path := range slices.Sorted(maps.Keys(o.Registers)) {
		if uid, ok := strings.CutPrefix(path, formerPrefix); ok && o.Registers[path].Value != nil {
			uids = append(uids, uid)
		}
	}
	return uids
}

// resourceOf finds the resource of a group and kind, of those that the API shows.
var resourceOf = func() map[schema.GroupKind]string {
	byKind := make(map[schema.GroupKind]string, len(kinds))
	for resource, k := range kinds {
		byKind[schema.FromAPIVersionAndKind(k[0], k[1]).GroupKind()] = resource
	}
	return byKind
}()

// clusterWide are the kinds whose objects are in no namespace.
var clusterWide = map[string]bool{
	Namespaces: true, Nodes: true, PriorityClasses: true, ClusterRoles: true, ClusterRoleBindings: true, Revocations: true, Snapshots: true,
}

// Key is where the owner of an object in a namespace is stored; empty if it is of a kind
// that is not, or is derived.
func (o *Owner) Key(namespace string) Key {
	resource := resourceOf[schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupKind()]
	switch {
	case resource == "" || o.Name == "":
		return ""
	case clusterWide[resource]:
		namespace = ""
	case namespace == "":
		return "" // what is in no namespace is owned by nothing that is in one
	}
	return MakeKey(resource, namespace, o.Name)
}

// InNamespaces lists the kinds that the API shows and that are in namespaces, sorted.
func InNamespaces() (resources []string) {
	for resource := range kinds {
		if !clusterWide[resource] {
			resources = append(resources, resource)
		}
	}
	slices.Sort(resources)
	return resources
}
