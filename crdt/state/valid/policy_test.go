package valid

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestPolicyIsReadFromAnnotations(t *testing.T) {
	for text, want := range map[string]Policy{
		"":                                     {StandIn: true},
		StandInAnnotation + "=never":           {},
		StandInDelayAnnotation + "=90s":        {StandIn: true, UnreachableDelay: 90 * time.Second, NotReadyDelay: 90 * time.Second},
		HandbackAnnotation + "=1m":             {StandIn: true, Handback: time.Minute},
		LostAfterAnnotation + "=1s":            {StandIn: true, LostAfter: time.Second},
		StopWhenAloneAnnotation + "=1h":        {StandIn: true, StopWhenAlone: time.Hour},
		"holon.dev/unknown=1h":                 {StandIn: true},
		StandInAnnotation + "=perhaps":         {StandIn: true},
		StandInDelayAnnotation + "=-1s":        {StandIn: true},
		StandInDelayAnnotation + "=5":          {StandIn: true},
		LostAfterAnnotation + "=0s":            {StandIn: true},
		StopWhenAloneAnnotation + "=999ms":     {StandIn: true},
		HandbackAnnotation + "=8761h":          {StandIn: true},
		HandbackAnnotation + "=99999999999999": {StandIn: true},
	} {
		notes := map[string]string{}
		if name, value, ok := strings.Cut(text, "="); ok {
			notes[name] = value
		}
		if have := PolicyOf(true, notes, nil); have != want {
			t.Errorf("%s: %+v, want %+v", text, have, want)
		}
		refused := len(validatePolicies(notes)) > 0
		if ignored := text != "" && want == (Policy{StandIn: true}) && !strings.Contains(text, "unknown"); refused != ignored {
			t.Errorf("%s is refused: %v, ignored: %v", text, refused, ignored)
		}
	}
}

func TestPolicyIsReadFromTolerations(t *testing.T) {
	seconds := func(n int64) *int64 { return &n }
	exists := func(key string, s *int64) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: s}
	}
	for name, c := range map[string]struct {
		of   []corev1.Toleration
		want time.Duration
	}{
		"none":           {nil, 0},
		"for a while":    {[]corev1.Toleration{exists(corev1.TaintNodeUnreachable, seconds(30))}, 30 * time.Second},
		"for ever":       {[]corev1.Toleration{exists(corev1.TaintNodeUnreachable, nil)}, Never},
		"the shortest":   {[]corev1.Toleration{exists(corev1.TaintNodeUnreachable, seconds(30)), exists(corev1.TaintNodeUnreachable, nil)}, 30 * time.Second},
		"negative":       {[]corev1.Toleration{exists(corev1.TaintNodeUnreachable, seconds(-1))}, 0},
		"beyond numbers": {[]corev1.Toleration{exists(corev1.TaintNodeUnreachable, seconds(1<<62))}, Never},
		"of everything":  {[]corev1.Toleration{exists("", nil)}, 0},
		"of another":     {[]corev1.Toleration{exists(corev1.TaintNodeNotReady, nil)}, 0},
		"to be placed":   {[]corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}, 0},
	} {
		if have := PolicyOf(true, nil, c.of).UnreachableDelay; have != c.want {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
		notes := map[string]string{StandInDelayAnnotation: "7s"}
		if have := PolicyOf(true, notes, c.of); have.UnreachableDelay != 7*time.Second || have.NotReadyDelay != 7*time.Second {
			t.Errorf("%s and the annotation: %+v", name, have)
		}
	}
}

func TestPolicyIsCheckedWithItsWorkload(t *testing.T) {
	p := parse[corev1.Pod](t, validPod)
	DefaultPod(p)
	p.Annotations = map[string]string{StandInAnnotation: "yes", HandbackAnnotation: "soon"}
	wantErrors(t, "pod", Pod(p),
		`metadata.annotations[holon.dev/handback]: Invalid value: "soon": must be a duration from 0s to 8760h0m0s, as in 90s or 1h30m`,
		`metadata.annotations[holon.dev/stand-in]: Invalid value: "yes": must be "allow" or "never"`)
	p.Annotations = nil
	p.Spec.Tolerations = []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(3))}}
	wantErrors(t, "toleration", Pod(p), "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set")
}

func TestUnknownAnnotationsAreNamed(t *testing.T) {
	notes := map[string]string{"holon.dev/standin": "x", StandInAnnotation: StandInAllow, "example.com/a": "b", DrainAnnotation: DrainOn}
	for kind, want := range map[string][]string{
		"Deployment": {"holon.dev/drain", "holon.dev/standin"}, "Pod": {"holon.dev/drain", "holon.dev/standin"},
		"Node": {"holon.dev/stand-in", "holon.dev/standin"}, "ConfigMap": {"holon.dev/drain", "holon.dev/stand-in", "holon.dev/standin"},
	} {
		var have []string
		for _, text := range AdviseAnnotations(kind, notes) {
			_, rest, _ := strings.Cut(text, "[")
			name, _, _ := strings.Cut(rest, "]")
			have = append(have, name)
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", kind, have, want)
		}
	}
	if advice := AdviseTemplate(notes); len(advice) != 3 {
		t.Errorf("of a template: %q", advice)
	}
}
