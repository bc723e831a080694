package api

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// open makes an object of a sealed kind readable. The cache holds it sealed:
// plaintext lives only as long as the request that asked for it.
func (s *Server) open(k *kind, o Object) (Object, error) {
	if !k.sealed || o.Source == nil {
		return o, nil
	}
	opened, err := s.config.Backend.Open(o)
	return opened, ofBackend(err, k.groupResource(), o.Name)
}

// reveal opens an object as far as the form of the answer needs: a table shows
// how many values there are, which it tells without any key.
func (s *Server) reveal(k *kind, o Object, f format, include metav1.IncludeObjectPolicy) (Object, error) {
	if f.shape == asTable && include != metav1.IncludeObject {
		return o, nil
	}
	return s.open(k, o)
}

var secretColumns = []metav1.TableColumnDefinition{nameColumn, column("Type"), column("Data"), column("Age")}

func secretRow(s *corev1.Secret) []any {
	return []any{s.Name, string(s.Type), int64(len(s.Data)), age(s.CreationTimestamp)}
}

// adviseSecret names what a type promises and holon does not do yet.
func adviseSecret(s *corev1.Secret) []string {
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		return []string{"type: no token is put into it: 'kubectl create token' makes one that ends"}
	}
	return nil
}

// adviseOnSecrets warns of secrets that a command line would show to every user
// of the node.
func adviseOnSecrets(spec *corev1.PodSpec, at string) []string {
	var advice []string
	for i := range spec.InitContainers {
		advice = append(advice, adviseOnCommand(&spec.InitContainers[i], fmt.Sprintf("%s.initContainers[%d]", at, i))...)
	}
	for i := range spec.Containers {
		advice = append(advice, adviseOnCommand(&spec.Containers[i], fmt.Sprintf("%s.containers[%d]", at, i))...)
	}
	return advice
}

func adviseOnCommand(c *corev1.Container, at string) (advice []string) {
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
			continue
		}
		for _, arg := range append(append([]string{}, c.Command...), c.Args...) {
			if strings.Contains(arg, "$("+e.Name+")") {
				advice = append(advice, fmt.Sprintf(
					"%s: $(%s) is a Secret's value: on a command line every user of the node can read it; let the program take it from its environment or a file", at, e.Name))
				break
			}
		}
	}
	return advice
}
