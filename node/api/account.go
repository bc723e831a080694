package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var tokenRequestKind = schema.GroupVersionKind{Group: authenticationv1.GroupName, Version: "v1", Kind: "TokenRequest"}

// createAccountToken serves the token subresource of ServiceAccounts, which `kubectl create
// token` uses.
func (s *Server) createAccountToken(w http.ResponseWriter, r *http.Request, t *target) error {
	if r.Method != http.MethodPost {
		return notAllowed(t, r.Method, "")
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	request := &authenticationv1.TokenRequest{}
	if _, err := decode(r, body, tokenRequestKind, request); err != nil {
		return err
	}
	if s.config.CA == nil {
		return apierrors.NewServiceUnavailable("this node has no key to sign tokens with")
	}
	ask, err := accountTokenOf(t, &request.Spec)
	if err != nil {
		return err
	}
	made, err := s.issuer.AccountToken(ask)
	switch {
	case errors.Is(err, errNoTime):
		return apierrors.NewServiceUnavailable(err.Error())
	case err != nil:
		return ofBackend(err, t.kind.groupResource(), t.name)
	}
	s.log.Info("token issued", "account", t.namespace+"/"+t.name, "pod", ask.Pod, "expires", shown(made.Expires), "by", actorOf(r.Context()))
	request.TypeMeta = metav1.TypeMeta{Kind: tokenRequestKind.Kind, APIVersion: tokenRequestKind.GroupVersion().String()}
	request.Name, request.Namespace = t.name, t.namespace
	request.Spec.Audiences = made.Audiences
	request.Status = authenticationv1.TokenRequestStatus{Token: made.Token, ExpirationTimestamp: metav1.NewTime(made.Expires)}
	writeObject(w, r, http.StatusCreated, request)
	return nil
}

func accountTokenOf(t *target, spec *authenticationv1.TokenRequestSpec) (AccountTokenRequest, error) {
	ask := AccountTokenRequest{Namespace: t.namespace, Account: t.name, Audiences: spec.Audiences}
	if seconds := spec.ExpirationSeconds; seconds != nil {
		if *seconds < int64(accountLifeMin/time.Second) || *seconds > int64(accountLifeMax/time.Second) {
			return ask, statusError(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "spec.expirationSeconds: %d is not from %d to %d",
				*seconds, int64(accountLifeMin/time.Second), int64(accountLifeMax/time.Second))
		}
		ask.Life = time.Duration(*seconds) * time.Second
	}
	if to := spec.BoundObjectRef; to != nil {
		if to.Kind != "Pod" || to.APIVersion != "v1" || to.Name == "" {
			return ask, apierrors.NewBadRequest(fmt.Sprintf("spec.boundObjectRef: a token of holon is bound to a pod or to nothing, not to %s %s", to.Kind, to.Name))
		}
		ask.Pod, ask.PodUID = to.Name, string(to.UID)
	}
	return ask, nil
}
