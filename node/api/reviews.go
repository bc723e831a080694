package api

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/node/api/rbac"
)

// reviewKinds are questions about rights. They are answered from what this node has, and
// kept nowhere.
var reviewKinds = []*kind{
	reviewKind(authorizationv1.GroupName, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false,
		func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} }, reviewSelf),
	reviewKind(authorizationv1.GroupName, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false,
		func() runtime.Object { return &authorizationv1.SelfSubjectRulesReview{} }, reviewRules),
	reviewKind(authorizationv1.GroupName, "SubjectAccessReview", "subjectaccessreviews", false,
		func() runtime.Object { return &authorizationv1.SubjectAccessReview{} }, reviewSubject),
	reviewKind(authorizationv1.GroupName, "LocalSubjectAccessReview", "localsubjectaccessreviews", true,
		func() runtime.Object { return &authorizationv1.LocalSubjectAccessReview{} }, reviewLocalSubject),
	reviewKind(authenticationv1.GroupName, "SelfSubjectReview", "selfsubjectreviews", false,
		func() runtime.Object { return &authenticationv1.SelfSubjectReview{} }, reviewWho),
	reviewKind(authenticationv1.GroupName, "TokenReview", "tokenreviews", false,
		func() runtime.Object { return &authenticationv1.TokenReview{} }, reviewToken),
}

func reviewKind(group, name, plural string, namespaced bool, make func() runtime.Object, review func(*Server, user, runtime.Object)) *kind {
	return &kind{
		GroupVersionKind: schema.GroupVersionKind{Group: group, Version: "v1", Kind: name}, plural: plural, namespaced: namespaced,
		verbs: []string{"create"}, make: make, review: review,
	}
}

// answerReview fills in the status of a question.
func (s *Server) answerReview(w http.ResponseWriter, r *http.Request, t *target) error {
	obj, _, err := readObject(w, r, t, warningsTo(w))
	if err != nil {
		return err
	}
	t.kind.review(s, userOfContext(r.Context()), obj)
	value, err := toMap(obj)
	if err != nil {
		return err
	}
	return s.respond(w, r, http.StatusCreated, t.kind, Object{Key: t.key(), Source: Decoded(value)})
}

func reviewSelf(s *Server, u user, obj runtime.Object) {
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	review.Status = s.access.decide(u, review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
}

func reviewSubject(s *Server, _ user, obj runtime.Object) {
	review := obj.(*authorizationv1.SubjectAccessReview)
	review.Status = s.access.decide(subjectOf(review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
}

func reviewLocalSubject(s *Server, _ user, obj runtime.Object) {
	review := obj.(*authorizationv1.LocalSubjectAccessReview)
	attributes := review.Spec.ResourceAttributes
	if attributes != nil {
		local := *attributes
		local.Namespace = review.Namespace
		attributes = &local
	}
	review.Status = s.access.decide(subjectOf(review.Spec), attributes, nil)
}

func subjectOf(spec authorizationv1.SubjectAccessReviewSpec) user {
	return user{User: rbac.User{Name: spec.User, Groups: spec.Groups}}
}

func (a *Access) decide(u user, on *authorizationv1.ResourceAttributes, at *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	var ask rbac.Request
	switch {
	case on != nil:
		ask = rbac.Request{Verb: on.Verb, Group: on.Group, Resource: on.Resource, Subresource: on.Subresource, Namespace: on.Namespace, Name: on.Name}
	case at != nil:
		ask = rbac.Request{Verb: at.Verb, Path: at.Path}
	default:
		return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "neither resourceAttributes nor nonResourceAttributes are there"}
	}
	if err := a.good(u); err != nil {
		return authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: err.Error()}
	}
	policy, _ := a.current()
	return authorizationv1.SubjectAccessReviewStatus{Allowed: rbac.Basic(ask) || policy.Allows(u.User, ask)}
}

func reviewRules(s *Server, u user, obj runtime.Object) {
	review := obj.(*authorizationv1.SelfSubjectRulesReview)
	review.Status = authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	policy, _ := s.access.current()
	for _, rule := range append(policy.RulesFor(u.User, review.Spec.Namespace), rbac.BasicRules...) {
		addRule(&review.Status, rule)
	}
}

func addRule(s *authorizationv1.SubjectRulesReviewStatus, rule rbacv1.PolicyRule) {
	if len(rule.NonResourceURLs) > 0 {
		s.NonResourceRules = append(s.NonResourceRules, authorizationv1.NonResourceRule{Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs})
		return
	}
	s.ResourceRules = append(s.ResourceRules, authorizationv1.ResourceRule{
		Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
	})
}

func reviewWho(_ *Server, u user, obj runtime.Object) {
	review := obj.(*authenticationv1.SelfSubjectReview)
	review.Status.UserInfo = authenticationv1.UserInfo{Username: u.Name, Groups: u.Groups}
}

// reviewToken answers a program that was shown a token and cannot judge it: whose it is, if
// this node would take it, too, but for its audience.
func reviewToken(s *Server, _ user, obj runtime.Object) {
	review := obj.(*authenticationv1.TokenReview)
	token, audiences := review.Spec.Token, review.Spec.Audiences
	review.Spec.Token = "" // it is shown to nobody again
	if len(audiences) == 0 {
		audiences = []string{apiAudience}
	}
	u, of, err := s.issuer.identify(token, audiences)
	if err == nil {
		err = s.access.good(u)
	}
	if err != nil {
		review.Status = authenticationv1.TokenReviewStatus{Error: err.Error()}
		return
	}
	u = u.authenticated()
	review.Status = authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: of, User: authenticationv1.UserInfo{Username: u.Name, Groups: u.Groups},
	}
}
