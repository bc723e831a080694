package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// open makes an object of a sealed kind readable. The cache holds it sealed:
// plaintext lives only as long as the request that asked for it.
func (s *Server) open(k *kind, o Object) (Object, error) {
	if !k.sealed || o.Value == nil {
		return o, nil
	}
	opened, err := s.config.Backend.Open(o)
	return opened, ofBackend(err, k.groupResource(), o.Name)
}

// reveal opens an object as far as the form of the answer needs: a table shows
// how many values there are, which it tells without any key.
func (s *Server) reveal(k *kind, o Object, f format, r *http.Request) (Object, error) {
	if f.shape == asTable && includeObject(r) != metav1.IncludeObject {
		return o, nil
	}
	return s.open(k, o)
}

var secretColumns = []metav1.TableColumnDefinition{nameColumn, column("Type"), column("Data"), column("Age")}

func secretRow(s *corev1.Secret) []any {
	return []any{s.Name, string(s.Type), int64(len(s.Data)), age(s.CreationTimestamp)}
}

// defaultSecret merges stringData into data, as Kubernetes does on every write.
func defaultSecret(s *corev1.Secret) {
	orDefault(&s.Type, corev1.SecretTypeOpaque)
	for key, value := range s.Data {
		if value == nil { // null
			s.Data[key] = []byte{}
		}
	}
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for key, text := range s.StringData {
		s.Data[key] = []byte(text)
	}
	s.StringData = nil
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	errs := validateMetadata(&s.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	data := field.NewPath("data")
	size := 0
	for key, value := range s.Data {
		errs = append(errs, invalids(data.Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(value)
	}
	if size > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "", corev1.MaxSecretSize))
	}
	return append(errs, validateSecretType(s, data)...)
}

// validateSecretType wants the keys that a type promises. No message shows a value.
func validateSecretType(s *corev1.Secret, data *field.Path) field.ErrorList {
	var errs field.ErrorList
	need := func(key string) {
		if _, there := s.Data[key]; !there {
			errs = append(errs, field.Required(data.Key(key), ""))
		}
	}
	config := func(key string) {
		need(key)
		if value, there := s.Data[key]; there && json.Unmarshal(value, &map[string]any{}) != nil {
			errs = append(errs, field.Invalid(data.Key(key), "<secret contents redacted>", "must be a JSON object"))
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		config(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		config(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			need(corev1.BasicAuthUsernameKey)
			need(corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey)
		need(corev1.TLSPrivateKeyKey)
	}
	return errs
}

func validateSecretUpdate(s, old *corev1.Secret) field.ErrorList {
	var errs field.ErrorList
	if s.Type != old.Type {
		errs = append(errs, field.Invalid(field.NewPath("type"), s.Type, "field is immutable"))
	}
	if !deref(old.Immutable) {
		return errs
	}
	const why = "field is immutable when `immutable` is set"
	if !deref(s.Immutable) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), why))
	}
	if !equality.Semantic.DeepEqual(s.Data, old.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), why))
	}
	return errs
}

// adviseSecret names what a type promises and holon does not do yet.
func adviseSecret(s *corev1.Secret) []string {
	switch s.Type {
	case corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson:
		return []string{"type: stored, but not used yet when images are pulled: images are pulled with the credentials of the node's container runtime"}
	case corev1.SecretTypeServiceAccountToken:
		return []string{"type: no token is made: holon has no ServiceAccounts yet"}
	}
	return nil
}

// adviseOnSecrets warns of secrets that a command line would show to every user
// of the node.
func adviseOnSecrets(spec *corev1.PodSpec, at string) []string {
	var advice []string
	for i, c := range spec.Containers {
		for _, e := range c.Env {
			if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
				continue
			}
			for _, arg := range append(append([]string{}, c.Command...), c.Args...) {
				if strings.Contains(arg, "$("+e.Name+")") {
					advice = append(advice, fmt.Sprintf(
						"%s.containers[%d]: $(%s) is a Secret's value: on a command line every user of the node can read it; let the program take it from its environment or a file", at, i, e.Name))
					break
				}
			}
		}
	}
	return advice
}
