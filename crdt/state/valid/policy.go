package valid

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Policy is how a workload is treated while its nodes are in trouble: what its
// annotations say, and its tolerations of Kubernetes' own taints, read once.
type Policy struct {
	StandIn bool // may another node run a slot while its home cannot
	// UnreachableDelay and NotReadyDelay are how long the home has to be out of reach,
	// or unable to run containers, before another node runs a slot. Never: none does.
	UnreachableDelay, NotReadyDelay time.Duration
	// Handback is how long the home has been ready again before its stand-in stops.
	Handback time.Duration
	// LostAfter is how long the home is out of reach before it may move. 0: as long as
	// the cluster says.
	LostAfter time.Duration
	// StopWhenAlone is how long a node without a majority in sight goes on running the
	// workload. 0: for ever.
	StopWhenAlone time.Duration
}

// Never is a delay without an end.
const Never time.Duration = math.MaxInt64

// policyMax bounds what an annotation or a toleration may ask for; a toleration
// beyond it has no end.
const policyMax = 365 * 24 * time.Hour

// The annotations of a Policy.
const (
	StandInAnnotation       = "holon.dev/stand-in"
	StandInDelayAnnotation  = "holon.dev/stand-in-delay"
	HandbackAnnotation      = "holon.dev/handback"
	LostAfterAnnotation     = "holon.dev/lost-after"
	StopWhenAloneAnnotation = "holon.dev/stop-when-alone"
)

// The values of StandInAnnotation.
const (
	StandInAllow = "allow"
	StandInNever = "never"
)

// PolicyOf reads the policy of a workload, of whose kind a slot gets a stand-in if
// nothing is said. What is malformed counts as not said.
func PolicyOf(standsIn bool, annotations map[string]string, tolerations []corev1.Toleration) Policy {
	p := Policy{
		StandIn:          standsIn,
		UnreachableDelay: patience(tolerations, corev1.TaintNodeUnreachable),
		NotReadyDelay:    patience(tolerations, corev1.TaintNodeNotReady),
	}
	for name, text := range annotations {
		if read := policyAnnotations[name]; read != nil {
			_ = read(text, &p) // refused when it is written; a merge of two that were not is one of them
		}
	}
	return p
}

var policyAnnotations = map[string]func(text string, p *Policy) error{
	StandInAnnotation: func(text string, p *Policy) error {
		if text != StandInAllow && text != StandInNever {
			return fmt.Errorf("must be %q or %q", StandInAllow, StandInNever)
		}
		p.StandIn = text == StandInAllow
		return nil
	},
	StandInDelayAnnotation: func(text string, p *Policy) error {
		d, err := policyDuration(text, 0)
		if err == nil {
			p.UnreachableDelay, p.NotReadyDelay = d, d
		}
		return err
	},
	HandbackAnnotation:      durationInto(0, func(p *Policy) *time.Duration { return &p.Handback }),
	LostAfterAnnotation:     durationInto(time.Second, func(p *Policy) *time.Duration { return &p.LostAfter }),
	StopWhenAloneAnnotation: durationInto(time.Second, func(p *Policy) *time.Duration { return &p.StopWhenAlone }),
}

func durationInto(least time.Duration, at func(*Policy) *time.Duration) func(string, *Policy) error {
	return func(text string, p *Policy) error {
		d, err := policyDuration(text, least)
		if err == nil {
			*at(p) = d
		}
		return err
	}
}

func policyDuration(text string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > policyMax {
		return 0, fmt.Errorf("must be a duration from %v to %v, as in 90s or 1h30m", least, policyMax)
	}
	return d, nil
}

// patience is how long a toleration that names the taint puts up with it, the
// shortest of several; without seconds it is for ever, as in Kubernetes. None: no
// time. One of everything does not name it: it is about taints that people set.
func patience(tolerations []corev1.Toleration, taint string) time.Duration {
	named := slices.DeleteFunc(slices.Clone(tolerations), func(t corev1.Toleration) bool { return t.Key != taint })
	wait, tolerated := Patience(named, corev1.Taint{Key: taint, Effect: corev1.TaintEffectNoExecute})
	if !tolerated {
		return 0
	}
	return wait
}

// Patience is how long tolerations put up with a NoExecute taint, and whether they
// do at all: the shortest tolerationSeconds of those that match, Never if none has any.
func Patience(tolerations []corev1.Toleration, taint corev1.Taint) (wait time.Duration, tolerated bool) {
	wait = Never
	for i := range tolerations {
		t := &tolerations[i]
		if !Tolerates(t, taint) {
			continue
		}
		tolerated = true
		if s := t.TolerationSeconds; s != nil && *s <= int64(policyMax/time.Second) {
			wait = min(wait, time.Duration(max(*s, 0))*time.Second)
		}
	}
	return wait, tolerated
}

// Tolerates is Kubernetes' rule (k8s.io/api's own ToleratesTaint wants a logger). The
// comparing operators, alpha in 1.35, tolerate nothing here.
func Tolerates(t *corev1.Toleration, taint corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		return true
	case "", corev1.TolerationOpEqual:
		return t.Value == taint.Value
	}
	return false
}

// validatePolicies checks the annotations of a workload.
func validatePolicies(annotations map[string]string) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("metadata", "annotations")
	for _, name := range slices.Sorted(maps.Keys(policyAnnotations)) {
		text, there := annotations[name]
		if !there {
			continue
		}
		if err := policyAnnotations[name](text, &Policy{}); err != nil {
			errs = append(errs, field.Invalid(at.Key(name), text, err.Error()))
		}
	}
	return errs
}

// ownPrefix begins the names of holon's own annotations.
const ownPrefix = "holon.dev/"

// shownAnnotations are those that holon puts on what it shows: clients send them
// back.
var shownAnnotations = map[string][]string{
	"Pod":  {"holon.dev/slot", "holon.dev/run"},
	"Node": {DrainAnnotation, "holon.dev/server", "holon.dev/peer"},
}

// AdviseAnnotations names the annotations under holon.dev/ of an object that mean
// nothing there, sorted.
func AdviseAnnotations(kind string, annotations map[string]string) (advice []string) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		known := slices.Contains(shownAnnotations[kind], name)
		if slices.Contains([]string{"Deployment", "Pod", "StatefulSet", "DaemonSet", "Job"}, kind) {
			known = known || policyAnnotations[name] != nil
		}
		if strings.HasPrefix(name, ownPrefix) && !known {
			advice = append(advice, fmt.Sprintf("metadata.annotations[%s]: this version of holon knows no such annotation of a %s; it has no effect", name, kind))
		}
	}
	return advice
}

// AdviseTemplate names those of a pod template: policies are their workload's.
func AdviseTemplate(annotations map[string]string) (advice []string) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		switch {
		case policyAnnotations[name] != nil:
			advice = append(advice, fmt.Sprintf("spec.template.metadata.annotations[%s]: no effect on a pod template; write it into the metadata of its workload", name))
		case strings.HasPrefix(name, ownPrefix):
			advice = append(advice, fmt.Sprintf("spec.template.metadata.annotations[%s]: this version of holon knows no such annotation; it has no effect", name))
		}
	}
	return advice
}
