package api

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const secrets = "/api/v1/namespaces/default/secrets"

func TestTypedClientLifeOfASecret(t *testing.T) {
	for _, content := range []string{typeJSON, typeProtobuf + "," + typeJSON} {
		f := serve(t)
		config := rest.CopyConfig(f.config)
		config.AcceptContentTypes, config.ContentType = content, strings.Split(content, ",")[0]
		kube, err := kubernetes.NewForConfig(config)
		check(t, err)
		all := kube.CoreV1().Secrets("default")
		made, err := all.Create(f.ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{"note": "hush"}},
			Data:       map[string][]byte{"k": []byte("sesame"), "raw": {0, 255}}, StringData: map[string]string{"k": "open sesame", "text": "t"},
		}, create)
		check(t, err)
		if made.Type != corev1.SecretTypeOpaque || string(made.Data["k"]) != "open sesame" || string(made.Data["text"]) != "t" || made.StringData != nil || made.Annotations["note"] != "hush" {
			t.Errorf("created %+v", made)
		}
		cached, _ := f.cache.Get(Key{Secrets, "default", "a"})
		if text := strings.Join(slices.Collect(values(cached.Value())), " "); strings.Contains(text, "hush") || strings.Contains(text, "c2VzYW1l") {
			t.Errorf("the cache holds it in the clear: %s", text)
		}
		made.Data["k"] = []byte("2")
		changed, err := all.Update(f.ctx, made, update)
		check(t, err)
		got, err := all.Get(f.ctx, "a", get)
		check(t, err)
		if string(got.Data["k"]) != "2" || !bytes.Equal(got.Data["raw"], []byte{0, 255}) || got.ResourceVersion != changed.ResourceVersion {
			t.Errorf("read after write: %+v", got)
		}
		got, err = all.Patch(f.ctx, "a", types.MergePatchType, []byte(`{"stringData":{"k":"3"},"data":{"raw":null}}`), patch)
		check(t, err)
		if string(got.Data["k"]) != "3" || len(got.Data) != 2 {
			t.Errorf("patched: %+v", got)
		}
		writes := len(f.backend.mutated)
		if _, err = all.Update(f.ctx, got, update); err != nil || len(f.backend.mutated) != writes {
			t.Errorf("an update that changes nothing: %v, %d writes", err, len(f.backend.mutated)-writes)
		}
		listed, err := all.List(f.ctx, metav1.ListOptions{FieldSelector: "type=Opaque"})
		check(t, err)
		if len(listed.Items) != 1 || string(listed.Items[0].Data["k"]) != "3" {
			t.Errorf("listed %+v", listed.Items)
		}
		got.Type = corev1.SecretTypeBasicAuth
		if _, err = all.Update(f.ctx, got, update); !apierrors.IsInvalid(err) {
			t.Errorf("another type: %v", err)
		}
		check(t, all.Delete(f.ctx, "a", del))
	}
}

// values are all strings in a JSON value.
func values(v any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var walk func(v any) bool
		walk = func(v any) bool {
			switch v := v.(type) {
			case string:
				return yield(v)
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(v)) {
					if !walk(v[key]) {
						return false
					}
				}
			}
			return true
		}
		walk(v)
	}
}

// TestASecretWithoutItsKey: reads say why, nothing overwrites it, tables and
// deletes need no key.
func TestASecretWithoutItsKey(t *testing.T) {
	f := serve(t)
	f.do("POST", secrets, `{"metadata":{"name":"a"},"stringData":{"k":"sesame"}}`).want(t, 201)
	f.backend.mu.Lock()
	f.backend.locked = true
	f.backend.mu.Unlock()
	id := testDataKey.ID().String()
	for _, read := range []string{secrets + "/a", secrets, "/api/v1/secrets"} {
		f.do("GET", read, "").want(t, 503, `"kind":"Status"`, "ServiceUnavailable", id)
	}
	f.do("PUT", secrets+"/a", `{"metadata":{"name":"a"},"stringData":{"k":"other"}}`).want(t, 503, id)
	f.do("PATCH", secrets+"/a", `{"stringData":{"k":"other"}}`, "Content-Type: application/merge-patch+json").want(t, 503, id)
	table := "application/json;as=Table;v=v1;g=meta.k8s.io"
	f.do("GET", secrets, "", "Accept: "+table).want(t, 200, `["a","Opaque",1,`)
	f.do("GET", secrets+"?includeObject=Object", "", "Accept: "+table).want(t, 503, id)
	f.do("GET", secrets+"?watch=1&timeoutSeconds=1", "").want(t, 200, `"type":"ERROR"`, id)
	f.do("DELETE", secrets, "").want(t, 200, `"status":"Success"`)
	f.do("GET", secrets+"/a", "", "Accept: "+table).want(t, 404)
}

func TestAdviceOnSecrets(t *testing.T) {
	f := serve(t)
	a := f.do("POST", secrets, `{"metadata":{"name":"d"},"type":"kubernetes.io/dockerconfigjson","stringData":{".dockerconfigjson":"{}"}}`).want(t, 201)
	if warning := a.header.Get("Warning"); warning != "" {
		t.Errorf("a pull secret: %q", warning)
	}
	pod := `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","args":["--password=$(PW)"],"env":[{"name":"PW","valueFrom":{"secretKeyRef":{"name":"d","key":"k"}}}]}]}}`
	a = f.do("POST", "/api/v1/namespaces/default/pods", pod).want(t, 201)
	if warning := a.header.Get("Warning"); !strings.Contains(warning, "on a command line every user") {
		t.Errorf("a secret on a command line: %q", warning)
	}
}

func TestSecretSources(t *testing.T) {
	container := func(env string) string {
		return `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i",` + env + `}],"volumes":[{"name":"v","secret":{"secretName":"s"}}]}}`
	}
	f := serve(t)
	for body, want := range map[string]string{
		container(`"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s"}}}]`):                                                    "secretKeyRef.key: Required value",
		container(`"env":[{"name":"A","valueFrom":{"secretKeyRef":{"key":"k"}}}]`):                                                     "secretKeyRef.name: Required value",
		container(`"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"},"configMapKeyRef":{"name":"s","key":"k"}}}]`): "may not have more than one field",
		container(`"envFrom":[{"secretRef":{}}]`):                                                                                      "secretRef",
		strings.Replace(container(`"args":[]`), `"secretName":"s"`, `"secretName":"","optional":true`, 1):                              "secretName: Required value",
	} {
		f.do("POST", "/api/v1/namespaces/default/pods", body).want(t, 422, want)
	}
	f.do("POST", "/api/v1/namespaces/default/pods", container(`"envFrom":[{"secretRef":{"name":"s","optional":true}}]`)).want(t, 201, `"defaultMode":420`)
}

func TestDataKeys(t *testing.T) {
	f := serve(t)
	f.do("GET", holonPath+"datakeys", "").want(t, 200, `"id":"00112233445566aa"`, `"newest":true`)
	f.do("POST", holonPath+"datakeys", "").want(t, 201, `"id":"00112233445566aa"`)
}
