package valid

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSecretRules(t *testing.T) {
	secret := func(kind corev1.SecretType, data ...string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default"}, Type: kind, Data: map[string][]byte{}}
		for i := 0; i < len(data); i += 2 {
			s.Data[data[i]] = []byte(data[i+1])
		}
		return s
	}
	for name, c := range map[string]struct {
		secret *corev1.Secret
		want   []string
	}{
		"opaque":          {secret("Opaque", "a.b_C-1", "x"), nil},
		"any type":        {secret("example.com/mine"), nil},
		"key":             {secret("Opaque", "a/b", "hush"), []string{`data[a/b]: Invalid value: "a/b": a valid config key`}},
		"tls":             {secret(corev1.SecretTypeTLS, "tls.crt", "x"), []string{"data[tls.key]: Required value"}},
		"ssh":             {secret(corev1.SecretTypeSSHAuth, "ssh-privatekey", ""), []string{"data[ssh-privatekey]: Required value"}},
		"basic":           {secret(corev1.SecretTypeBasicAuth), []string{"data[username]: Required value", "data[password]: Required value"}},
		"half of basic":   {secret(corev1.SecretTypeBasicAuth, "password", "x"), nil},
		"docker":          {secret(corev1.SecretTypeDockerConfigJson, ".dockerconfigjson", `{"auths":{}}`), nil},
		"no JSON":         {secret(corev1.SecretTypeDockerConfigJson, ".dockerconfigjson", "hush"), []string{`data[.dockerconfigjson]: Invalid value: "<secret contents redacted>"`}},
		"old docker":      {secret(corev1.SecretTypeDockercfg), []string{"data[.dockercfg]: Required value"}},
		"service account": {secret(corev1.SecretTypeServiceAccountToken), []string{"metadata.annotations[kubernetes.io/service-account.name]: Required value"}},
		"too large":       {secret("Opaque", "a", strings.Repeat("x", corev1.MaxSecretSize), "b", "x"), []string{"data: Too long"}},
	} {
		errs := Secret(c.secret)
		wantErrors(t, name, errs, c.want...)
		if strings.Contains(fmt.Sprint(errs), "hush") {
			t.Errorf("%s: the error shows the value: %v", name, errs)
		}
	}
	yes := true
	old := secret("Opaque", "a", "x")
	old.Immutable = &yes
	wantErrors(t, "immutable", SecretUpdate(secret("Opaque", "a", "y"), old),
		"immutable: Forbidden: field is immutable when `immutable` is set", "data: Forbidden: field is immutable when `immutable` is set")
}
