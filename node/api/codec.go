package api

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	typeJSON     = "application/json"
	typeYAML     = "application/yaml"
	typeProtobuf = "application/vnd.kubernetes.protobuf"

	// bodyBytesMax is the largest request body, as in Kubernetes.
	bodyBytesMax = 3 << 20
	// bodyRoomMax bounds the room that is made for a body on its length's word.
	bodyRoomMax = 64 << 10
	// bodyTimeout is how long a client may take to send its body.
	bodyTimeout = 30 * time.Second
)

// scheme knows the Go types of what is served.
var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(appsv1.AddToScheme(s))
	utilruntime.Must(batchv1.AddToScheme(s))
	utilruntime.Must(coordinationv1.AddToScheme(s))
	utilruntime.Must(policyv1.AddToScheme(s))
	utilruntime.Must(discoveryv1.AddToScheme(s))
	utilruntime.Must(schedulingv1.AddToScheme(s))
	utilruntime.Must(autoscalingv1.AddToScheme(s))
	utilruntime.Must(rbacv1.AddToScheme(s))
	utilruntime.Must(authorizationv1.AddToScheme(s))
	utilruntime.Must(authenticationv1.AddToScheme(s))
	utilruntime.Must(storagev1.AddToScheme(s))
	utilruntime.Must(metricsv1beta1.AddToScheme(s))
	s.AddKnownTypes(schema.GroupVersion{Group: holonGroup, Version: holonVersion}, &Revocation{}, &Conflict{}, &Snapshot{})
	return s
}

// decoders by content type. JSON and YAML are strict: the object is decoded all
// the same, and what was unknown or doubled comes back as a strict error.
var decoders = map[string]runtime.Decoder{
	typeJSON:     json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Strict: true}),
	typeYAML:     json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Strict: true, Yaml: true}),
	typeProtobuf: protobuf.NewSerializer(scheme, scheme),
}

// readBody reads a request's body within its bounds of size and time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	// Not every connection can set deadlines (tests' recorders cannot); the size is bounded anyway.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	room := bytes.MinRead + max(min(r.ContentLength, bodyRoomMax), 0)
	body := bytes.NewBuffer(make([]byte, 0, room))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d bytes", tooLarge.Limit))
	case err != nil:
		return nil, apierrors.NewBadRequest("the request body could not be read: " + err.Error())
	}
	return body.Bytes(), nil
}

// mediaType is a request's content type without parameters; JSON if it says nothing.
func mediaType(r *http.Request) (string, error) {
	value := r.Header.Get("Content-Type")
	if value == "" {
		return typeJSON, nil
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		return "", apierrors.NewBadRequest(fmt.Sprintf("Content-Type %q: %v", value, err))
	}
	return media, nil
}

// decode reads one object of a known kind into obj and lists what strict
// decoding found: unknown and doubled fields with their paths.
func decode(r *http.Request, body []byte, gvk schema.GroupVersionKind, obj runtime.Object) (strict []string, err error) {
	media, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	decoder, ok := decoders[media]
	if !ok {
		return nil, unsupportedMedia(media, typeJSON, typeYAML, typeProtobuf)
	}
	_, actual, err := decoder.Decode(body, &gvk, obj)
	if strictErr, ok := runtime.AsStrictDecodingError(err); ok {
		for _, e := range strictErr.Errors() {
			strict = append(strict, e.Error())
		}
		err = nil
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf(
			"the body cannot be read as a %s of %s: %v", gvk.Kind, gvk.GroupVersion(), err))
	}
	if actual != nil && *actual != gvk {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the body is a %s of %s, but this is the place for a %s of %s",
			actual.Kind, actual.GroupVersion(), gvk.Kind, gvk.GroupVersion()))
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return strict, nil
}

func unsupportedMedia(got string, supported ...string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s (got %q)",
			strings.Join(supported, ", "), got),
	}}
}

// toMap is the canonical JSON form of a typed object.
func toMap(obj runtime.Object) (map[string]any, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return m, nil
}

// intoGo makes obj of a map, and passes over what its type does not know. Looking for that
// is a third of the price.
func intoGo(m map[string]any, obj runtime.Object) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(m, obj)
}

// fromMap fills a typed object. Strict lists unknown fields with their paths.
func fromMap(m map[string]any, obj runtime.Object) (strict []string, err error) {
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(m, obj, true)
	if strictErr, ok := runtime.AsStrictDecodingError(err); ok {
		for _, e := range strictErr.Errors() {
			strict = append(strict, e.Error())
		}
		return strict, nil
	}
	return nil, err
}
