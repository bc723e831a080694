package api

import (
	"fmt"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Who owns which field stands in metadata.managedFields (KEP-555). holon keeps
// it from an object's first server-side apply on; what was there before belongs
// to "before-first-apply", as in Kubernetes for objects older than ownership.
// Most objects never see such an apply, and the entries would add a third to
// the size of a small one, on every node.

// applied merges what a manager applies into live, nil for an object that is
// not there yet. The result holds the new managedFields. It fails with a
// conflict that names fields and owners, unless force takes them over.
func (k *kind) applied(live, config map[string]any, manager string, force bool) (map[string]any, error) {
	owners, err := k.owners()
	if err != nil {
		return nil, err
	}
	before := &unstructured.Unstructured{Object: map[string]any{"apiVersion": k.GroupVersion().String(), "kind": k.Kind}}
	if live != nil {
		before.Object = withoutStatus(live)
	}
	after, err := owners.Apply(before, &unstructured.Unstructured{Object: withoutStatus(config)}, manager, force)
	if err != nil {
		if apierrors.ReasonForError(err) != "" {
			return nil, err
		}
		return nil, apierrors.NewBadRequest("the object cannot be applied: " + err.Error())
	}
	value := after.(*unstructured.Unstructured).Object
	if live != nil && sameButForTimes(managedOf(value), managedOf(live)) {
		setManaged(value, managedOf(live))
	}
	return value, nil
}

// updated says who owns what after a manager changed live into value by other
// means than apply. It changes value's managedFields and nothing else.
func (k *kind) updated(live, value map[string]any, manager string) error {
	setManaged(value, managedOf(live))
	if managedOf(live) == nil {
		return nil
	}
	owners, err := k.owners()
	if err != nil {
		return err
	}
	before := &unstructured.Unstructured{Object: withoutStatus(live)}
	after := owners.UpdateNoErrors(before, &unstructured.Unstructured{Object: withoutStatus(value)}, manager)
	if now := managedOf(after.(*unstructured.Unstructured).Object); !sameButForTimes(now, managedOf(live)) {
		setManaged(value, now)
	}
	return nil
}

// ownersOf holds a *managedfields.FieldManager for each kind that was asked for:
// making one reads the whole schema of the kind.
var ownersOf sync.Map

func (k *kind) owners() (*managedfields.FieldManager, error) {
	if made, ok := ownersOf.Load(k.key()); ok {
		return made.(*managedfields.FieldManager), nil
	}
	types, err := mergeTypesOf(k.key())
	if err != nil {
		return nil, err
	}
	// Status is nobody's: the nodes derive it.
	ignored := map[fieldpath.APIVersion]fieldpath.Filter{
		fieldpath.APIVersion(k.GroupVersion().String()): fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status"))),
	}
	made, err := managedfields.NewDefaultCRDFieldManager(
		types, oneVersion{}, oneVersion{}, oneVersion{}, k.GroupVersionKind, k.GroupVersion(), "", ignored)
	if err != nil {
		return nil, fmt.Errorf("ownership of the fields of a %s: %w", k.Kind, err)
	}
	stored, _ := ownersOf.LoadOrStore(k.key(), made)
	return stored.(*managedfields.FieldManager), nil
}

// oneVersion converts, defaults and makes unstructured objects of kinds that have
// one version each. Defaults come later, from the kind's own function.
type oneVersion struct{}

func (oneVersion) Convert(in, out, _ any) error {
	return fmt.Errorf("a %T is not converted to a %T here", in, out) // nobody asks
}

func (oneVersion) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

func (oneVersion) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

func (oneVersion) Default(runtime.Object) {}

func (oneVersion) New(schema.GroupVersionKind) (runtime.Object, error) {
	return &unstructured.Unstructured{Object: map[string]any{}}, nil
}

// withoutStatus is a deep copy that others may change.
func withoutStatus(value map[string]any) map[string]any {
	shallow := make(map[string]any, len(value))
	for name, v := range value {
		if name != "status" {
			shallow[name] = v
		}
	}
	return runtime.DeepCopyJSON(shallow)
}

func managedOf(value map[string]any) []any {
	m, _ := value["metadata"].(map[string]any)
	entries, _ := m["managedFields"].([]any)
	return entries
}

func setManaged(value map[string]any, entries []any) {
	m, _ := value["metadata"].(map[string]any)
	if len(entries) == 0 {
		delete(m, "managedFields")
		return
	}
	m["managedFields"] = entries
}

// sameButForTimes compares entries as Kubernetes does before it calls an apply a
// change: saying the same again is none.
func sameButForTimes(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := timeless(a[i]), timeless(b[i])
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

func timeless(entry any) map[string]any {
	m, _ := entry.(map[string]any)
	out := make(map[string]any, len(m))
	for name, v := range m {
		if name != "time" {
			out[name] = v
		}
	}
	return out
}
