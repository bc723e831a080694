package api

import (
	"errors"
	"fmt"
	"net/http"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var evictionKind = schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}

// Errors of Backend.Evict, besides the usual ones.
var (
	// ErrStays: the pod cannot move now, and the error says why; it may later.
	ErrStays = errors.New("the pod stays where it is")
	// ErrTwice: the workload must not run twice, so its pod does not move while it runs.
	ErrTwice = errors.New("it must not run twice")
)

// BudgetError: a disruption budget forbids an eviction now.
type BudgetError struct {
	Budget     string // its name
	Needs, Has int
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", e.Budget, e.Needs, e.Has)
}

// evict serves the eviction subresource of pods, which `kubectl drain` uses.
func (s *Server) evict(w http.ResponseWriter, r *http.Request, t *target) error {
	if r.Method != http.MethodPost {
		return notAllowed(t, r.Method, "")
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	eviction := &policyv1.Eviction{}
	if _, err := decode(r, body, evictionKind, eviction); err != nil {
		return err
	}
	if eviction.Name != "" && eviction.Name != t.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the eviction is of pod %s, and this is the place for pod %s", eviction.Name, t.name))
	}
	opts := eviction.DeleteOptions
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	opts.DryRun = append(opts.DryRun, r.URL.Query()["dryRun"]...)
	if _, err := dryRunOf(opts.DryRun); err != nil {
		return err
	}
	o, err := s.find(t)
	if err != nil {
		return err
	}
	if p := opts.Preconditions; p != nil {
		if err := s.sameObject(t, o, deref(p.UID), deref(p.ResourceVersion)); err != nil {
			return err
		}
	}
	warnDelete(t, o, opts, warningsTo(w))
	if err := s.config.Backend.Evict(r.Context(), t.namespace, t.name, len(opts.DryRun) > 0); err != nil {
		return ofEviction(err, t)
	}
	status := successStatus()
	status.Code = http.StatusCreated
	writeObject(w, r, http.StatusCreated, &status)
	return nil
}

// ofEviction gives an error of Backend.Evict Kubernetes' words. Clients try again after
// 429, and after nothing else.
func ofEviction(err error, t *target) error {
	var budget *BudgetError
	switch {
	case errors.As(err, &budget):
		status := tooMany("Cannot evict pod as it would violate the pod's disruption budget.")
		details := status.(*apierrors.StatusError).ErrStatus.Details
		details.RetryAfterSeconds = 0 // as Kubernetes: nobody knows when
		details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: budget.Error()}}
		return status
	case errors.Is(err, ErrStays):
		return tooMany("Cannot evict pod: %v", err)
	case errors.Is(err, ErrTwice):
		return apierrors.NewForbidden(t.kind.groupResource(), t.name, err)
	}
	return ofBackend(err, t.kind.groupResource(), t.name)
}
