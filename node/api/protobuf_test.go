package api

import (
	"net/http"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// spoken notes the content types of answers.
type spoken struct {
	http.RoundTripper
	types chan string
}

func (s spoken) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.types <- resp.Header.Get("Content-Type")
	}
	return resp, err
}

// protobufClient asks for protobuf alone: an answer in anything else is refused.
func (f *fixture) protobufClient() (kubernetes.Interface, chan string) {
	types := make(chan string, 100)
	config := rest.CopyConfig(f.config)
	config.ContentType, config.AcceptContentTypes = typeProtobuf, typeProtobuf
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return spoken{rt, types} })
	client, err := kubernetes.NewForConfig(config)
	check(f.t, err)
	return client, types
}

func wantType(t *testing.T, types chan string, want string) {
	t.Helper()
	if got := <-types; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}
}

func TestProtobufSaysWhatJSONSays(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 2), create)
	check(t, err)
	client, types := f.protobufClient()

	inJSON, err := f.kube.CoreV1().Pods("default").List(f.ctx, metav1.ListOptions{})
	check(t, err)
	list, err := client.CoreV1().Pods("default").List(f.ctx, metav1.ListOptions{})
	check(t, err)
	wantType(t, types, typeProtobuf)
	if len(list.Items) == 0 || !reflect.DeepEqual(list.ListMeta, inJSON.ListMeta) || !reflect.DeepEqual(list.Items, inJSON.Items) {
		t.Errorf("the list differs:\n%+v\n%+v", list, inJSON)
	}
	pod, err := client.CoreV1().Pods("default").Get(f.ctx, list.Items[0].Name, metav1.GetOptions{})
	check(t, err)
	wantType(t, types, typeProtobuf)
	if !reflect.DeepEqual(*pod, list.Items[0]) {
		t.Errorf("get %+v\nlist %+v", pod, list.Items[0])
	}
	_, err = client.CoreV1().Pods("default").Get(f.ctx, "nobody", metav1.GetOptions{})
	wantType(t, types, typeProtobuf)
	if !apierrors.IsNotFound(err) || err.(*apierrors.StatusError).ErrStatus.Details.Name != "nobody" {
		t.Errorf("want the Status of what is not found: %v", err)
	}
	check(t, client.AppsV1().Deployments("default").Delete(f.ctx, "web", metav1.DeleteOptions{}))
	wantType(t, types, typeProtobuf)
}

func TestProtobufWatch(t *testing.T) {
	f := serve(t)
	client, types := f.protobufClient()
	w, err := client.CoreV1().ConfigMaps("default").Watch(f.ctx, metav1.ListOptions{})
	check(t, err)
	defer w.Stop()
	wantType(t, types, typeProtobufWatch)
	made, err := client.CoreV1().ConfigMaps("default").Create(f.ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, BinaryData: map[string][]byte{"k": {0, 255}}}, metav1.CreateOptions{})
	check(t, err)
	<-w.ResultChan() // what is given in the namespace
	if e := <-w.ResultChan(); e.Type != watch.Added || !reflect.DeepEqual(e.Object, made) {
		t.Errorf("got %+v, want %+v", e, made)
	}
	old, err := client.CoreV1().ConfigMaps("").Watch(f.ctx, metav1.ListOptions{ResourceVersion: "77"})
	if err == nil {
		old.Stop()
	}
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("want expired: %v", err)
	}
}

func TestProtobufInformer(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 2), create)
	check(t, err)
	client, _ := f.protobufClient()
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	deleted := make(chan struct{}, 100)
	_, err = pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(any) { deleted <- struct{}{} }})
	check(t, err)
	factory.Start(f.ctx.Done())
	factory.WaitForCacheSync(f.ctx.Done())
	n := len(pods.Informer().GetStore().List())
	if n == 0 {
		t.Fatal("the informer knows no pod")
	}
	check(t, client.AppsV1().Deployments("default").Delete(f.ctx, "web", metav1.DeleteOptions{}))
	for range n {
		<-deleted
	}
}

func TestProtobufIsNegotiated(t *testing.T) {
	f := serve(t)
	for _, c := range []struct {
		path, accept, want string
		code               int
	}{
		{"/api/v1/nodes", typeProtobuf, typeProtobuf, 200},
		{"/api/v1/nodes", typeProtobuf + ", " + typeJSON, typeProtobuf, 200},
		{"/api/v1/nodes", typeJSON + ", " + typeProtobuf, typeJSON, 200},
		{"/api/v1/nodes", typeProtobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", typeProtobuf, 200},
		{"/api/v1/nodes", typeProtobuf + ";as=Table;g=meta.k8s.io;v=v1, " + typeJSON, typeJSON, 200},
		{"/apis/holon.dev/v1/revocations", typeProtobuf + ", " + typeJSON, typeJSON, 200},
		{"/apis/holon.dev/v1/revocations", typeProtobuf, typeProtobuf, 406}, // the Status has a form in protobuf
	} {
		a := f.do("GET", c.path, "", "Accept: "+c.accept)
		if got := a.header.Get("Content-Type"); a.code != c.code || got != c.want {
			t.Errorf("%s %s: %d %s, want %d %s", c.path, c.accept, a.code, got, c.code, c.want)
		}
	}
}

// A kind that the scheme does not know would be answered to none who asks for protobuf.
func TestSchemeKnowsWhatIsServed(t *testing.T) {
	for _, k := range kinds {
		if !scheme.Recognizes(k.GroupVersionKind) {
			t.Errorf("%s is served and unknown", k.GroupVersionKind)
		}
	}
}
