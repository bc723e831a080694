package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/crdt/state"
)

// errEnough ends a log that has reached limitBytes.
var errEnough = errors.New("enough")

func (s *Server) logs(w http.ResponseWriter, r *http.Request, t *target) error {
	pod, err := s.findPod(t)
	if err != nil {
		return err
	}
	opts, limit, err := logOptionsOf(r)
	if err != nil {
		return err
	}
	if opts.Container, err = containerOf(pod, opts.Container); err != nil {
		return err
	}
	opts.Actor = actingOf(r.Context())
	out := &logWriter{w: w, out: timed(w, frameTimeout), left: limit}
	err = s.config.Backend.Logs(r.Context(), t.namespace, t.name, opts, out)
	if r.Context().Err() != nil {
		err = Over(r.Context()) // else nobody reads on
	}
	switch {
	case err == nil, errors.Is(err, errEnough):
		out.start()
		return nil
	case !out.started:
		return s.ofOwner(err, t, pod)
	}
	s.log.Debug("log ended early", "pod", t.name, "err", err)
	panic(http.ErrAbortHandler) // half a log must not look like a whole one
}

func logOptionsOf(r *http.Request) (opts LogOptions, limit int64, err error) {
	query := r.URL.Query()
	opts = LogOptions{
		Container: query.Get("container"), Follow: isTrue(r, "follow"), Previous: isTrue(r, "previous"),
		Timestamps: isTrue(r, "timestamps"), Tail: -1,
	}
	number := func(name string, least int64) (value int64, there bool) {
		text := query.Get(name)
		if text == "" || err != nil {
			return 0, false
		}
		value, parseErr := strconv.ParseInt(text, 10, 64)
		if parseErr != nil || value < least {
			err = apierrors.NewBadRequest(fmt.Sprintf("%s: %q must be a number and at least %d", name, text, least))
		}
		return value, err == nil
	}
	if tail, there := number("tailLines", 0); there {
		opts.Tail = int(tail)
	}
	limit = -1
	if bytes, there := number("limitBytes", 1); there {
		limit = bytes
	}
	if seconds, there := number("sinceSeconds", 1); there {
		opts.Since = time.Duration(seconds) * time.Second
	}
	if err != nil {
		return opts, limit, err
	}
	if text := query.Get("sinceTime"); text != "" {
		if opts.Since > 0 {
			return opts, limit, apierrors.NewBadRequest("at most one of sinceTime or sinceSeconds may be specified")
		}
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return opts, limit, apierrors.NewBadRequest(fmt.Sprintf("sinceTime: %v", err))
		}
		opts.Since = max(time.Since(since), time.Nanosecond)
	}
	if stream := query.Get("stream"); stream != "" && stream != corev1.LogStreamAll {
		return opts, limit, apierrors.NewBadRequest("stream: the streams of a log are not kept apart; only All is served")
	}
	return opts, limit, nil
}

// logWriter sends a log as it comes, up to a number of bytes (negative: all).
type logWriter struct {
	w       http.ResponseWriter
	out     timedWriter
	left    int64
	started bool
}

func (l *logWriter) start() {
	if !l.started {
		l.started = true
		l.w.Header().Set("Content-Type", "text/plain")
		l.w.WriteHeader(http.StatusOK)
	}
}

func (l *logWriter) Write(p []byte) (int, error) {
	l.start()
	all := p
	if l.left >= 0 && int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.out.Write(p)
	if l.left >= 0 {
		l.left -= int64(n)
	}
	if err == nil {
		err = l.out.Flush()
	}
	if err == nil && len(p) < len(all) {
		err = errEnough
	}
	return n, err
}

// findPod returns the pod that a subresource belongs to.
func (s *Server) findPod(t *target) (*corev1.Pod, error) {
	o, err := s.find(t)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := intoGo(o.Value(), pod); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return pod, nil
}

// containerOf picks the container that a request means: one that is not named is no init
// container.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	inits, mains := namesOf(pod.Spec.InitContainers), namesOf(pod.Spec.Containers)
	switch {
	case name != "" && !slices.Contains(inits, name) && !slices.Contains(mains, name):
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	case name != "":
		return name, nil
	case len(mains) != 1:
		said := fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", pod.Name, strings.Join(mains, " "))
		if len(inits) > 0 {
			said += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(inits, " "))
		}
		return "", apierrors.NewBadRequest(said)
	}
	return mains[0], nil
}

func namesOf(containers []corev1.Container) (names []string) {
	for i := range containers {
		names = append(names, containers[i].Name)
	}
	return names
}

// takesInput tells whether a container of a pod is to have standard input.
func takesInput(pod *corev1.Pod, container string) bool {
	return slices.ContainsFunc(state.Containers(&pod.Spec), func(c corev1.Container) bool { return c.Name == container && c.Stdin })
}

// ofOwner gives an error of the node that runs a pod its meaning; one that is out
// of reach is named.
func (s *Server) ofOwner(err error, t *target, pod *corev1.Pod) error {
	if errors.Is(err, ErrUnreachable) {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("pod %s/%s is on node %s: %v", t.namespace, t.name, pod.Spec.NodeName, err))
	}
	if errors.Is(err, ErrInvalid) {
		return apierrors.NewBadRequest(err.Error())
	}
	return ofBackend(err, t.kind.groupResource(), t.name)
}
