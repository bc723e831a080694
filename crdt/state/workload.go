package state

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/crdt"
	"holon/crdt/state/valid"
)

// Workload is what wants replicas. Life cycle of one of its slots:
//
//	unplaced -> home chosen -> running -> (home lost -> stand-in -> home back)*
//	         -> (revision changed -> second run -> first run stops)* -> unwanted
type Workload struct {
	Key        Key
	UID        crdt.UID // of its slots and revisions; see IdentityPath
	ObjectUID  crdt.UID // of the object that the API shows
	Birth      crdt.Dot // of the object
	Name       string
	Namespace  string
	First      int // index of the first slot
	Replicas   int // a DaemonSet's follow from the nodes
	Template   *corev1.PodTemplateSpec
	Revision   string // RevisionHash(Template)
	Generation int64
	Created    string // metadata.creationTimestamp, display only
	// MaxSurge and MaxUnavailable bound a rollout, as absolute numbers.
	MaxSurge, MaxUnavailable int
	Recreate                 bool // old pods stop before new ones start; MaxUnavailable is all
	Policy                        // what becomes of its slots while nodes are in trouble
	Paused                   bool
	MinReady                 time.Duration // a pod that has been ready for less does not count as available
	Deadline                 time.Duration // a rollout that gets no further for longer is said to have failed; 0: never
	Cause                    string        // of the present template, as the user says it; see CauseAnnotation
	Kept                     int           // templates kept for an undo, besides those in use
	InOrder                  bool          // no slot starts before those below it were ready, nor stops before those above are gone
	OnDelete                 bool          // a slot gets the present template when its pod is deleted, and no sooner
	// Partition is the first index of a StatefulSet that gets the present template.
	Partition          int
	surge, unavailable *intstr.IntOrString // of a DaemonSet, see Bounds
	Object             map[string]any      // as stored, to show it
	// Invalid says why the stored object, a merge, is not what runs: all above but
	// Object is of the last valid one. Empty: it is what runs.
	Invalid   string
	Conflicts []Conflict // that nobody has settled
	Job       *Job       // nil: it is none
	// Deleting: it is marked. Its pods run on, but none are updated or retried, as its
	// controller in Kubernetes does not look at it any more.
	Deleting bool
	// Stops: nothing of it runs, though it is still there: it is a Pod that is held, or
	// waits for its pods to go first.
	Stops bool
	Ended Phase // of a Pod that Stops
	// Evicted says why its node has ended a Pod for good; empty: it has not.
	Evicted string
	// ClaimTemplates are those of a StatefulSet: each of its slots has a claim of its own.
	ClaimTemplates []ClaimTemplate
}

// Bare reports whether w is a Pod that nobody else owns.
func (w *Workload) Bare() bool { return w.Key.Resource() == Pods }

// Keeps reports whether pods of w have data that one node keeps: where that is they run,
// and nobody stands in for it.
func (w *Workload) Keeps() bool {
	return len(w.ClaimTemplates) > 0 || slices.ContainsFunc(w.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
}

// Policy is how a workload is treated while its nodes are in trouble.
type Policy = valid.Policy

// StandInAnnotation says whether another node may run a slot while its home cannot;
// StandInNever is one of its values.
const (
	StandInAnnotation = valid.StandInAnnotation
	StandInNever      = valid.StandInNever
)

// standsIn are the kinds whose slots get a stand-in unless they say otherwise. Of all
// others the same thing must not run twice, or is of no use elsewhere.
var standsIn = map[string]bool{Deployments: true, Jobs: true}

// readPolicy reads what annotations and template say.
func (w *Workload) readPolicy(annotations map[string]string) {
	w.Policy = valid.PolicyOf(standsIn[w.Key.Resource()], annotations, w.Template.Spec.Tolerations)
}

// Object is the live object of a record as unstructured JSON.
type Object struct {
	UID   crdt.UID
	Birth crdt.Write
	Value map[string]any
}

// DecodeObject builds the API object that a record holds; ok is false if there
// is no live one.
func DecodeObject(rec *crdt.Record) (o Object, ok bool, err error) {
	live := rec.Live()
	if live == nil {
		return Object{}, false, nil
	}
	value, err := BuildObject(live)
	if err != nil {
		return Object{}, false, err
	}
	return Object{UID: live.UID, Birth: live.Birth, Value: value}, true, nil
}

// readers read what is stored of each kind of workload.
var readers = map[string]func(w *Workload, value map[string]any) error{
	Deployments: (*Workload).fromDeployment, Pods: (*Workload).fromPod,
	StatefulSets: (*Workload).fromStatefulSet, DaemonSets: (*Workload).fromDaemonSet, Jobs: (*Workload).fromJob,
}

// IsWorkload reports whether objects of a resource want slots.
func IsWorkload(resource string) bool { return readers[resource] != nil }

// DecodeWorkload reads a workload from its record.
func DecodeWorkload(key Key, rec *crdt.Record) (*Workload, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	_, namespace, name := key.Split()
	w := &Workload{Key: key, UID: identity(rec.Live()), ObjectUID: obj.UID, Birth: obj.Birth.Dot, Name: name, Namespace: namespace, Object: obj.Value, Conflicts: Conflicts(key, rec)}
	value := obj.Value
	if kept, why := lastValid(key, rec.Live(), value); why != nil {
		value, w.Invalid = kept, why.Error()
	}
	read, ok := readers[key.Resource()]
	if !ok {
		return nil, fmt.Errorf("%s is not a workload", key)
	}
	if err := read(w, value); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if w.Job != nil {
		if err := w.Job.judge(key, rec, w.Replicas); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	w.Revision = RevisionHash(w.Template)
	if w.Keeps() {
		w.StandIn = false
	}
	life := LifeOf(rec.Live())
	w.Deleting = life.Deleting
	err = DecodeRegisters(key, rec.Live(), map[string]any{PodEnded: &w.Ended, PodEvicted: &w.Evicted})
	w.Stops = life.Deleting && (w.Bare() || life.InForeground()) || w.Evicted != ""
	w.Paused = w.Paused || w.Deleting
	w.OnDelete = w.OnDelete || w.Deleting && (w.Set() || w.Daemon())
	return w, err
}

// PodEnded is the hidden register of a Pod that is held by finalizers: the phase in which
// its containers ended.
const PodEnded = "#ended"

// PodEvicted is the hidden register of a Pod that its node has ended for good, and says why.
const PodEvicted = "#evicted"

// Evicted is the reason of a pod that its node has ended because it lacks what that uses.
const Evicted = "Evicted"

func (w *Workload) fromDeployment(value map[string]any) error {
	var d appsv1.Deployment
	if err := Convert(value, &d); err != nil {
		return err
	}
	w.Replicas = 1
	if d.Spec.Replicas != nil {
		w.Replicas = min(max(int(*d.Spec.Replicas), 0), ReplicasMax)
	}
	w.Template, w.Generation, w.Paused = &d.Spec.Template, d.Generation, d.Spec.Paused
	w.readPolicy(d.Annotations)
	w.readRollout(d.Annotations, d.Spec.MinReadySeconds, d.Spec.RevisionHistoryLimit)
	if limit := d.Spec.ProgressDeadlineSeconds; limit != nil && *limit < math.MaxInt32 { // which stands for none
		w.Deadline = time.Duration(*limit) * time.Second
	}
	w.Created = creation(value)
	w.Recreate = d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType
	var err error
	w.MaxSurge, w.MaxUnavailable, err = rolloutBounds(d.Spec.Strategy, w.Replicas)
	return err
}

// keptDefault is how many old templates Kubernetes keeps.
const keptDefault = 10

func (w *Workload) readRollout(annotations map[string]string, minReadySeconds int32, kept *int32) {
	w.Cause = annotations[CauseAnnotation]
	w.MinReady, w.Kept = time.Duration(max(minReadySeconds, 0))*time.Second, keptDefault
	if kept != nil {
		w.Kept = max(int(*kept), 0)
	}
}

// rolloutBounds resolves a strategy as Kubernetes does: each is 25 % unless
// said, surge rounds up, unavailable rounds down, and both zero means one
// unavailable.
func rolloutBounds(strategy appsv1.DeploymentStrategy, replicas int) (surge, unavailable int, err error) {
	if strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0, replicas, nil
	}
	var surgeOf, unavailableOf *intstr.IntOrString
	if r := strategy.RollingUpdate; r != nil {
		surgeOf, unavailableOf = r.MaxSurge, r.MaxUnavailable
	}
	if surge, err = scaled(surgeOf, replicas, true); err != nil {
		return 0, 0, fmt.Errorf("maxSurge: %w", err)
	}
	if unavailable, err = scaled(unavailableOf, replicas, false); err != nil {
		return 0, 0, fmt.Errorf("maxUnavailable: %w", err)
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable, nil
}

// percentBytesMax bounds a percentage: more digits are refused by every machine
// alike, whatever it makes of a float that no integer holds.
const percentBytesMax = len("99999%")

func scaled(v *intstr.IntOrString, of int, up bool) (int, error) {
	if v == nil {
		quarter := intstr.FromString("25%")
		v = &quarter
	}
	if v.Type == intstr.String && (len(v.StrVal) > percentBytesMax || strings.TrimLeft(v.StrVal, "0123456789") != "%") {
		return 0, fmt.Errorf("%q is not a percentage", v.StrVal)
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, of, up)
	if err == nil && n < 0 {
		err = fmt.Errorf("%s is negative", v)
	}
	return n, err
}

func (w *Workload) fromPod(value map[string]any) error {
	var p corev1.Pod
	if err := Convert(value, &p); err != nil {
		return err
	}
	w.Replicas = 1
	w.Template = &corev1.PodTemplateSpec{Spec: p.Spec}
	w.Template.Labels, w.Template.Annotations = p.Labels, p.Annotations
	w.Generation, w.Created = p.Generation, creation(value)
	w.MaxUnavailable = 1
	w.readPolicy(p.Annotations)
	return nil
}

func creation(value map[string]any) string {
	meta, _ := value["metadata"].(map[string]any)
	text, _ := meta["creationTimestamp"].(string)
	return text
}

// Convert moves data between an unstructured object and a typed one.
func Convert(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// Unstructured turns a typed value into JSON data with integers kept whole.
func Unstructured(from any) (map[string]any, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	var into map[string]any
	if err := json.Unmarshal(text, &into); err != nil {
		return nil, err
	}
	flat, err := Flatten(into)
	if err != nil {
		return nil, err
	}
	return Build(flat)
}

// Counts reports whether the slot of an index is among those that shall run: the replicas,
// and of a Job the first that have not succeeded, as many as may run at once. Of a
// DaemonSet the nodes decide.
func (w *Workload) Counts(index int) bool {
	if w.Stops {
		return false
	}
	if w.Job != nil {
		return w.Job.open[index]
	}
	return index >= w.First && index < w.First+w.Replicas
}
