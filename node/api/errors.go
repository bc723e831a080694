package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// statusOf turns any error into what Kubernetes clients understand.
func statusOf(err error) metav1.Status {
	var known apierrors.APIStatus
	var status metav1.Status
	if errors.As(err, &known) {
		status = known.Status()
	} else {
		status = apierrors.NewInternalError(err).Status()
		status.Message = err.Error()
	}
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if status.Status == "" {
		status.Status = metav1.StatusFailure
	}
	if status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	return status
}

// ofBackend gives an error of Backend the meaning it has for one object.
func ofBackend(err error, gr schema.GroupResource, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.As(err, new(apierrors.APIStatus)):
		return err
	case errors.Is(err, ErrNotFound):
		return apierrors.NewNotFound(gr, name)
	case errors.Is(err, ErrExists):
		return apierrors.NewAlreadyExists(gr, name)
	case errors.Is(err, ErrConflict):
		return apierrors.NewConflict(gr, name, err)
	case errors.Is(err, ErrInvalid):
		return statusError(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "%s %q is invalid: %s", gr, name, strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	case errors.Is(err, ErrDenied):
		return statusError(http.StatusForbidden, metav1.StatusReasonForbidden, "%v", err)
	case errors.Is(err, ErrBusy):
		return tooMany("%v", err)
	case errors.Is(err, ErrNoRoom):
		return statusError(http.StatusInsufficientStorage, "InsufficientStorage", "%v", err)
	case errors.Is(err, ErrSealed), errors.Is(err, ErrNotDurable), errors.Is(err, ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewServiceUnavailable(err.Error())
	}
	return apierrors.NewInternalError(err)
}

func statusError(code int, reason metav1.StatusReason, format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: fmt.Sprintf(format, args...),
	}}
}

// notServed is the answer for a path that means nothing here, in the words that
// clients look for. They read the details without asking whether there are some.
func notServed() error {
	return notServedAs("the server could not find the requested resource")
}

func notServedAs(words string) error {
	err := statusError(http.StatusNotFound, metav1.StatusReasonNotFound, "%s", words)
	err.(*apierrors.StatusError).ErrStatus.Details = &metav1.StatusDetails{}
	return err
}

func notAllowed(t *target, verb, why string) error {
	err := apierrors.NewMethodNotSupported(t.kind.groupResource(), verb)
	if why != "" {
		err.ErrStatus.Message += ": " + why
	}
	return err
}

func tooMany(format string, args ...any) error {
	err := statusError(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, format, args...)
	err.(*apierrors.StatusError).ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	writeObject(w, r, int(status.Code), &status)
}

// successStatus answers a request that leaves nothing to show.
func successStatus() metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}
}
