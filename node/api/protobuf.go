package api

import (
	"bytes"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/framer"
)

// typeProtobufWatch is a stream of WatchEvents, each behind its length.
const typeProtobufWatch = typeProtobuf + ";stream=watch"

// protobufEncoder writes collections item by item.
var protobufEncoder = protobuf.NewSerializerWithOptions(scheme, scheme, protobuf.SerializerOptions{StreamingCollectionsEncoding: true})

// inProtobuf tells whether an object has a form in protobuf: Kubernetes' own
// types have, holon's have not.
func inProtobuf(obj any) bool {
	_, ok := obj.(runtime.ProtobufMarshaller)
	return ok
}

func encodeProtobuf(obj runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	err := protobufEncoder.Encode(obj, &out)
	return out.Bytes(), err
}

// goObject is what shaped makes, as a Go type.
func goObject(k *kind, value map[string]any, f format) (runtime.Object, error) {
	var obj runtime.Object = &metav1.PartialObjectMetadata{}
	if f.shape == asObject {
		obj = k.make()
	}
	return obj, intoGo(value, obj)
}

// goList is a collection as a Go type.
func goList(k *kind, objects []Object, listMeta metav1.ListMeta, f format) (runtime.Object, error) {
	items := make([]runtime.Object, len(objects))
	for i, o := range objects {
		value := o.versioned()
		if f.shape == asMetadata {
			value = partial(o)
		}
		var err error
		if items[i], err = goObject(k, value, f); err != nil {
			return nil, err
		}
		items[i].GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // an item of a list does not say what the list says
	}
	var list runtime.Object = &metav1.PartialObjectMetadataList{}
	gvk := metav1.SchemeGroupVersion.WithKind("PartialObjectMetadataList")
	if f.shape == asObject {
		gvk = k.GroupVersion().WithKind(k.Kind + "List")
		var err error
		if list, err = scheme.New(gvk); err != nil {
			return nil, err
		}
	}
	list.GetObjectKind().SetGroupVersionKind(gvk)
	*list.(metav1.ListMetaAccessor).GetListMeta().(*metav1.ListMeta) = listMeta
	return list, meta.SetList(list, items)
}

func writeProtobuf(w http.ResponseWriter, code int, obj runtime.Object) error {
	data, err := encodeProtobuf(obj)
	if err != nil {
		return err
	}
	writeBytes(w, code, typeProtobuf, data)
	return nil
}

// writeObject answers with an object of Kubernetes' own types that is not
// stored: in protobuf to who asks for it, else in JSON.
func writeObject(w http.ResponseWriter, r *http.Request, code int, obj runtime.Object) {
	if f, err := negotiate(r, inProtobuf(obj)); err == nil && f.protobuf && f.shape == asObject {
		if writeProtobuf(w, code, obj) == nil {
			return
		}
	}
	writeJSON(w, r, code, obj)
}

// protobufFrame is one event of a watch.
func protobufFrame(event string, obj runtime.Object) ([]byte, error) {
	data, err := encodeProtobuf(obj)
	if err != nil {
		return nil, err
	}
	data, err = (&metav1.WatchEvent{Type: event, Object: runtime.RawExtension{Raw: data}}).Marshal()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = framer.NewLengthDelimitedFrameWriter(&out).Write(data)
	return out.Bytes(), err
}
