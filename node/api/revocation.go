package api

import (
	"fmt"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Revocation ends a credential, or all of a user, for good. There are only ever more of
// them, so of two sides of a partition that has one wins; a side that has not heard of it
// honours the credential until it does.
type Revocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RevocationSpec `json:"spec"`
}

// RevocationSpec names what is revoked: one of serial and user.
type RevocationSpec struct {
	Serial string `json:"serial,omitempty"` // of a credential, in lower-case hexadecimal
	User   string `json:"user,omitempty"`   // whatever credentials he has or gets
	Reason string `json:"reason,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (r *Revocation) DeepCopyObject() runtime.Object {
	out := *r
	r.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

var revocationKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: holonGroup, Version: holonVersion, Kind: "Revocation"},
	plural:           "revocations", singular: "revocation",
	verbs: []string{"create", "get", "list", "watch"},
	refuses: map[string]string{
		"delete": "what is revoked stays so; give the user a new credential", "update": "what is revoked stays so", "patch": "what is revoked stays so",
	},
	make: func() runtime.Object { return &Revocation{} },
	fields: merged(
		fieldRules{honoured: []string{"metadata", "spec", "spec.serial", "spec.user", "spec.reason"}, filled: []string{"apiVersion", "kind"}}.at(""),
		metadataRules.at("metadata")),
	validate: on(validRevocation),
	columns:  []metav1.TableColumnDefinition{nameColumn, column("User"), column("Serial"), column("Reason"), column("Age")},
	row: row(func(r *Revocation) []any {
		return []any{r.Name, or(r.Spec.User, "<none>"), or(r.Spec.Serial, "<none>"), or(r.Spec.Reason, "<none>"), age(r.CreationTimestamp)}
	}),
}

func validRevocation(r *Revocation) field.ErrorList {
	at := field.NewPath("spec")
	errs := apivalidation.ValidateObjectMeta(&r.ObjectMeta, false, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	switch {
	case (r.Spec.Serial == "") == (r.Spec.User == ""):
		errs = append(errs, field.Invalid(at, "", "name either a serial or a user"))
	case r.Spec.User == AdminUser:
		errs = append(errs, field.Forbidden(at.Child("user"), "every node writes a credential of this user for its owner: revoke a serial"))
	case strings.Trim(r.Spec.Serial, "0123456789abcdef") != "" || strings.HasPrefix(r.Spec.Serial, "0"):
		errs = append(errs, field.Invalid(at.Child("serial"), r.Spec.Serial, "a serial is written in lower-case hexadecimal"))
	}
	return errs
}

// serialOf and userOf are the keys of what is revoked.
func serialOf(serial string) string { return "serial " + serial }
func userOf(name string) string     { return "user " + name }

// revokedBy reads what one state revokes. Of an object with several versions each counts.
func revokedBy(s *snapshot) map[string]string {
	all := map[string]string{}
	for _, o := range s.list(Revocations, "") {
		for _, spec := range readVersions(&o, func(r *Revocation) RevocationSpec { return r.Spec }) {
			why := or(spec.Reason, fmt.Sprintf("see revocation %s", o.Name))
			if spec.Serial != "" {
				all[serialOf(spec.Serial)] = why
			}
			if spec.User != "" {
				all[userOf(spec.User)] = why
			}
		}
	}
	return all
}
