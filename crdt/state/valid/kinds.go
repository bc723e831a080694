package valid

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validation follows Kubernetes 1.35 (pkg/apis/{core,apps}/validation) in rules
// and messages, for the fields that holon honours.

// configMapBytesMax is the most a ConfigMap may hold, as in Kubernetes.
const configMapBytesMax = 1 << 20

func validateMetadata(m *metav1.ObjectMeta, namespaced bool, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMeta(m, namespaced, name, field.NewPath("metadata"))
}

// Namespace says what is wrong with a namespace.
func Namespace(n *corev1.Namespace) field.ErrorList {
	return validateMetadata(&n.ObjectMeta, false, apivalidation.ValidateNamespaceName)
}

// DrainAnnotation is holon's own, see state.DrainAnnotation; DrainOn its only value.
const (
	DrainAnnotation = "holon.dev/drain"
	DrainOn         = "true"
)

var drainPath = field.NewPath("metadata", "annotations").Key(DrainAnnotation)

// Node says what is wrong with a node.
func Node(n *corev1.Node) field.ErrorList {
	errs := validateMetadata(&n.ObjectMeta, false, apivalidation.NameIsDNSSubdomain)
	if v, ok := n.Annotations[DrainAnnotation]; ok && v != DrainOn {
		errs = append(errs, field.NotSupported(drainPath, v, []string{DrainOn}))
	}
	seen := map[string]bool{}
	for i, t := range n.Spec.Taints {
		at := field.NewPath("spec", "taints").Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		for _, msg := range validation.IsValidLabelValue(t.Value) {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, msg))
		}
		switch t.Effect {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		case "":
			errs = append(errs, field.Required(at.Child("effect"), ""))
		default:
			errs = append(errs, field.NotSupported(at.Child("effect"), t.Effect, []corev1.TaintEffect{
				corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}))
		}
		if id := t.Key + ":" + string(t.Effect); seen[id] {
			errs = append(errs, field.Duplicate(at, t))
		} else {
			seen[id] = true
		}
	}
	return errs
}

// NodeUpdate lets only labels, annotations, taints and unschedulable change. A drain
// begins on a cordoned node: without that the annotation asks for nothing.
func NodeUpdate(n, old *corev1.Node) field.ErrorList {
	_, drains := n.Annotations[DrainAnnotation]
	if _, drained := old.Annotations[DrainAnnotation]; drains && !drained && !n.Spec.Unschedulable {
		return field.ErrorList{field.Forbidden(drainPath, "a node is drained while it is cordoned: set spec.unschedulable with it, as `holon drain` does")}
	}
	same := old.Spec.DeepCopy()
	same.Unschedulable, same.Taints = n.Spec.Unschedulable, n.Spec.Taints
	if equality.Semantic.DeepEqual(*same, n.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "node updates may only change labels, annotations, taints, or unschedulable")}
}

// ConfigMap says what is wrong with a ConfigMap.
func ConfigMap(c *corev1.ConfigMap) field.ErrorList {
	errs := validateMetadata(&c.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	size := 0
	key := func(at *field.Path, key string, bytes int) {
		size += bytes
		for _, msg := range validation.IsConfigMapKey(key) {
			errs = append(errs, field.Invalid(at.Key(key), key, msg))
		}
	}
	for k, v := range c.Data {
		key(field.NewPath("data"), k, len(v))
		if _, twice := c.BinaryData[k]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(k), k, "duplicate of key present in binaryData"))
		}
	}
	for k, v := range c.BinaryData {
		key(field.NewPath("binaryData"), k, len(v))
	}
	if size > configMapBytesMax {
		errs = append(errs, field.TooLong(field.NewPath(""), "", configMapBytesMax))
	}
	return errs
}

// ConfigMapUpdate guards an immutable ConfigMap.
func ConfigMapUpdate(c, old *corev1.ConfigMap) field.ErrorList {
	if !deref(old.Immutable) {
		return nil
	}
	const why = "field is immutable when `immutable` is set"
	var errs field.ErrorList
	if !deref(c.Immutable) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), why))
	}
	if !equality.Semantic.DeepEqual(c.Data, old.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), why))
	}
	if !equality.Semantic.DeepEqual(c.BinaryData, old.BinaryData) {
		errs = append(errs, field.Forbidden(field.NewPath("binaryData"), why))
	}
	return errs
}

// Pod says what is wrong with a pod.
func Pod(p *corev1.Pod) field.ErrorList {
	errs := validateMetadata(&p.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	errs = append(errs, validatePolicies(p.Annotations)...)
	return append(errs, validatePodSpec(&p.Spec, field.NewPath("spec"))...)
}

// PodCreate refuses what only holon may set on a pod.
func PodCreate(p *corev1.Pod) field.ErrorList {
	if len(p.OwnerReferences) > 0 {
		return field.ErrorList{field.Forbidden(field.NewPath("metadata", "ownerReferences"),
			"only the pods that holon derives from a workload have owners")}
	}
	return nil
}

// workloadOf is the kind that people write where a pod is owned by one.
func workloadOf(kind string) string {
	if kind == "ReplicaSet" {
		return "Deployment"
	}
	return kind
}

// PodUpdate lets only images change, and of a derived pod only labels and
// annotations: its spec is its workload's.
func PodUpdate(p, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(p.OwnerReferences, old.OwnerReferences) {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "ownerReferences"), "may not be changed"))
	}
	if len(old.OwnerReferences) > 0 && !equality.Semantic.DeepEqual(p.Finalizers, old.Finalizers) {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "finalizers"), "a pod that holon derives from a workload has none"))
	}
	was := old.DeepCopy()
	DefaultPod(was) // later versions of holon may fill in more
	same := &was.Spec
	same.Priority = p.Spec.Priority // follows from the class
	why := "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`"
	if len(old.OwnerReferences) > 0 {
		owner := old.OwnerReferences[0]
		why = fmt.Sprintf("this pod is derived from %s %s: change its %s", owner.Kind, owner.Name, workloadOf(owner.Kind))
	} else if before, now := allContainers(same), allContainers(&p.Spec); len(before) == len(now) {
		for i := range before {
			before[i].Image = now[i].Image
		}
	}
	if !equality.Semantic.DeepEqual(*same, p.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), why))
	}
	return errs
}
