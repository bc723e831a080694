package valid

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podWith is a valid pod with one volume, and a variable.
func podWith(v corev1.VolumeSource, from *corev1.EnvVarSource) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "app:1"}},
		Volumes:    []corev1.Volume{{Name: "v", VolumeSource: v}},
	}}
	p.Name, p.Namespace = "p", "default"
	if from != nil {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "E", ValueFrom: from}}
	}
	DefaultPod(p)
	return p
}

// says checks that an object is refused with a sentence, or accepted if that is empty.
func says(t *testing.T, what string, p *corev1.Pod, want string) {
	t.Helper()
	text := ""
	if errs := Pod(p); len(errs) > 0 {
		text = errs.ToAggregate().Error()
	}
	if (want == "") != (text == "") || !strings.Contains(text, want) {
		t.Errorf("%s: it says %q, want %q", what, text, want)
	}
}

func at(path string) *corev1.ObjectFieldSelector {
	return &corev1.ObjectFieldSelector{FieldPath: path}
}

func amount(container, name, divisor string) *corev1.ResourceFieldSelector {
	return &corev1.ResourceFieldSelector{ContainerName: container, Resource: name, Divisor: resource.MustParse(divisor)}
}

func TestDownwardFiles(t *testing.T) {
	item := func(f corev1.DownwardAPIVolumeFile) corev1.VolumeSource {
		return corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{f}}}
	}
	for _, c := range []struct {
		file corev1.DownwardAPIVolumeFile
		want string
	}{
		{corev1.DownwardAPIVolumeFile{Path: "a", FieldRef: at("metadata.labels")}, ""},
		{corev1.DownwardAPIVolumeFile{Path: "a", FieldRef: at("metadata.labels['x']")}, ""},
		{corev1.DownwardAPIVolumeFile{Path: "a", FieldRef: at("status.podIP")}, "Unsupported value"},
		{corev1.DownwardAPIVolumeFile{Path: "../a", FieldRef: at("metadata.name")}, "must not contain '..'"},
		{corev1.DownwardAPIVolumeFile{FieldRef: at("metadata.name")}, "items[0].path: Required"},
		{corev1.DownwardAPIVolumeFile{Path: "a"}, "one of fieldRef and resourceFieldRef is required"},
		{corev1.DownwardAPIVolumeFile{Path: "a", ResourceFieldRef: amount("app", "limits.cpu", "1m")}, ""},
		{corev1.DownwardAPIVolumeFile{Path: "a", ResourceFieldRef: amount("", "limits.cpu", "1m")}, "containerName: Required"},
		{corev1.DownwardAPIVolumeFile{Path: "a", ResourceFieldRef: amount("app", "limits.cpu", "1Ki")}, "divisor: Unsupported"},
		{corev1.DownwardAPIVolumeFile{Path: "a", ResourceFieldRef: amount("app", "limits.nvidia", "1")}, "resource: Unsupported"},
		{corev1.DownwardAPIVolumeFile{Path: "a", FieldRef: at("metadata.name"), ResourceFieldRef: amount("app", "limits.cpu", "1")}, "simultaneously"},
	} {
		says(t, c.file.String(), podWith(item(c.file), nil), c.want)
	}
	says(t, "a variable", podWith(corev1.VolumeSource{}, &corev1.EnvVarSource{ResourceFieldRef: amount("", "requests.memory", "1Mi")}), "")
	says(t, "two sources", podWith(corev1.VolumeSource{}, &corev1.EnvVarSource{FieldRef: at("metadata.name"), ResourceFieldRef: amount("", "requests.memory", "1Mi")}), "more than one field")
	says(t, "all labels as a variable", podWith(corev1.VolumeSource{}, &corev1.EnvVarSource{FieldRef: at("metadata.labels")}), "Unsupported value")
}

func TestProjections(t *testing.T) {
	mode := int32(0o1000)
	configMap := func(name string, paths ...string) corev1.VolumeProjection {
		c := &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}}
		for _, p := range paths {
			c.Items = append(c.Items, corev1.KeyToPath{Key: "k", Path: p})
		}
		return corev1.VolumeProjection{ConfigMap: c}
	}
	token := func(path string, seconds int64) corev1.VolumeProjection {
		return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: path, ExpirationSeconds: &seconds}}
	}
	both := configMap("a")
	both.Secret = &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}
	for _, c := range []struct {
		what    string
		mode    *int32
		sources []corev1.VolumeProjection
		want    string
	}{
		{"none", nil, nil, ""},
		{"two objects", nil, []corev1.VolumeProjection{configMap("a"), configMap("b", "x")}, ""},
		{"one path twice", nil, []corev1.VolumeProjection{configMap("a", "x"), configMap("b", "x")}, "conflicting duplicate paths"},
		{"no name", nil, []corev1.VolumeProjection{configMap("")}, "sources[0].configMap.name: Required"},
		{"a source of nothing", nil, []corev1.VolumeProjection{{}}, "specify a volume type to project"},
		{"a source of two", nil, []corev1.VolumeProjection{both}, "more than 1 volume type per source"},
		{"a path that leaves", nil, []corev1.VolumeProjection{configMap("a", "/x")}, "must be a relative path"},
		{"a mode", &mode, nil, "defaultMode: Invalid"},
		{"a token", nil, []corev1.VolumeProjection{token("token", 600), configMap("a", "x")}, ""},
		{"a token in the way", nil, []corev1.VolumeProjection{configMap("a", "x"), token("x", 600)}, "conflicting duplicate paths"},
		{"a token of no file", nil, []corev1.VolumeProjection{token("", 600)}, "serviceAccountToken.path: Required"},
		{"a token that leaves", nil, []corev1.VolumeProjection{token("../x", 600)}, "must not contain '..'"},
		{"a token that ends at once", nil, []corev1.VolumeProjection{token("x", 599)}, "less than 10 minutes"},
		{"a token for ever", nil, []corev1.VolumeProjection{token("x", 1<<32+1)}, "larger than 2^32 seconds"},
	} {
		says(t, c.what, podWith(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: c.mode, Sources: c.sources}}, nil), c.want)
	}
	says(t, "two kinds", podWith(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}, Projected: &corev1.ProjectedVolumeSource{}}, nil), "more than 1 volume type")
}

func TestHostPathAndEmptyDir(t *testing.T) {
	path := func(path, kind string) corev1.VolumeSource {
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: (*corev1.HostPathType)(&kind)}}
	}
	empty := func(medium, limit string) corev1.VolumeSource {
		q := resource.MustParse(limit)
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMedium(medium), SizeLimit: &q}}
	}
	for _, c := range []struct {
		v    corev1.VolumeSource
		want string
	}{
		{path("/var/log", ""), ""},
		{path("/dev/null", "CharDevice"), ""},
		{path("", ""), "hostPath.path: Required"},
		{path("/var/../etc", ""), "must not contain '..'"},
		{path("var", ""), "must be an absolute path"},
		{path("/var", "Folder"), "hostPath.type: Unsupported"},
		{empty("", "1Mi"), ""},
		{empty("Memory", "1Mi"), ""},
		{empty("HugePages", "1Mi"), "emptyDir.medium: Unsupported"},
		{empty("Memory", "-1"), "emptyDir.sizeLimit: Forbidden"},
	} {
		says(t, c.v.String(), podWith(c.v, nil), c.want)
	}
}

func TestSurroundings(t *testing.T) {
	servers := func(s ...string) *corev1.PodDNSConfig { return &corev1.PodDNSConfig{Nameservers: s} }
	for _, c := range []struct {
		what   string
		policy corev1.DNSPolicy
		config *corev1.PodDNSConfig
		alias  corev1.HostAlias
		want   string
	}{
		{"all is well", "None", servers("192.0.2.1"), corev1.HostAlias{IP: "192.0.2.9", Hostnames: []string{"a.example"}}, ""},
		{"no server", "None", nil, corev1.HostAlias{IP: "::1"}, "at least one DNS nameserver"},
		{"another policy", "Some", nil, corev1.HostAlias{IP: "::1"}, "dnsPolicy: Unsupported"},
		{"a name for a server", "None", servers("ns.example"), corev1.HostAlias{IP: "::1"}, "nameservers[0]: Invalid"},
		{"many servers", "None", servers("::1", "::2", "::3", "::4"), corev1.HostAlias{IP: "::1"}, "more than 3"},
		{"an option of nothing", "Default", &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{}}}, corev1.HostAlias{IP: "::1"}, "options[0]: Required"},
		{"no address", "Default", nil, corev1.HostAlias{IP: "a"}, "hostAliases[0].ip: Invalid"},
		{"no name", "Default", nil, corev1.HostAlias{IP: "::1", Hostnames: []string{"a_b"}}, "hostnames[0]: Invalid"},
	} {
		p := podWith(corev1.VolumeSource{}, nil)
		p.Spec.DNSPolicy, p.Spec.DNSConfig, p.Spec.HostAliases = c.policy, c.config, []corev1.HostAlias{c.alias}
		says(t, c.what, p, c.want)
	}
}
