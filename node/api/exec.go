package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/wsstream"
	"k8s.io/apimachinery/pkg/util/remotecommand"
)

const (
	// execIdleMax ends a session in which nothing is said, as the kubelet does.
	execIdleMax = 4 * time.Hour
	// execStreamsTimeout is how long a client may take to open its streams.
	execStreamsTimeout = 30 * time.Second
)

// execOptions are the query parameters of exec and attach.
type execOptions struct {
	command                    []string
	stdin, stdout, stderr, tty bool
}

func execOptionsOf(r *http.Request, sub string) (execOptions, error) {
	o := execOptions{
		command: r.URL.Query()["command"],
		stdin:   isTrue(r, "stdin"), stdout: isTrue(r, "stdout"), stderr: isTrue(r, "stderr"), tty: isTrue(r, "tty"),
	}
	if o.tty {
		o.stderr = false // a terminal has one output
	}
	switch {
	case sub == "exec" && len(o.command) == 0:
		return o, apierrors.NewBadRequest("you must specify a command for the container")
	case !o.stdin && !o.stdout && !o.stderr:
		return o, apierrors.NewBadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	return o, nil
}

// session is one connection of exec or attach, whatever its protocol. Streams that the client
// did not ask for are nil.
type session struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	outcome        io.Writer // takes the final Status
	resize         io.Reader // JSON documents of TerminalSize; ends with the connection on WebSockets
	gone           <-chan bool
	close          func()
}

// exec serves exec and attach, which differ in whose streams they carry.
func (s *Server) exec(w http.ResponseWriter, r *http.Request, t *target) error {
	opts, err := execOptionsOf(r, t.sub)
	if err != nil {
		return err
	}
	pod, err := s.findPod(t)
	if err != nil {
		return err
	}
	container, err := containerOf(pod, r.URL.Query().Get("container"))
	if err != nil {
		return err
	}
	if t.sub == "attach" && opts.stdin && !takesInput(pod, container) {
		return apierrors.NewBadRequest(fmt.Sprintf("container %s of pod %s is without standard input (stdin: true): attach without -i, or use exec", container, pod.Name))
	}
	open := openSPDY
	switch {
	case wsstream.IsWebSocketRequest(r):
		open = openWebSocket
	case !httpstream.IsUpgradeRequest(r):
		return apierrors.NewBadRequest(t.sub + " needs a connection upgrade to WebSocket (v4 or v5 of channel.k8s.io) or SPDY/3.1")
	}
	sess, err := open(w, r, opts)
	if err != nil {
		// The library has answered, or there is no longer a connection to answer on.
		s.log.Debug(t.sub+" could not be set up", "pod", t.name, "err", err)
		return nil
	}
	defer sess.close()
	defer Farewell(r.Context(), sess.close)()
	code, err := s.execIn(r.Context(), sess, t, container, opts)
	if why := Over(r.Context()); why != nil {
		err = why
	}
	if err != nil {
		err = s.ofOwner(err, t, pod)
	}
	status, _ := json.Marshal(execStatus(code, err)) // a Status always has a JSON form
	_, _ = sess.outcome.Write(status)                // nobody is there to read it, or it arrives
	return nil
}

// execIn runs the command, or attaches, and ends that when the client goes away.
func (s *Server) execIn(ctx context.Context, sess *session, t *target, container string, opts execOptions) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	var own sync.WaitGroup
	defer func() {
		cancel()
		sess.closeResize()
		own.Wait()
	}()
	sizes := make(chan TerminalSize)
	if sess.resize != nil {
		own.Go(func() {
			defer close(sizes)
			readSizes(ctx, sess.resize, sizes)
			if sess.gone == nil {
				cancel() // on a WebSocket this channel ends with the connection
			}
		})
	}
	if sess.gone != nil {
		own.Go(func() {
			select {
			case <-sess.gone:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	streams := Stream{
		Stdin: sess.stdin, Stdout: sess.stdout, Stderr: sess.stderr, TTY: opts.tty, Resize: sizes,
		Actor: actingOf(ctx),
	}
	if t.sub == "attach" {
		return 0, s.config.Backend.Attach(ctx, t.namespace, t.name, container, streams)
	}
	return s.config.Backend.Exec(ctx, t.namespace, t.name, container, opts.command, streams)
}

// closeResize frees whoever reads the sizes.
func (s *session) closeResize() {
	switch c := s.resize.(type) {
	case httpstream.Stream:
		_ = c.Reset() // closing it would end only what we write
	case io.Closer:
		_ = c.Close() // ends the pipe that it is read from
	}
}

func readSizes(ctx context.Context, from io.Reader, to chan<- TerminalSize) {
	decoder := json.NewDecoder(from)
	for {
		var size TerminalSize
		if decoder.Decode(&size) != nil {
			return
		}
		select {
		case to <- size:
		case <-ctx.Done():
			return
		}
	}
}

// execStatus is how a command ended, in the words that clients of the kubelet know.
func execStatus(code int, err error) metav1.Status {
	switch {
	case err != nil:
		return statusOf(err)
	case code == 0:
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	return metav1.Status{
		Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason,
		Message: fmt.Sprintf("command terminated with non-zero exit code: exit status %d", code),
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
			{Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(code)},
		}},
	}
}
