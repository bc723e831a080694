package api

import (
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// scale serves the scale subresource of Deployments and StatefulSets: their replicas, and nothing else.
func (s *Server) scale(w http.ResponseWriter, r *http.Request, t *target) error {
	switch r.Method {
	case http.MethodGet:
		o, err := s.find(t)
		if err != nil {
			return err
		}
		return respondScale(w, r, o)
	case http.MethodPut, http.MethodPatch:
		return s.setScale(w, r, t)
	}
	return notAllowed(t, r.Method, "")
}

func (s *Server) setScale(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := writeOptionsOf(r)
	if err != nil {
		return err
	}
	wish, err := scaleWishOf(w, r)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		current, err := s.find(t)
		if err != nil {
			return err
		}
		next, exact, err := wish(current)
		if err != nil {
			return err
		}
		if next.Spec.Replicas < 0 {
			return apierrors.NewInvalid(scaleKind.GroupKind(), t.name, field.ErrorList{field.Invalid(
				field.NewPath("spec", "replicas"), next.Spec.Replicas, "must be greater than or equal to 0")})
		}
		scaled, err := rescaled(t.kind, current, next)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		stored, err := s.replace(r.Context(), t, current, scaled, opts, warningsTo(w))
		if apierrors.IsConflict(err) && !exact && try < patchTries {
			s.awaitShown(r.Context(), t.key(), func(o Object, there bool) bool { return !there || o.Token != current.Token })
			continue
		}
		if err != nil {
			return err
		}
		return respondScale(w, r, stored)
	}
}

// rescaled is an object with the replicas that a Scale asks for.
func rescaled(k *kind, current Object, to *autoscalingv1.Scale) (runtime.Object, error) {
	obj := k.make()
	if err := intoGo(current.Value(), obj); err != nil {
		return nil, err
	}
	switch o := obj.(type) {
	case *appsv1.Deployment:
		o.Spec.Replicas, o.ResourceVersion, o.UID = &to.Spec.Replicas, to.ResourceVersion, to.UID
	case *appsv1.StatefulSet:
		o.Spec.Replicas, o.ResourceVersion, o.UID = &to.Spec.Replicas, to.ResourceVersion, to.UID
	}
	return obj, nil
}

// scaleWishOf reads what the client wants as a function of the present state.
// Exact says that the client insists on a resourceVersion.
func scaleWishOf(w http.ResponseWriter, r *http.Request) (func(Object) (scale *autoscalingv1.Scale, exact bool, err error), error) {
	if r.Method == http.MethodPut {
		body, err := readBody(w, r)
		if err != nil {
			return nil, err
		}
		scale := &autoscalingv1.Scale{}
		if _, err := decode(r, body, scaleKind, scale); err != nil {
			return nil, err
		}
		return func(Object) (*autoscalingv1.Scale, bool, error) { return scale, scale.ResourceVersion != "", nil }, nil
	}
	p, err := patcherOf(w, r, scaleKind, func() runtime.Object { return &autoscalingv1.Scale{} })
	if err != nil {
		return nil, err
	}
	return func(o Object) (*autoscalingv1.Scale, bool, error) {
		present, err := scaleOf(o)
		if err != nil {
			return nil, false, err
		}
		original, err := toMap(present)
		if err != nil {
			return nil, false, err
		}
		patched, err := p.apply(original)
		if err != nil {
			return nil, false, err
		}
		scale := &autoscalingv1.Scale{}
		if err := intoGo(patched, scale); err != nil {
			return nil, false, apierrors.NewBadRequest(fmt.Sprintf("the patched object is not a Scale: %v", err))
		}
		return scale, scale.ResourceVersion != present.ResourceVersion, nil
	}, nil
}

func respondScale(w http.ResponseWriter, r *http.Request, o Object) error {
	scale, err := scaleOf(o)
	if err != nil {
		return err
	}
	writeObject(w, r, http.StatusOK, scale)
	return nil
}

func scaleOf(o Object) (*autoscalingv1.Scale, error) {
	d := &appsv1.Deployment{} // of a StatefulSet what is read here is spelled alike
	if err := intoGo(o.Value(), d); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	version := ""
	if o.RV != 0 {
		version = formatRV(o.RV)
	}
	return &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{Kind: scaleKind.Kind, APIVersion: scaleKind.GroupVersion().String()},
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name, Namespace: d.Namespace, UID: d.UID, ResourceVersion: version, CreationTimestamp: d.CreationTimestamp,
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: deref(d.Spec.Replicas)},
		Status: autoscalingv1.ScaleStatus{Replicas: d.Status.Replicas, Selector: selector.String()},
	}, nil
}
