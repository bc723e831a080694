package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	appsv1 "k8s.io/api/apps/v1"
)

func as(manager string, force ...bool) metav1.PatchOptions {
	o := metav1.PatchOptions{FieldManager: manager}
	if len(force) > 0 {
		o.Force = &force[0]
	}
	return o
}

// applyWeb applies part of a Deployment called web.
func (f *fixture) applyWeb(spec string, opts metav1.PatchOptions) (*appsv1.Deployment, error) {
	body := "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: " + spec + "}"
	return f.kube.AppsV1().Deployments("default").Patch(f.ctx, "web", types.ApplyPatchType, []byte(body), opts)
}

const (
	webSelector = "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: "
	webOf       = "{replicas: 2, " + webSelector + "[{name: main, image: 'web:1', ports: [{containerPort: 80}]}]}}}"
)

func containers(d *appsv1.Deployment) (names []string) {
	for _, c := range d.Spec.Template.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

func TestManagersApplySideBySide(t *testing.T) {
	f := serve(t)
	made, err := f.applyWeb(webOf, as("team"))
	check(t, err)
	if len(made.ManagedFields) != 1 || made.ManagedFields[0].Manager != "team" || made.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("owners after the first apply: %+v", made.ManagedFields)
	}
	helper := "{template: {metadata: {labels: {mesh: 'on'}}, spec: {containers: [{name: helper, image: 'mesh:1'}]}}}"
	both, err := f.applyWeb(helper, as("mesh"))
	check(t, err)
	if got := containers(both); !slices.Equal(got, []string{"main", "helper"}) {
		t.Errorf("containers after two managers applied: %v", got)
	}
	// Each takes back what only it wanted.
	less, err := f.applyWeb(strings.Replace(webOf, "replicas: 2, ", "", 1), as("team"))
	check(t, err)
	if got := containers(less); !slices.Equal(got, []string{"main", "helper"}) || *less.Spec.Replicas != 1 {
		t.Errorf("after team dropped replicas: %v, %d replicas", got, *less.Spec.Replicas)
	}
	alone, err := f.applyWeb("{}", as("mesh"))
	check(t, err)
	if got := containers(alone); !slices.Equal(got, []string{"main"}) || alone.Spec.Template.Labels["mesh"] != "" {
		t.Errorf("after mesh dropped everything: %v, labels %v", got, alone.Spec.Template.Labels)
	}
}

func TestApplyAgainWritesNothing(t *testing.T) {
	f := serve(t)
	first, err := f.applyWeb(webOf, as("team"))
	check(t, err)
	writes := len(f.backend.mutated)
	// A port without a protocol is the TCP port that is there.
	again, err := f.applyWeb(webOf, as("team"))
	check(t, err)
	if len(f.backend.mutated) != writes || again.ResourceVersion != first.ResourceVersion {
		t.Errorf("%d writes, resourceVersion %s -> %s", len(f.backend.mutated)-writes, first.ResourceVersion, again.ResourceVersion)
	}
	if ports := again.Spec.Template.Spec.Containers[0].Ports; len(ports) != 1 {
		t.Errorf("ports %+v", ports)
	}
}

func TestApplyConflicts(t *testing.T) {
	f := serve(t)
	_, err := f.applyWeb(webOf, as("team"))
	check(t, err)
	_, err = f.applyWeb("{replicas: 5}", as("ops"))
	if cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldManagerConflict); !ok || cause.Field != ".spec.replicas" || !strings.Contains(cause.Message, "team") {
		t.Errorf("conflict: %v", err)
	}
	taken, err := f.applyWeb("{replicas: 5}", as("ops", true))
	check(t, err)
	if *taken.Spec.Replicas != 5 {
		t.Errorf("forced, and %d replicas", *taken.Spec.Replicas)
	}
	if _, err := f.applyWeb(webOf, as("team")); !apierrors.IsConflict(err) {
		t.Errorf("the former owner applies what it lost: %v", err)
	}
}

// Objects that nobody applies carry no owners; the first apply finds one for all
// that is there, and from then on every write counts.
func TestOwnershipBeginsWithTheFirstApply(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	_, err := maps.Create(f.ctx, configMap("a", map[string]string{"k": "1"}), metav1.CreateOptions{FieldManager: "hand"})
	check(t, err)
	changed, err := maps.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"2"}}`), as("hand"))
	check(t, err)
	if changed.ManagedFields != nil {
		t.Errorf("owners without an apply: %+v", changed.ManagedFields)
	}
	apply := func(data, manager string) error {
		_, err := maps.Patch(f.ctx, "a", types.ApplyPatchType,
			fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{%s}}`, data), as(manager))
		return err
	}
	if err := apply(`"k":"3"`, "tool"); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "before-first-apply") {
		t.Errorf("first apply of a field that is there: %v", err)
	}
	check(t, apply(`"mine":"1"`, "tool"))
	_, err = maps.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"data":{"mine":"2"}}`), as("hand"))
	check(t, err)
	if err := apply(`"mine":"3"`, "tool"); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `"hand"`) {
		t.Errorf("apply of a field that a patch took: %v", err)
	}
}

// A sealed kind is merged in the clear and stored sealed.
func TestApplyOfASecret(t *testing.T) {
	f := serve(t)
	apply := func(data, manager string) {
		t.Helper()
		_, err := f.kube.CoreV1().Secrets("default").Patch(f.ctx, "s", types.ApplyPatchType,
			[]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{`+data+`}}`), as(manager))
		check(t, err)
	}
	apply(`"a":"YQ=="`, "one")
	apply(`"b":"Yg=="`, "two")
	writes := len(f.backend.mutated)
	apply(`"b":"Yg=="`, "two")
	s, err := f.kube.CoreV1().Secrets("default").Get(f.ctx, "s", get)
	check(t, err)
	if string(s.Data["a"]) != "a" || string(s.Data["b"]) != "b" || len(f.backend.mutated) != writes {
		t.Errorf("data %q after two managers applied, %d writes for the same again", s.Data, len(f.backend.mutated)-writes)
	}
}

func TestApplyRefusesWhatItCannotMean(t *testing.T) {
	f := serve(t)
	const path = "/api/v1/namespaces/default/configmaps/a"
	apply := func(query, body string) answer {
		return f.do(http.MethodPatch, path+query, body, "Content-Type: "+string(types.ApplyYAMLPatchType))
	}
	const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '1'}\n"
	apply("", good).want(t, 400, "fieldManager")
	apply("?fieldManager="+strings.Repeat("x", 129), good).want(t, 400, "fieldManager")
	apply("?fieldManager=me&force=perhaps", good).want(t, 400, "force")
	apply("?fieldManager=me", "{").want(t, 400, "not YAML")
	apply("?fieldManager=me", "[]").want(t, 400, "not one object")
	apply("?fieldManager=me", strings.Replace(good, "ConfigMap", "Secret", 1)).want(t, 400, "Secret")
	apply("?fieldManager=me", strings.Replace(good, "name: a", "name: b", 1)).want(t, 400, "metadata.name")
	apply("?fieldManager=me", good+"daat: {}\n").want(t, 400, "daat")
	apply("?fieldManager=me&dryRun=All", good).want(t, 201)
	f.do(http.MethodGet, path, "").want(t, 404)
	apply("?fieldManager=me", good).want(t, 201, `"manager":"me"`)
	apply("?fieldManager=me", good).want(t, 200)
}

// Every kind that can be patched can be applied: its schema is there and knows
// each field that holon honours.
func TestEveryKindCanBeApplied(t *testing.T) {
	for _, k := range kinds {
		if !slices.Contains(k.verbs, "patch") {
			continue
		}
		types, err := mergeTypesOf(k.key())
		if err != nil {
			t.Errorf("%s: %v", k.Kind, err)
			continue
		}
		obj, err := toMap(k.make())
		check(t, err)
		if _, err := types.ObjectToTyped(&unstructured.Unstructured{Object: withoutStatus(obj)}); err != nil {
			t.Errorf("%s: %v", k.Kind, err)
		}
	}
	d := deployment("web", 1)
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}}
	obj, err := toMap(d)
	check(t, err)
	merge, err := mergeTypesOf("deployments.apps")
	check(t, err)
	typed, err := merge.ObjectToTyped(&unstructured.Unstructured{Object: withoutStatus(obj)})
	check(t, err)
	set, err := typed.ToFieldSet()
	check(t, err)
	if text := set.String(); !strings.Contains(text, `containers[name="main"].env[name="A"].value`) {
		t.Errorf("the schema does not tell elements apart:\n%s", text)
	}
}
