package valid

import (
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// parse reads a manifest in YAML; what is given replaces the marked lines.
func parse[T any](t *testing.T, text string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// wantErrors compares errors with "path: beginning of the text" each.
func wantErrors(t *testing.T, name string, errs field.ErrorList, want ...string) {
	t.Helper()
	ok := len(errs) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.HasPrefix(errs[i].Error(), want[i])
	}
	if !ok {
		t.Errorf("%s: got\n\t%v\nwant\n\t%s", name, errs, strings.Join(want, "\n\t"))
	}
}

const validPod = `
metadata: {name: p, namespace: default}
spec:
  containers:
  - name: a
    image: web:1
`

func TestPodRules(t *testing.T) {
	const spec = "metadata: {name: p, namespace: default}\nspec:\n"
	const container = spec + "  containers:\n  - name: a\n    image: web:1\n"
	for text, want := range map[string][]string{
		validPod: nil,
		"metadata: {name: P_1, namespace: default}\nspec: {containers: [{name: a, image: b}]}": {"metadata.name: Invalid value: \"P_1\": a lowercase RFC 1123 subdomain"},
		"metadata: {name: p, namespace: default, labels: {a b: c}}\nspec: {containers: [{name: a, image: b}]}": {
			"metadata.labels: Invalid value: \"a b\": name part must consist of"},
		spec + "  containers: []\n":                                                                 {"spec.containers: Required value"},
		spec + "  containers: [{name: a}]":                                                          {"spec.containers[0].image: Required value"},
		spec + "  containers: [{image: a}]":                                                         {"spec.containers[0].name: Required value"},
		spec + "  containers: [{name: A, image: b}]":                                                {"spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label"},
		spec + "  containers: [{name: a, image: ' b'}]":                                             {"spec.containers[0].image: Invalid value: \" b\": must not have leading or trailing whitespace"},
		spec + "  containers: [{name: a, image: b}, {name: a, image: b}]":                           {"spec.containers[1].name: Duplicate value: \"a\""},
		spec + "  containers: [{name: a, image: b, imagePullPolicy: Sometimes}]":                    {"spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values"},
		spec + "  containers: [{name: a, image: b, terminationMessagePolicy: Mail}]":                {"spec.containers[0].terminationMessagePolicy: Unsupported value: \"Mail\""},
		container + "  restartPolicy: Perhaps":                                                      {"spec.restartPolicy: Unsupported value: \"Perhaps\""},
		container + "  terminationGracePeriodSeconds: -1":                                           {"spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"},
		container + "  hostname: a.b":                                                               {"spec.hostname: Invalid value"},
		container + "  nodeName: A":                                                                 {"spec.nodeName: Invalid value"},
		container + "  nodeSelector: {a: 'b c'}":                                                    {"spec.nodeSelector: Invalid value"},
		container + "    ports: [{containerPort: 0}]":                                               {"spec.containers[0].ports[0].containerPort: Required value"},
		container + "    ports: [{containerPort: 70000}]":                                           {"spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535"},
		container + "    ports: [{containerPort: 1, protocol: SCTP}]":                               {"spec.containers[0].ports[0].protocol: Unsupported value: \"SCTP\""},
		container + "    ports: [{containerPort: 1, name: UPPER}]":                                  {"spec.containers[0].ports[0].name: Invalid value: \"UPPER\": must contain only", "spec.containers[0].ports[0].name: Invalid value: \"UPPER\": must contain at least"},
		container + "    ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]": {"spec.containers[0].ports[1].hostPort: Duplicate value: 5"},
		container + "    env: [{name: ''}]":                                                         {"spec.containers[0].env[0].name: Required value"},
		container + "    env: [{name: A=B}]":                                                        {"spec.containers[0].env[0].name: Invalid value"},
		container + "    env: [{name: A, valueFrom: {}}]":                                           {"spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of"},
		container + "    env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]": {
			"spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"},
		container + "    env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}]": nil,
		container + "    env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.phase}}}]": {
			"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\""},
		container + "    env: [{name: A, valueFrom: {configMapKeyRef: {name: c}}}]": {"spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value"},
		container + "    envFrom: [{prefix: X}]":                                    {"spec.containers[0].envFrom[0]: Invalid value"},
		container + "    resources: {requests: {cpu: '2'}, limits: {cpu: '1'}}":     {"spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"},
		container + "    resources: {requests: {memory: '-1'}}":                     {"spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0"},
		container + "    volumeMounts: [{name: v, mountPath: /x}]":                  {"spec.containers[0].volumeMounts[0].name: Not found: \"v\""},
		container + "    volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /x}]\n  volumes: [{name: v}]": {
			"spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique"},
		container + "    volumeMounts: [{name: v, mountPath: x, subPath: ../y}]\n  volumes: [{name: v}]": {
			"spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"x\": must be an absolute path",
			"spec.containers[0].volumeMounts[0].subPath: Invalid value: \"../y\": must not contain '..'"},
		container + "  volumes: [{name: v}, {name: v}]":                                         {"spec.volumes[1].name: Duplicate value: \"v\""},
		container + "  volumes: [{name: v, emptyDir: {}, configMap: {name: c}}]":                {"spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type"},
		container + "  volumes: [{name: v, configMap: {}}]":                                     {"spec.volumes[0].configMap.name: Required value"},
		container + "  volumes: [{name: v, configMap: {name: c, items: [{key: k, path: /x}]}}]": {"spec.volumes[0].configMap.items[0].path: Invalid value: \"/x\": must be a relative path"},
		container + "  volumes: [{name: v, configMap: {name: c, defaultMode: 512}}]":            {"spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777"},
		container + "  tolerations: [{operator: Equal}]":                                        {"spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty"},
		container + "  tolerations: [{key: a, operator: Exists, value: b}]":                     {"spec.tolerations[0].operator: Invalid value"},
		container + "  tolerations: [{operator: Exists}]":                                       nil,
	} {
		p := parse[corev1.Pod](t, text)
		DefaultPod(p)
		wantErrors(t, text, Pod(p), want...)
	}
}

const validDeployment = `
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: web}]}
`

func TestDeploymentRules(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(validDeployment, old) {
			t.Fatalf("%q is not in the manifest", old)
		}
		return strings.Replace(validDeployment, old, new, 1)
	}
	strategy := func(s string) string { return validDeployment + "  strategy: " + s }
	for text, want := range map[string][]string{
		validDeployment: nil,
		replace("selector: {matchLabels: {app: web}}", "replicas: 1"):   {"spec.selector: Required value"},
		replace("{matchLabels: {app: web}}", "{}"):                      {"spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
		replace("matchLabels: {app: web}", "matchLabels: {app: other}"): {"spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"},
		replace("matchLabels: {app: web}", "matchExpressions: [{key: app, operator: Near}]"): {
			"spec.selector.matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator"},
		validDeployment + "  replicas: -1": {"spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		replace("containers: [", "restartPolicy: OnFailure, containers: ["): {
			"spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\""},
		replace("containers: [", "nodeName: n1, containers: ["):                {"spec.template.spec.nodeName: Forbidden"},
		replace("image: web", "image: ''"):                                     {"spec.template.spec.containers[0].image: Required value"},
		strategy("{type: Recreate}"):                                           nil,
		strategy("{type: Recreate, rollingUpdate: {maxSurge: 1}}"):             {"spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
		strategy("{type: Blue}"):                                               {"spec.strategy.type: Unsupported value: \"Blue\""},
		strategy("{rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"):          {"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"},
		strategy("{rollingUpdate: {maxSurge: 0%, maxUnavailable: 0%}}"):        {"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"},
		strategy("{rollingUpdate: {maxUnavailable: 101%}}"):                    {"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"},
		strategy("{rollingUpdate: {maxSurge: some, maxUnavailable: 1}}"):       {"spec.strategy.rollingUpdate.maxSurge: Invalid value: \"some\": a valid percent string"},
		strategy("{rollingUpdate: {maxSurge: -1, maxUnavailable: 1}}"):         {"spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0"},
		validDeployment + "  progressDeadlineSeconds: 5\n  minReadySeconds: 5": {"spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"},
	} {
		d := parse[appsv1.Deployment](t, text)
		DefaultDeployment(d)
		wantErrors(t, text, Deployment(d), want...)
	}
	old, moved := parse[appsv1.Deployment](t, validDeployment), parse[appsv1.Deployment](t, strings.ReplaceAll(validDeployment, "app: web", "app: other"))
	wantErrors(t, "selector", DeploymentUpdate(moved, old), "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"other\"}}: field is immutable")
}

func TestConfigMapRules(t *testing.T) {
	valid := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "default"}, Data: map[string]string{"a.b_C-1": "x"}}
	}
	wantErrors(t, "valid", ConfigMap(valid()))
	c := valid()
	c.Data["a/b"] = "x"
	wantErrors(t, "key", ConfigMap(c), "data[a/b]: Invalid value: \"a/b\": a valid config key")
	c = valid()
	c.BinaryData = map[string][]byte{"a.b_C-1": nil}
	wantErrors(t, "both", ConfigMap(c), "data[a.b_C-1]: Invalid value: \"a.b_C-1\": duplicate of key present in binaryData")
	c = valid()
	c.Data["big"] = strings.Repeat("x", configMapBytesMax)
	if errs := ConfigMap(c); len(errs) != 1 || errs[0].Type != field.ErrorTypeTooLong {
		t.Errorf("size: %v", errs)
	}
	yes := true
	old := valid()
	old.Immutable = &yes
	c = valid()
	c.Data["new"] = "x"
	wantErrors(t, "immutable", ConfigMapUpdate(c, old),
		"immutable: Forbidden: field is immutable when `immutable` is set", "data: Forbidden: field is immutable when `immutable` is set")
}

func TestTaintRules(t *testing.T) {
	n := parse[corev1.Node](t, "metadata: {name: n1}\nspec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}, {key: 'b c', effect: Never}, {key: d}]}")
	wantErrors(t, "taints", Node(n), "spec.taints[1]: Duplicate value", "spec.taints[2].key: Invalid value",
		"spec.taints[2].effect: Unsupported value: \"Never\"", "spec.taints[3].effect: Required value")
}

func TestDefaultsTwiceAreDefaultsOnce(t *testing.T) {
	d := parse[appsv1.Deployment](t, validDeployment)
	d.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}}
	d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "v"}, {Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}}}
	DefaultDeployment(d)
	once := d.DeepCopy()
	DefaultDeployment(d)
	if !reflect.DeepEqual(once, d) {
		t.Errorf("twice: %+v\nonce: %+v", d, once)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if *d.Spec.Replicas != 1 || c.ImagePullPolicy != corev1.PullAlways || c.Ports[0].Protocol != corev1.ProtocolTCP ||
		d.Spec.Template.Spec.Volumes[0].EmptyDir == nil || *d.Spec.Template.Spec.Volumes[1].ConfigMap.DefaultMode != 0o644 {
		t.Errorf("%+v", d)
	}
	p := parse[corev1.Pod](t, "spec: {containers: [{name: a, image: b, resources: {limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 100m}}}]}")
	DefaultPod(p)
	r := p.Spec.Containers[0].Resources.Requests
	if r.Cpu().String() != "100m" || r.Memory().String() != "1Gi" {
		t.Errorf("requests %v", r)
	}
}

func TestDefaultPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"web": "Always", "web:latest": "Always", "host:5000/web": "Always", "host:5000/web:latest": "Always",
		"web:1": "IfNotPresent", "host:5000/web:v1": "IfNotPresent", "web@sha256:abc": "IfNotPresent",
	} {
		if got := defaultPullPolicy(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestBudgetRules(t *testing.T) {
	const meta = "metadata: {name: b, namespace: default}\nspec: "
	for text, want := range map[string][]string{
		meta + "{minAvailable: 1, selector: {}}": nil,
		meta + "{maxUnavailable: 30%, selector: {matchLabels: {a: b}}, unhealthyPodEvictionPolicy: AlwaysAllow}": nil,
		meta + "{minAvailable: 1, maxUnavailable: 1}":                                                            {`spec: Invalid value: "": minAvailable and maxUnavailable cannot be both set`},
		meta + "{minAvailable: -1}":                      {"spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"},
		meta + "{maxUnavailable: much}":                  {`spec.maxUnavailable: Invalid value: "much": a valid percent string`},
		meta + "{maxUnavailable: 101%}":                  {`spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%`},
		meta + "{unhealthyPodEvictionPolicy: Sometimes}": {`spec.unhealthyPodEvictionPolicy: Unsupported value: "Sometimes"`},
		meta + "{selector: {matchLabels: {a b: c}}}":     {"spec.selector.matchLabels: Invalid value"},
	} {
		wantErrors(t, text, PodDisruptionBudget(parse[policyv1.PodDisruptionBudget](t, text)), want...)
	}
}

func TestPriorityClassRules(t *testing.T) {
	for text, want := range map[string][]string{
		"metadata: {name: a}\nvalue: 1000000000\npreemptionPolicy: Never": nil,
		"metadata: {name: a}\nvalue: -5":                                  nil,
		"metadata: {name: system-a}":                                      {"metadata.name: Forbidden: priority class names with 'system-' prefix are reserved"},
		"metadata: {name: a}\nvalue: 1000000001":                          {"value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
		"metadata: {name: a}\npreemptionPolicy: Perhaps":                  {`preemptionPolicy: Unsupported value: "Perhaps"`},
	} {
		wantErrors(t, text, PriorityClass(parse[schedulingv1.PriorityClass](t, text)), want...)
	}
	one, two := &schedulingv1.PriorityClass{Value: 1}, &schedulingv1.PriorityClass{Value: 2, Description: "a"}
	wantErrors(t, "another value", PriorityClassUpdate(two, one), "value: Forbidden: may not be changed in an update.")
	wantErrors(t, "the same value", PriorityClassUpdate(two, two))
}
