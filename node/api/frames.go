package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// look is all that the frame of a change depends on besides the change, for objects that
// are the same to everybody. A resource is served in one version.
type look struct {
	event   ChangeType
	format  format
	include metav1.IncludeObjectPolicy
	header  bool
}

// frames are what a change is on the wire, kept until the last watcher has taken it: a
// thousand watchers cost one encoding of each look.
type frames struct {
	mu   sync.Mutex
	made map[look][]byte
}

func (f *frames) of(l look, encode func() ([]byte, error)) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data := f.made[l]; data != nil {
		return data, nil
	}
	data, err := encode()
	if err != nil {
		return nil, err
	}
	if f.made == nil {
		f.made = map[look][]byte{}
	}
	f.made[l] = data
	return data, nil
}

// once is a Source that is made at most once, for readers who come at the same time.
type once struct {
	Source
	made  sync.Once
	value map[string]any
}

// Value implements Source.
func (o *once) Value(k Key) map[string]any {
	o.made.Do(func() { o.value = o.Source.Value(k) })
	return o.value
}

// shared is a change as it is handed to several watchers.
func (c Change) shared() *Change {
	c.frames = &frames{}
	if c.Object.Source != nil {
		c.Object.Source = &once{Source: c.Object.Source}
	}
	if c.Prev != nil && c.Prev.Source != nil {
		prev := *c.Prev
		prev.Source = &once{Source: prev.Source}
		c.Prev = &prev
	}
	return &c
}

// frameWriter writes the events of one watch.
type frameWriter struct {
	s       *Server
	out     timedWriter
	r       *http.Request
	kind    *kind
	format  format
	include metav1.IncludeObjectPolicy
	rows    int // sent; only the first of a table comes with column headers
}

// change sends what a change means to this watcher: an object that begins to
// match is an addition for it, one that ceases to match a deletion.
func (f *frameWriter) change(sel *selector, c Change) error {
	matches := sel.matches(c.Object)
	matched := c.Prev != nil && sel.matches(*c.Prev)
	kind, object := c.Type, c.Object
	switch {
	case c.Type == Deleted && !matched, c.Type != Deleted && !matches && !matched:
		return nil
	case c.Type == Modified && matches && !matched:
		kind = Added
	case c.Type == Modified && !matches:
		kind, object = Deleted, *c.Prev
		object.RV = c.Object.RV
	}
	look := look{event: kind, format: f.format, include: f.include, header: f.rows == 0}
	var data []byte
	var err error
	if c.frames != nil && !f.kind.sealed {
		data, err = c.frames.of(look, func() ([]byte, error) { return f.encode(look, object) })
	} else {
		data, err = f.encode(look, object)
	}
	if err != nil { // the client is told why, and lists again
		return errors.Join(err, f.send("ERROR", statusOf(err)), f.out.Flush())
	}
	f.rows++
	_, err = f.out.Write(data)
	return err
}

func (f *frameWriter) encode(l look, o Object) ([]byte, error) {
	o, err := f.s.reveal(f.kind, o, l.format, l.include)
	if err != nil {
		return nil, err
	}
	body, err := shaped(f.kind, o, l.format, l.include, l.header)
	if err != nil {
		return nil, err
	}
	return f.frame(string(l.event), body)
}

// bookmark says where a watcher may resume; initial, that it has now seen the
// whole state that was there when it began.
func (f *frameWriter) bookmark(rv uint64, initial bool) error {
	meta := map[string]any{"resourceVersion": formatRV(rv), "creationTimestamp": nil}
	if initial {
		meta["annotations"] = map[string]any{metav1.InitialEventsAnnotationKey: "true"}
	}
	body := map[string]any{"kind": f.kind.Kind, "apiVersion": f.kind.GroupVersion().String(), "metadata": meta}
	switch f.format.shape {
	case asTable:
		body["kind"], body["apiVersion"] = "Table", metav1.SchemeGroupVersion.String()
		body["rows"], body["columnDefinitions"] = []any{}, []any{}
		if initial { // kubectl looks for the annotation in a row's object
			row := map[string]any{"kind": "PartialObjectMetadata", "apiVersion": metav1.SchemeGroupVersion.String(), "metadata": meta}
			body["rows"] = []any{map[string]any{"cells": []any{}, "object": row}}
		}
	case asMetadata:
		body["kind"], body["apiVersion"] = "PartialObjectMetadata", metav1.SchemeGroupVersion.String()
	}
	if err := f.send("BOOKMARK", body); err != nil {
		return err
	}
	return f.out.Flush()
}

func (f *frameWriter) send(kind string, object any) error {
	data, err := f.frame(kind, object)
	if err != nil {
		return err
	}
	_, err = f.out.Write(data)
	return err
}

func (f *frameWriter) frame(event string, object any) ([]byte, error) {
	if !f.format.protobuf {
		data, err := json.Marshal(struct {
			Type   string `json:"type"`
			Object any    `json:"object"`
		}{event, object})
		return append(data, '\n'), err
	}
	if status, ok := object.(metav1.Status); ok {
		return protobufFrame(event, &status)
	}
	obj, err := goObject(f.kind, object.(map[string]any), f.format)
	if err != nil {
		return nil, err
	}
	return protobufFrame(event, obj)
}
