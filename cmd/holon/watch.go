package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watchEvent is one line of a watch.
type watchEvent struct {
	Type   string          `json:"type"` // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	Object json.RawMessage `json:"object"`
}

// errEndWatch ends a watch from inside its callback without being an error.
var errEndWatch = errors.New("watch ended by its callback")

// watch calls fn with every event since version until fn fails, ctx ends or the
// server closes the watch, which returns nil. An ERROR event becomes an error.
func (c *client) watch(ctx context.Context, path, accept, version string, query url.Values, fn func(watchEvent) error) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	q.Set("watch", "1")
	if version != "" {
		q.Set("resourceVersion", version)
	}
	body, err := c.open(ctx, request{path: path, query: q, accept: accept})
	if err != nil {
		return err
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	for {
		var ev watchEvent
		if err := decoder.Decode(&ev); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return ctx.Err()
		} else if err != nil {
			return c.explain(err)
		}
		if ev.Type == "ERROR" {
			return watchFailure(ev.Object)
		}
		if err := fn(ev); err != nil {
			if errors.Is(err, errEndWatch) {
				return nil
			}
			return err
		}
	}
}

func watchFailure(object json.RawMessage) error {
	var status metav1.Status
	if err := json.Unmarshal(object, &status); err != nil {
		return fmt.Errorf("the watch broke: %s", object)
	}
	return &apierrors.StatusError{ErrStatus: status}
}
