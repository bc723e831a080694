package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Data: data}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "web:1"}}},
			},
		},
	}
}

var (
	get    = metav1.GetOptions{}
	list   = metav1.ListOptions{}
	create = metav1.CreateOptions{}
	update = metav1.UpdateOptions{}
	del    = metav1.DeleteOptions{}
	patch  = metav1.PatchOptions{}
)

func TestTypedClientLifeOfAConfigMap(t *testing.T) {
	for _, content := range []string{typeJSON, typeProtobuf + "," + typeJSON} {
		f := serve(t)
		config := rest.CopyConfig(f.config)
		config.AcceptContentTypes, config.ContentType = content, strings.Split(content, ",")[0]
		kube, err := kubernetes.NewForConfig(config)
		check(t, err)
		maps := kube.CoreV1().ConfigMaps("default")
		made, err := maps.Create(f.ctx, configMap("a", map[string]string{"k": "1"}), create)
		check(t, err)
		if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.Namespace != "default" {
			t.Errorf("created %+v", made.ObjectMeta)
		}
		_, err = maps.Create(f.ctx, configMap("a", nil), create)
		if !apierrors.IsAlreadyExists(err) {
			t.Errorf("second create: %v", err)
		}
		made.Data["k"] = "2"
		changed, err := maps.Update(f.ctx, made, update)
		check(t, err)
		if changed.ResourceVersion == made.ResourceVersion || changed.UID != made.UID || changed.Data["k"] != "2" {
			t.Errorf("updated %+v", changed)
		}
		got, err := maps.Get(f.ctx, "a", get)
		check(t, err)
		if got.ResourceVersion != changed.ResourceVersion || got.Data["k"] != "2" {
			t.Errorf("read after write: %+v", got)
		}
		check(t, maps.Delete(f.ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &got.UID}}))
		if _, err = maps.Get(f.ctx, "a", get); !apierrors.IsNotFound(err) {
			t.Errorf("after delete: %v", err)
		}
	}
}

func TestUnchangedUpdatesWriteNothing(t *testing.T) {
	f := serve(t)
	made, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 2), create)
	check(t, err)
	writes := len(f.backend.mutated)
	plain := deployment("web", 2) // without any default filled in
	again, err := f.kube.AppsV1().Deployments("default").Update(f.ctx, plain, update)
	check(t, err)
	if again.ResourceVersion != made.ResourceVersion || len(f.backend.mutated) != writes {
		t.Errorf("resourceVersion %s -> %s, %d writes", made.ResourceVersion, again.ResourceVersion, len(f.backend.mutated)-writes)
	}
	if made.Generation != 1 || again.Generation != 1 {
		t.Errorf("generation %d, %d", made.Generation, again.Generation)
	}
}

func TestConflicts(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	first, err := maps.Create(f.ctx, configMap("a", map[string]string{"k": "1"}), create)
	check(t, err)
	next := first.DeepCopy()
	next.Data["k"] = "2"
	_, err = maps.Update(f.ctx, next, update)
	check(t, err)
	stale := first.DeepCopy()
	stale.Data["k"] = "3"
	if _, err = maps.Update(f.ctx, stale, update); !apierrors.IsConflict(err) {
		t.Errorf("stale version: %v", err)
	}
	stale.ResourceVersion = fmt.Sprint(f.cache.RV() ^ 5)
	if _, err = maps.Update(f.ctx, stale, update); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "not issued by this node") {
		t.Errorf("version of another node: %v", err)
	}
	_, err = maps.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"`+first.ResourceVersion+`"},"data":{"k":"4"}}`), patch)
	if !apierrors.IsConflict(err) {
		t.Errorf("patch with a stale version: %v", err)
	}
	uid := types.UID("other")
	if err = maps.Delete(f.ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); !apierrors.IsConflict(err) {
		t.Errorf("delete with another uid: %v", err)
	}
	stale.ResourceVersion = ""
	if _, err = maps.Update(f.ctx, stale, update); err != nil {
		t.Errorf("unconditional update: %v", err)
	}
}

// The store may be ahead of the cache: the write of somebody else is found only there.
func TestPatchesAreComputedAnewWhenTheStoreIsAhead(t *testing.T) {
	f := serve(t)
	configMaps := f.kube.CoreV1().ConfigMaps("default")
	_, err := configMaps.Create(f.ctx, configMap("a", map[string]string{"k": "1"}), create)
	check(t, err)
	race := func(value string) func(Mutation) {
		return func(Mutation) {
			o, _ := f.cache.Get(Key{ConfigMaps, "default", "a"})
			next := withField(o.Value(), "data", map[string]any{"k": "1", "other": value})
			_, err = f.backend.Mutate(f.ctx, Mutation{Key: o.Key, UID: uidOf(o.Value()), Old: o.Value(), New: next})
			check(t, err)
		}
	}
	f.backend.intervene = race("x")
	got, err := configMaps.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"data":{"mine":"y"}}`), patch)
	check(t, err)
	if got.Data["other"] != "x" || got.Data["mine"] != "y" {
		t.Errorf("got %v", got.Data)
	}
	got.Data["k"] = "9"
	f.backend.intervene = race("z")
	if _, err := configMaps.Update(f.ctx, got, update); !apierrors.IsConflict(err) {
		t.Errorf("PUT over a newer stored state: %v", err)
	}
}

// withField is a copy of an object with one field replaced.
func withField(value map[string]any, name string, with any) map[string]any {
	out := maps.Clone(value)
	out[name] = with
	return out
}

func TestPatchTypes(t *testing.T) {
	f := serve(t)
	deployments := f.kube.AppsV1().Deployments("default")
	_, err := deployments.Create(f.ctx, deployment("web", 2), create)
	check(t, err)
	got, err := deployments.Patch(f.ctx, "web", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s:1"}]}}}}`), patch)
	check(t, err)
	if len(got.Spec.Template.Spec.Containers) != 2 || got.Generation != 2 {
		t.Errorf("strategic: %+v", got.Spec.Template.Spec.Containers)
	}
	got, err = deployments.Patch(f.ctx, "web", types.JSONPatchType, []byte(`[{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":4}]`), patch)
	check(t, err)
	if *got.Spec.Replicas != 4 {
		t.Errorf("json: %d", *got.Spec.Replicas)
	}
	_, err = deployments.Patch(f.ctx, "web", types.JSONPatchType, []byte(`[{"op":"test","path":"/spec/replicas","value":2}]`), patch)
	if !apierrors.IsInvalid(err) {
		t.Errorf("failed test: %v", err)
	}
	got, err = deployments.Patch(f.ctx, "web", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":null}}`), patch)
	check(t, err)
	if got.Labels["a"] != "b" || *got.Spec.Replicas != 1 {
		t.Errorf("merge: %+v", got)
	}
	_, err = deployments.Patch(f.ctx, "web", types.PatchType("application/x-patch"), []byte(`{}`), patch)
	if !apierrors.IsUnsupportedMediaType(err) {
		t.Errorf("a patch of an unknown kind: %v", err)
	}
	f.do("PATCH", "/apis/apps/v1/namespaces/default/deployments/web", `{"kind":"Pod"}`,
		"Content-Type: application/merge-patch+json").want(t, 400, "cannot change kind")
	f.do("PATCH", "/apis/apps/v1/namespaces/default/deployments/web", `{"metadata":{"name":"x"}}`,
		"Content-Type: application/merge-patch+json").want(t, 400, "cannot change metadata.name")
	f.do("PATCH", "/apis/apps/v1/namespaces/default/deployments/web", `{`, "Content-Type: application/merge-patch+json").want(t, 400, "patch")
}

func TestDryRunChangesNothing(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	all := []string{metav1.DryRunAll}
	dry, err := maps.Create(f.ctx, configMap("a", nil), metav1.CreateOptions{DryRun: all})
	check(t, err)
	if dry.UID == "" || dry.CreationTimestamp.IsZero() {
		t.Errorf("dry create: %+v", dry)
	}
	_, err = maps.Create(f.ctx, configMap("a", map[string]string{"k": "1"}), create)
	check(t, err)
	writes := len(f.backend.mutated)
	dry, err = maps.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"2"}}`), metav1.PatchOptions{DryRun: all})
	check(t, err)
	if dry.Data["k"] != "2" {
		t.Errorf("dry patch: %+v", dry.Data)
	}
	check(t, maps.Delete(f.ctx, "a", metav1.DeleteOptions{DryRun: all}))
	check(t, f.kube.CoreV1().Namespaces().Delete(f.ctx, "kube-public-not", metav1.DeleteOptions{DryRun: all}), apierrors.IsNotFound)
	got, err := maps.Get(f.ctx, "a", get)
	check(t, err)
	if got.Data["k"] != "1" || len(f.backend.mutated) != writes {
		t.Errorf("%v after %d writes", got.Data, len(f.backend.mutated)-writes)
	}
	f.do("POST", "/api/v1/namespaces/default/configmaps?dryRun=Some", `{"metadata":{"name":"x"}}`).want(t, 400, "dryRun")
}

func TestUnknownFields(t *testing.T) {
	f := serve(t)
	const path = "/api/v1/namespaces/default/configmaps"
	body := func(name string) string {
		return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `","nam":"x"},"dat":{},"data":{"a":"1","a":"2"}}`
	}
	f.do("POST", path+"?fieldValidation=Strict", body("a")).want(t, 400, `unknown field \"metadata.nam\"`, `unknown field \"dat\"`, `duplicate field \"data.a\"`)
	a := f.do("POST", path, body("a")).want(t, 201)
	for _, text := range []string{`unknown field \"metadata.nam\"`, `unknown field \"dat\"`, `duplicate field \"data.a\"`} {
		if !strings.Contains(a.warnings, text) {
			t.Errorf("%s is not in %s", text, a.warnings)
		}
	}
	if a := f.do("POST", path+"?fieldValidation=Ignore", body("b")).want(t, 201); a.warnings != "" {
		t.Errorf("warned: %s", a.warnings)
	}
	f.do("POST", path+"?fieldValidation=Other", body("c")).want(t, 400, "fieldValidation")
	f.do("PATCH", path+"/a?fieldValidation=Strict", `{"spek":1}`, "Content-Type: application/merge-patch+json").want(t, 400, `unknown field \"spek\"`)
	f.do("POST", path+"?fieldValidation=Strict", "metadata:\n  name: yam\nknid: 1\n", "Content-Type: application/yaml").want(t, 400, `unknown field \"knid\"`)
	f.do("POST", path, "metadata:\n  name: yam\ndata: {a: b}\n", "Content-Type: application/yaml").want(t, 201, `"a":"b"`)
}

func TestRefusedAndWarnedFields(t *testing.T) {
	f := serve(t)
	d := deployment("web", 1)
	spec := &d.Spec.Template.Spec
	spec.Subdomain = "sub"
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, d, create)
	check(t, err)
	data, err := json.Marshal(d)
	check(t, err)
	const path = "/apis/apps/v1/namespaces/default/deployments"
	subdomain := "spec.template.spec.subdomain: not applied yet"
	f.do("POST", path+"?dryRun=All", strings.Replace(string(data), `"name":"web"`, `"name":"web2"`, 1)).want(t, 201, subdomain)
	if a := f.do("PATCH", path+"/web", `{"metadata":{"labels":{"x":"y"}}}`, "Content-Type: application/merge-patch+json").want(t, 200); a.warnings != "" {
		t.Errorf("a label brings up old warnings: %s", a.warnings)
	}
	spec.HostNetwork = true
	spec.EphemeralContainers = []corev1.EphemeralContainer{{}}
	_, err = f.kube.AppsV1().Deployments("default").Update(f.ctx, d, update)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.template.spec.hostNetwork: Forbidden") ||
		!strings.Contains(err.Error(), "spec.template.spec.ephemeralContainers: Forbidden") {
		t.Errorf("got %v", err)
	}
}

func TestGenerateName(t *testing.T) {
	f := serve(t)
	seen := map[string]bool{}
	for range 20 {
		c := configMap("", nil)
		c.Name, c.Labels, c.GenerateName = "", nil, "job-"
		made, err := f.kube.CoreV1().ConfigMaps("default").Create(f.ctx, c, create)
		check(t, err)
		if !strings.HasPrefix(made.Name, "job-") || len(made.Name) != 9 || seen[made.Name] {
			t.Errorf("name %q", made.Name)
		}
		seen[made.Name] = true
	}
}

func TestSelectors(t *testing.T) {
	f := serve(t)
	for _, name := range []string{"a", "b", "c"} {
		_, err := f.kube.CoreV1().ConfigMaps("default").Create(f.ctx, configMap(name, nil), create)
		check(t, err)
	}
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 3), create)
	check(t, err)
	for selector, want := range map[string]int{"app=a": 1, "app in (a,b)": 2, "app!=a": 4, "!app": 2, "": 5} { // with those given in both namespaces
		l, err := f.kube.CoreV1().ConfigMaps("").List(f.ctx, metav1.ListOptions{LabelSelector: selector})
		check(t, err)
		if len(l.Items) != want {
			t.Errorf("%q: %d, want %d", selector, len(l.Items), want)
		}
	}
	for selector, want := range map[string]int{"spec.nodeName=n1": 2, "spec.nodeName!=n1,status.phase=Running": 1, "metadata.name=web-0-10": 1} {
		l, err := f.kube.CoreV1().Pods("default").List(f.ctx, metav1.ListOptions{FieldSelector: selector})
		check(t, err)
		if len(l.Items) != want {
			t.Errorf("%q: %d, want %d", selector, len(l.Items), want)
		}
	}
	nodes, err := f.kube.CoreV1().Nodes().List(f.ctx, metav1.ListOptions{FieldSelector: "spec.unschedulable=false"})
	check(t, err)
	if len(nodes.Items) != 2 {
		t.Errorf("an absent field is not false: %d nodes", len(nodes.Items))
	}
	f.do("GET", "/api/v1/pods?fieldSelector=spec.color%3Dred", "").want(t, 400, "field label not supported: spec.color")
	f.do("GET", "/api/v1/pods?labelSelector=%3D%3D", "").want(t, 400, "labelSelector")
}

func TestScale(t *testing.T) {
	f := serve(t)
	deployments := f.kube.AppsV1().Deployments("default")
	_, err := deployments.Create(f.ctx, deployment("web", 3), create)
	check(t, err)
	scale, err := deployments.GetScale(f.ctx, "web", get)
	check(t, err)
	if scale.Spec.Replicas != 3 || scale.Status.Selector != "app=web" {
		t.Errorf("scale %+v", scale)
	}
	scale.Spec.Replicas = 5
	scale, err = deployments.UpdateScale(f.ctx, "web", scale, update)
	check(t, err)
	if scale.Spec.Replicas != 5 {
		t.Errorf("scaled to %d", scale.Spec.Replicas)
	}
	const path = "/apis/apps/v1/namespaces/default/deployments/web/scale"
	f.do("PATCH", path, `{"spec":{"replicas":0}}`, "Content-Type: application/merge-patch+json").want(t, 200, `"spec":{}`)
	f.do("PATCH", path, `{"spec":{"replicas":-1}}`, "Content-Type: application/merge-patch+json").want(t, 422, "must be greater than or equal to 0")
	scale.Spec.Replicas = 7
	if _, err = deployments.UpdateScale(f.ctx, "web", scale, update); !apierrors.IsConflict(err) {
		t.Errorf("stale scale: %v", err)
	}
	d, err := deployments.Get(f.ctx, "web", get)
	check(t, err)
	if *d.Spec.Replicas != 0 || d.Spec.Template.Spec.Containers[0].Image != "web:1" {
		t.Errorf("deployment %+v", d.Spec)
	}
}

func TestPods(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	pods := f.kube.CoreV1().Pods("default")
	derived, err := pods.Patch(f.ctx, "web-0-00", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), patch)
	check(t, err)
	if derived.Labels["x"] != "y" {
		t.Errorf("labels %v", derived.Labels)
	}
	_, err = pods.Patch(f.ctx, "web-0-00", types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"main","image":"other:1"}]}}`), patch)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "derived from ReplicaSet") {
		t.Errorf("image of a derived pod: %v", err)
	}
	check(t, pods.Delete(f.ctx, "web-0-00", del))
	if _, err = pods.Get(f.ctx, "web-0-01", get); err != nil {
		t.Errorf("the slot has no new run: %v", err)
	}
	bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "m", Image: "i:1"}}}}
	_, err = pods.Create(f.ctx, bare, create)
	check(t, err)
	got, err := pods.Patch(f.ctx, "bare", types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"m","image":"i:2"}]}}`), patch)
	check(t, err)
	if got.Spec.Containers[0].Image != "i:2" {
		t.Errorf("image %s", got.Spec.Containers[0].Image)
	}
	_, err = pods.Patch(f.ctx, "bare", types.MergePatchType, []byte(`{"spec":{"restartPolicy":"Never"}}`), patch)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "pod updates may not change fields other than `spec.containers[*].image`") {
		t.Errorf("restartPolicy of a pod: %v", err)
	}
	a := f.do("DELETE", "/api/v1/namespaces/default/pods/bare?gracePeriodSeconds=0", "").want(t, 200, `"kind":"Pod"`, "deletionTimestamp")
	if !strings.Contains(a.warnings, "gracePeriodSeconds is not honoured") {
		t.Errorf("warnings: %s", a.warnings)
	}
	bare.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "x", UID: "x"}}
	if _, err = pods.Create(f.ctx, bare, create); !apierrors.IsInvalid(err) {
		t.Errorf("a pod that claims an owner: %v", err)
	}
}

func TestNamespaceLifecycle(t *testing.T) {
	f := serve(t)
	if _, err := f.kube.CoreV1().ConfigMaps("team").Create(f.ctx, configMap("a", nil), create); !apierrors.IsNotFound(err) {
		t.Errorf("create in no namespace: %v", err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}
	_, err := f.kube.CoreV1().Namespaces().Create(f.ctx, ns, create)
	check(t, err)
	for i := range 40 {
		_, err := f.kube.CoreV1().ConfigMaps("team").Create(f.ctx, configMap(fmt.Sprintf("c%d", i), nil), create)
		check(t, err)
	}
	d := deployment("web", 2)
	d.Namespace = "team"
	_, err = f.kube.AppsV1().Deployments("team").Create(f.ctx, d, create)
	check(t, err)
	var refused error
	f.backend.intervene = func(Mutation) { // while the namespace is being emptied
		_, refused = f.kube.CoreV1().ConfigMaps("team").Create(f.ctx, configMap("late", nil), create)
	}
	check(t, f.kube.CoreV1().Namespaces().Delete(f.ctx, "team", del))
	if !apierrors.IsForbidden(refused) || !apierrors.HasStatusCause(refused, corev1.NamespaceTerminatingCause) {
		t.Errorf("create in a terminating namespace: %v", refused)
	}
	for _, resource := range []string{ConfigMaps, Deployments, Pods, ReplicaSets} {
		if left, _ := f.cache.List(resource, "team"); len(left) > 0 {
			t.Errorf("%d %s are left", len(left), resource)
		}
	}
	if err := f.kube.CoreV1().Namespaces().Delete(f.ctx, "default", del); !apierrors.IsForbidden(err) {
		t.Errorf("default: %v", err)
	}
}

func TestDeleteCollection(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	for _, name := range []string{"a", "b", "c"} {
		_, err := maps.Create(f.ctx, configMap(name, nil), create)
		check(t, err)
	}
	check(t, maps.DeleteCollection(f.ctx, del, metav1.ListOptions{LabelSelector: "app in (a,b)"}))
	l, err := maps.List(f.ctx, list)
	check(t, err)
	if len(l.Items) != 2 || l.Items[0].Name != "c" { // before what is given
		t.Errorf("left: %v", l.Items)
	}
}

func TestNodes(t *testing.T) {
	f := serve(t)
	n, err := f.kube.CoreV1().Nodes().Patch(f.ctx, "n1", types.StrategicMergePatchType,
		[]byte(`{"metadata":{"labels":{"disk":"ssd"}},"spec":{"unschedulable":true,"taints":[{"key":"a","effect":"NoSchedule"}]}}`), patch)
	check(t, err)
	if !n.Spec.Unschedulable || n.Labels["disk"] != "ssd" || len(n.Spec.Taints) != 1 || len(n.Status.Addresses) != 1 {
		t.Errorf("node %+v", n)
	}
	const node, merge, strategic = "/api/v1/nodes/n1", "Content-Type: application/merge-patch+json", "Content-Type: application/strategic-merge-patch+json"
	f.do("PATCH", node, `{"metadata":{"annotations":{"holon.dev/drain":"yes"}}}`, merge).want(t, 422, `metadata.annotations[holon.dev/drain]: Unsupported value: \"yes\"`)
	f.do("PATCH", node, `{"metadata":{"annotations":{"holon.dev/drain":"true"}},"spec":{"unschedulable":null}}`, merge).want(t, 422, "while it is cordoned")
	f.do("PATCH", node, `{"metadata":{"annotations":{"holon.dev/drain":"true"}}}`, merge).want(t, 200)
	f.do("PATCH", node, `{"spec":{"unschedulable":null}}`, strategic).want(t, 200, "`holon uncordon` removes it")
	f.do("PATCH", node, `{"metadata":{"labels":{"disk":"hdd"}}}`, merge).want(t, 200)
	f.do("PATCH", "/api/v1/nodes/n1", `{"spec":{"podCIDR":"10.0.0.0/8"}}`, "Content-Type: application/merge-patch+json").want(t, 422, "node updates may only change")
	f.do("DELETE", "/api/v1/nodes/n1", "").want(t, 405, "holon node leave")
	f.do("POST", "/api/v1/nodes", "{}").want(t, 405, "holon token create")
}

func TestErrorsOfTheBackend(t *testing.T) {
	f := serve(t)
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{ErrNotDurable, 503, "disk of n1"}, {ErrUnreachable, 503, "disk of n1"}, {ErrConflict, 409, "disk of n1"},
		{ErrExists, 409, "already exists"}, {ErrInvalid, 422, "disk of n1"}, {errors.New("boom"), 500, "disk of n1"},
	} {
		f.backend.fail = fmt.Errorf("disk of n1: %w", c.err)
		f.do("POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"x"}}`).want(t, c.code, `"kind":"Status"`, c.text)
	}
}

func TestBadRequests(t *testing.T) {
	f := serve(t)
	const maps = "/api/v1/namespaces/default/configmaps"
	f.do("POST", maps, `{`).want(t, 400, `"kind":"Status"`, "cannot be read as a ConfigMap")
	f.do("POST", maps, `{"kind":"Pod","apiVersion":"v1"}`).want(t, 400, "ConfigMap")
	f.do("POST", maps, `{"metadata":{"name":"x","namespace":"other"}}`).want(t, 400, "does not match the namespace")
	f.do("POST", maps, `{"metadata":{"name":"x","resourceVersion":"1"}}`).want(t, 400, "resourceVersion should not be set")
	f.do("POST", maps, `{}`).want(t, 422, "name or generateName is required")
	f.do("POST", maps, `x`, "Content-Type: text/plain").want(t, 415, "application/json")
	f.do("POST", maps, strings.Repeat(" ", bodyBytesMax+1)).want(t, 413, "limit is")
	f.do("PUT", maps+"/a", `{"metadata":{"name":"b"}}`).want(t, 400, "does not match the name on the URL")
	f.do("PUT", maps+"/a", `{"metadata":{"name":"a"}}`).want(t, 404)
	f.do("GET", maps+"/a", "", "Accept: text/csv").want(t, 404)
	f.do("GET", maps, "", "Accept: text/csv").want(t, 406, "only the following media types")
	f.do("GET", maps+"?resourceVersion=abc", "").want(t, 400, "not a number")
	f.do("GET", maps+"?continue=abc", "").want(t, 400, "continue key is not valid")
	f.do("GET", maps+"?resourceVersion=99999999999999&resourceVersionMatch=NotOlderThan", "").want(t, 200)
	f.do("GET", maps+"?resourceVersion=9&resourceVersionMatch=Exact", "").want(t, 410)
	f.do("GET", maps+"?resourceVersion=9&resourceVersionMatch=Odd", "").want(t, 422)
	for _, path := range []string{
		"/nothing", "/api/v2/pods", "/api/v1/endpoints", "/apis/batch/v2/jobs", "/api/v1/namespaces/default/nodes", "/api/v1/pods/x",
		"/api/v1/namespaces/default/pods/x/status", "/openapi/v1", "/testnet/partition",
	} {
		f.do("GET", path, "").want(t, 404, `"kind":"Status"`)
	}
	f.do("POST", "/apis/apps/v1/namespaces/default/replicasets", "{}").want(t, 405, "create a Deployment")
	f.do("DELETE", "/api/v1/pods", "").want(t, 405)
}
