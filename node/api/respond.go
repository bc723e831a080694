package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// shape is the form in which objects are answered.
type shape int

const (
	asObject   shape = iota
	asTable          // rows and columns for people
	asMetadata       // PartialObjectMetadata
)

// format is what a client accepts: a shape in an encoding.
type format struct {
	shape    shape
	yaml     bool
	protobuf bool
}

// negotiate picks the first form in the Accept header that is served; protobuf
// only where there is such a form.
func negotiate(r *http.Request, protobufToo bool) (format, error) {
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return format{}, nil
	}
	for _, clause := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(clause))
		if err != nil {
			continue
		}
		var f format
		switch media {
		case typeJSON, "*/*", "application/*":
		case typeYAML:
			f.yaml = true
		case typeProtobuf:
			f.protobuf = true
			if !protobufToo || params["as"] == "Table" { // a table's cells are of any type
				continue
			}
		default:
			continue
		}
		switch as := params["as"]; {
		case as == "":
			return f, nil
		case params["g"] != metav1.GroupName || params["v"] != "v1":
		case as == "Table":
			f.shape = asTable
			return f, nil
		case as == "PartialObjectMetadata", as == "PartialObjectMetadataList":
			f.shape = asMetadata
			return f, nil
		}
	}
	return format{}, statusError(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: %s, %s, %s (got Accept %q)", typeJSON, typeYAML, typeProtobuf, strings.Join(accept, ", "))
}

// writeJSON answers with one JSON document, indented with ?pretty.
func writeJSON(w http.ResponseWriter, r *http.Request, code int, body any) {
	data, err := marshal(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBytes(w, code, typeJSON, data)
}

func writeBytes(w http.ResponseWriter, code int, contentType string, data []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(data) // a client that is gone needs no answer
}

func marshal(r *http.Request, body any) ([]byte, error) {
	if isTrue(r, "pretty") {
		data, err := json.MarshalIndent(body, "", "  ")
		return append(data, '\n'), err
	}
	data, err := json.Marshal(body)
	return append(data, '\n'), err
}

// versioned is the object as clients see it: with its resourceVersion, which the
// cached value never has.
func (o Object) versioned() map[string]any {
	value := o.Value()
	out := maps.Clone(value)
	meta, _ := value["metadata"].(map[string]any)
	meta = maps.Clone(meta)
	if meta == nil {
		meta = map[string]any{}
	}
	if o.RV != 0 {
		meta["resourceVersion"] = formatRV(o.RV)
	}
	out["metadata"] = meta
	return out
}

// shaped is one object in the form that the client accepts; headers are those of a table.
func shaped(k *kind, o Object, f format, include metav1.IncludeObjectPolicy, headers bool) (any, error) {
	switch f.shape {
	case asTable:
		return tableOf(k, []Object{o}, metav1.ListMeta{ResourceVersion: formatRV(o.RV)}, include, headers)
	case asMetadata:
		return partial(o), nil
	}
	return o.versioned(), nil
}

func partial(o Object) map[string]any {
	return map[string]any{
		"apiVersion": metav1.SchemeGroupVersion.String(), "kind": "PartialObjectMetadata", "metadata": o.versioned()["metadata"],
	}
}

func includeObject(r *http.Request) metav1.IncludeObjectPolicy {
	return metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject"))
}

// respond answers with one object.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, code int, k *kind, o Object) error {
	f, err := negotiate(r, inProtobuf(k.make()))
	if err != nil {
		return err
	}
	include := includeObject(r)
	if o, err = s.reveal(k, o, f, include); err != nil {
		return err
	}
	body, err := shaped(k, o, f, include, true)
	if err != nil {
		return err
	}
	if f.protobuf {
		obj, err := goObject(k, body.(map[string]any), f)
		if err != nil {
			return err
		}
		return writeProtobuf(w, code, obj)
	}
	return encode(w, r, code, f, body)
}

func encode(w http.ResponseWriter, r *http.Request, code int, f format, body any) error {
	if !f.yaml {
		writeJSON(w, r, code, body)
		return nil
	}
	data, err := yaml.Marshal(body)
	if err != nil {
		return err
	}
	writeBytes(w, code, typeYAML, data)
	return nil
}

// respondList answers with a collection.
func (s *Server) respondList(w http.ResponseWriter, r *http.Request, k *kind, objects []Object, meta metav1.ListMeta) error {
	f, err := negotiate(r, inProtobuf(k.make()))
	if err != nil {
		return err
	}
	include := includeObject(r)
	for i := range objects {
		if objects[i], err = s.reveal(k, objects[i], f, include); err != nil {
			return err
		}
	}
	if f.shape == asTable {
		table, err := tableOf(k, objects, meta, include, true)
		if err != nil {
			return err
		}
		return encode(w, r, http.StatusOK, f, table)
	}
	if f.protobuf {
		list, err := goList(k, objects, meta, f)
		if err != nil {
			return err
		}
		return writeProtobuf(w, http.StatusOK, list)
	}
	listKind, apiVersion, item := k.Kind+"List", k.GroupVersion().String(), Object.versioned
	if f.shape == asMetadata {
		listKind, apiVersion, item = "PartialObjectMetadataList", metav1.SchemeGroupVersion.String(), partial
	}
	if f.yaml || isTrue(r, "pretty") {
		items := make([]any, len(objects))
		for i, o := range objects {
			items[i] = item(o)
		}
		return encode(w, r, http.StatusOK, f, map[string]any{
			"kind": listKind, "apiVersion": apiVersion, "metadata": meta, "items": items,
		})
	}
	return streamList(w, listKind, apiVersion, meta, objects, item)
}

// streamList writes a list item by item, so that a large one is never in memory
// a second time.
func streamList(
	w http.ResponseWriter, listKind, apiVersion string, meta metav1.ListMeta, objects []Object, item func(Object) map[string]any,
) error {
	head, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, listKind, apiVersion, head)
	for i, o := range objects {
		if i > 0 {
			out.WriteByte(',')
		}
		data, err := json.Marshal(item(o))
		if err != nil {
			panic(http.ErrAbortHandler) // half a list must not look like a whole one
		}
		out.Write(data)
	}
	out.WriteString("]}\n")
	_ = out.Flush() // a client that is gone needs no answer
	return nil
}
