package api

import (
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// bookmarkEvery is how often a quiet watcher is told where it may resume.
	bookmarkEvery = 30 * time.Second
	// watchMax ends a watch that names no timeout of its own; clients resume.
	watchMax = time.Hour
	// frameTimeout is how long one write to a client may take.
	frameTimeout = 30 * time.Second
)

// watchOptions are the query parameters of a watch.
type watchOptions struct {
	from      uint64
	timeout   time.Duration
	bookmarks bool
	// initial: the present state comes first, and then a bookmark that says so.
	initial bool
}

func watchOptionsOf(r *http.Request) (watchOptions, error) {
	query := r.URL.Query()
	o := watchOptions{timeout: watchMax, bookmarks: isTrue(r, "allowWatchBookmarks")}
	var errs field.ErrorList
	match := query.Get("resourceVersionMatch")
	_, said := query["sendInitialEvents"]
	o.initial = isTrue(r, "sendInitialEvents")
	switch {
	case !said && match != "":
		errs = append(errs, field.Forbidden(field.NewPath("resourceVersionMatch"),
			"resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
	case said && match != string(metav1.ResourceVersionMatchNotOlderThan):
		errs = append(errs, field.Forbidden(field.NewPath("resourceVersionMatch"),
			"sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
	}
	if text := query.Get("timeoutSeconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 32)
		if err != nil || seconds < 0 {
			errs = append(errs, field.Invalid(field.NewPath("timeoutSeconds"), text, "must be a number of seconds"))
		} else if seconds > 0 {
			o.timeout = min(time.Duration(seconds)*time.Second, watchMax)
		}
	}
	if len(errs) > 0 {
		return o, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", errs)
	}
	var err error
	o.from, err = parseRV(query.Get("resourceVersion"))
	if o.initial {
		o.from = 0 // the present state is as new as any that this node can show
	}
	return o, err
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := watchOptionsOf(r)
	if err != nil {
		return err
	}
	sel, err := selectorOf(r, t)
	if err != nil {
		return err
	}
	f, err := negotiate(r, inProtobuf(t.kind.make()))
	if err != nil {
		return err
	}
	if t.kind.asked {
		s.askEvents(w, r)
		defer s.keepAskingEvents()()
	}
	watcher, err := s.config.Cache.Watch(r.Context(), t.kind.key(), t.namespace, opts.from)
	if err != nil {
		return expired(err)
	}
	defer watcher.Stop()
	frames := &frameWriter{s: s, out: timed(w, frameTimeout), r: r, kind: t.kind, format: f, include: includeObject(r)}
	contentType := typeJSON
	if f.protobuf {
		contentType = typeProtobufWatch
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	if err := frames.out.Flush(); err != nil {
		return nil
	}
	follow(watcher, sel, opts, frames)
	return nil
}

// follow sends changes until the client, the server or the time limit ends it.
func follow(watcher *Watcher, sel *selector, opts watchOptions, frames *frameWriter) {
	for _, change := range watcher.Start {
		if frames.change(sel, change) != nil {
			return
		}
	}
	if opts.initial && opts.bookmarks && frames.bookmark(watcher.From, true) != nil || frames.out.Flush() != nil {
		return
	}
	bookmark := time.NewTicker(bookmarkEvery)
	defer bookmark.Stop()
	end := time.NewTimer(opts.timeout)
	defer end.Stop()
	for {
		select {
		case change, open := <-watcher.C:
			if !open {
				if err := watcher.Err(); err != nil {
					_ = frames.send("ERROR", statusOf(expired(err)))
				}
				return
			}
			if frames.change(sel, *change) != nil || len(watcher.C) == 0 && frames.out.Flush() != nil {
				return
			}
		case <-bookmark.C:
			if rv, idle := watcher.Idle(); opts.bookmarks && idle && frames.bookmark(rv, false) != nil {
				return
			}
		case <-end.C:
			return
		case <-frames.r.Context().Done():
			return
		}
	}
}
