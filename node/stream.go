package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"holon/node/api"
	"holon/p2p"
	"holon/runtime"
)

// Protocols of byte streams between nodes. A session carries logs, an exec,
// the streams of a container or a connection to a port:
//
//	client -> owner   request (one JSON line), then frames: stdin, end of stdin, resize
//	owner  -> client  frames: stdout, stderr, and last of all the result
//
// A frame is a part, see p2p.WritePart.
const (
	sessionProtocol = "/holon/session/1"
	eventsProtocol  = "/holon/events/1"
	usageProtocol   = "/holon/usage/1"
	volumesProtocol = "/holon/volumes/1"
)

const (
	frameStdin byte = iota + 1
	frameStdinEnd
	frameResize
	frameStdout
	frameStderr
	frameResult
)

const (
	sessionFrameMax = 64 << 10
	requestMax      = 64 << 10
)

// sessionRequest says what is wanted of which container.
type sessionRequest struct {
	Run       runtime.RunID       `json:"run"`
	Container string              `json:"container"`
	Logs      *runtime.LogOptions `json:"logs,omitempty"`
	Command   []string            `json:"command,omitempty"`
	TTY       bool                `json:"tty,omitempty"`
	Stdin     bool                `json:"stdin,omitempty"`
	Attach    bool                `json:"attach,omitempty"`
	Port      int                 `json:"port,omitempty"` // to be connected to; no container, no command
	// Snapshot and SnapshotUID name the object whose copy is wanted; nothing else is.
	Snapshot    string `json:"snapshot,omitempty"`
	SnapshotUID string `json:"snapshotUID,omitempty"`
	// Who asks, and for which pod: the owner judges him, too.
	api.Actor
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
}

// what is the subresource that RBAC knows the session by.
func (r *sessionRequest) what() string {
	switch {
	case r.SnapshotUID != "":
		return "snapshot"
	case r.Logs != nil:
		return "log"
	case r.Port != 0:
		return "portforward"
	case r.Attach:
		return "attach"
	}
	return "exec"
}

// sessionResult ends a session.
type sessionResult struct {
	ExitCode int          `json:"exitCode"`
	Kind     runtime.Kind `json:"kind,omitempty"`
	Error    string       `json:"error,omitempty"`
	Denied   bool         `json:"denied,omitempty"`
}

// frameWriter writes frames of one kind; several share a lock.
type frameWriter struct {
	mu   *sync.Mutex
	w    io.Writer
	kind byte
}

func (f frameWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		part := p[:min(len(p), sessionFrameMax)]
		if err := f.frame(part); err != nil {
			return written, err
		}
		written += len(part)
		p = p[len(part):]
	}
	return written, nil
}

func (f frameWriter) frame(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return p2p.WritePart(f.w, f.kind, p)
}

func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	return p2p.ReadPart(r, sessionFrameMax, nil)
}

// serveStreams answers other nodes.
func (n *Node) serveStreams() {
	n.mesh.Handle(sessionProtocol, func(ctx context.Context, from p2p.PeerID, s p2p.Stream) {
		defer s.Close()
		select {
		case n.slots <- struct{}{}:
			defer func() { <-n.slots }()
		default:
			s.Reset()
			return
		}
		n.serveSession(ctx, from, s)
	})
	answerPeers(n, eventsProtocol, func(_ context.Context, namespace string) ([]map[string]any, error) {
		return n.ring.list(n.now(), namespace), nil
	})
	answerPeers(n, usageProtocol, n.ownUsage)
	answerPeers(n, volumesProtocol, n.answerVolumes)
}

func (n *Node) serveSession(ctx context.Context, from p2p.PeerID, s p2p.Stream) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := bufio.NewReaderSize(s, requestMax)
	line, err := in.ReadSlice('\n')
	var req sessionRequest
	if err != nil || json.Unmarshal(line, &req) != nil {
		s.Reset()
		return
	}
	use, over, denied := n.mayUse(ctx, &req)
	defer over()
	defer api.Farewell(use, s.Reset)()
	log := n.log.With("container", req.Container, "port", req.Port, "run", req.Run, "entry", n.nameOf(from), "user", req.User)
	what := req.what()
	switch {
	case denied != nil:
		log.Warn(what+" for another node denied", "err", denied)
	case what != "log":
		log.Info(what + " for another node")
	}
	var mu sync.Mutex
	writer := func(kind byte) frameWriter { return frameWriter{mu: &mu, w: s, kind: kind} }
	stdin, feed := io.Pipe()
	resize := make(chan runtime.Size, 4)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		defer cancel() // the client is gone: end the command
		n.feedSession(use, in, feed, resize)
	}()
	var source io.Reader
	if req.Stdin {
		source = stdin
	}
	var result sessionResult
	if denied == nil {
		result = n.runSession(use, req, source, writer(frameStdout), writer(frameStderr), resize)
		if denied = api.Over(use); denied != nil {
			log.Warn(what+" for another node ended", "err", denied)
		}
	}
	if denied != nil {
		result = sessionResult{Error: denied.Error(), Denied: true}
	}
	text, err := json.Marshal(result)
	if err == nil {
		err = writer(frameResult).frame(text)
	}
	stdin.Close()
	if err != nil {
		s.Reset()
	} else {
		_ = s.CloseWrite()
	}
	s.Close()
	<-reading
}

// mayUse judges by what this node has who asks another node for a session with a pod of
// this one, and as long as it lasts: then the context ends. Which run is the pod's is said by
// nobody else.
func (n *Node) mayUse(ctx context.Context, req *sessionRequest) (use context.Context, over func(), err error) {
	if req.SnapshotUID != "" {
		return n.access.Read(ctx, req.Actor, req.Snapshot)
	}
	p, err := n.pod(req.Namespace, req.Pod)
	if err == nil && p.run != string(req.Run) {
		err = fmt.Errorf("%s has another run of pod %s/%s: %s", n.cfg.Identity.Name, req.Namespace, req.Pod, p.run)
	}
	if err != nil {
		return ctx, func() {}, err
	}
	return n.access.Use(ctx, req.Actor, req.Namespace, req.Pod, req.what())
}

// feedSession passes on what the client sends until it hangs up.
func (n *Node) feedSession(ctx context.Context, in io.Reader, stdin *io.PipeWriter, resize chan<- runtime.Size) {
	defer stdin.Close()
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return
		}
		switch kind {
		case frameStdin:
			_, _ = stdin.Write(payload) // a closed pipe: the command wants no more
		case frameStdinEnd:
			stdin.Close()
		case frameResize:
			var size runtime.Size
			if json.Unmarshal(payload, &size) == nil {
				select {
				case resize <- size:
				case <-ctx.Done():
					return
				default:
				}
			}
		}
	}
}

func (n *Node) runSession(ctx context.Context, req sessionRequest, stdin io.Reader, stdout, stderr io.Writer, resize <-chan runtime.Size) sessionResult {
	var result sessionResult
	var err error
	switch {
	case req.SnapshotUID != "":
		err = n.sendCopy(req, stdout)
	case req.Logs != nil:
		err = n.cfg.Runtime.Logs(ctx, req.Run, req.Container, *req.Logs, stdout)
	case req.Port != 0:
		err = n.forward(ctx, req, stdin, stdout)
	case req.Attach:
		err = n.cfg.Runtime.Attach(ctx, req.Run, req.Container, runtime.AttachOptions{
			Stdin: stdin, Stdout: stdout, Stderr: stderr, Size: firstSize(ctx, req, resize), Resize: resize,
		})
	default:
		result.ExitCode, err = n.cfg.Runtime.Exec(ctx, req.Run, req.Container, runtime.ExecOptions{
			Command: req.Command, TTY: req.TTY, Stdin: stdin, Stdout: stdout, Stderr: stderr,
			Size: firstSize(ctx, req, resize), Resize: resize,
		})
	}
	if err != nil {
		result.Kind, result.Error = runtime.KindOf(err), err.Error()
	}
	return result
}

// forward connects to a port of a pod and carries what is said both ways until the pod
// has ended its side, or ctx ends. A stdin that blocks for ever keeps one goroutine
// until it returns.
func (n *Node) forward(ctx context.Context, req sessionRequest, stdin io.Reader, stdout io.Writer) error {
	conn, err := n.cfg.Runtime.Dial(ctx, req.Run, req.Port)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if stdin != nil {
		go func() {
			_, _ = io.Copy(conn, stdin) // whatever ends it, nothing more will be said
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		}()
	}
	_, err = io.Copy(stdout, conn)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// firstSizeWait is how long a command waits for the size of its terminal:
// clients send it as soon as they are connected, a round trip after the request.
const firstSizeWait = time.Second

// firstSize takes the size that a client sends first, so that the command finds
// it when it begins. A client that sends none goes without.
func firstSize(ctx context.Context, req sessionRequest, sizes <-chan runtime.Size) runtime.Size {
	if !req.TTY || sizes == nil {
		return runtime.Size{}
	}
	timer := time.NewTimer(firstSizeWait)
	defer timer.Stop()
	select {
	case size := <-sizes:
		return size
	case <-timer.C:
	case <-ctx.Done():
	}
	return runtime.Size{}
}

// session runs a request on the node that owns the container.
func (n *Node) session(ctx context.Context, owner string, req sessionRequest, s api.Stream) (int, error) {
	if owner == n.cfg.Identity.Name {
		result := n.runSession(ctx, req, s.Stdin, orDiscard(s.Stdout), orDiscard(s.Stderr), sizes(ctx, s.Resize))
		return result.ExitCode, result.err()
	}
	peer, since := n.peerOf(owner)
	stream, err := n.mesh.Open(ctx, peer, sessionProtocol)
	if err != nil {
		return 0, fmt.Errorf("%w: %s, out of reach for %s: %v", api.ErrUnreachable, owner, since, err)
	}
	defer stream.Close()
	stopped := context.AfterFunc(ctx, stream.Reset)
	defer stopped()
	line, err := json.Marshal(req)
	if err != nil {
		return 0, err
	}
	if len(line) >= requestMax {
		return 0, fmt.Errorf("%w: the command takes %d bytes, and a node passes on less than %d; send it by stdin, or ask %s itself", api.ErrInvalid, len(line), requestMax, owner)
	}
	if _, err := stream.Write(append(line, '\n')); err != nil {
		return 0, fmt.Errorf("%w: %s: %v", api.ErrUnreachable, owner, err)
	}
	go sendInput(ctx, stream, s) // ends with the stream: every write and read of it fails then
	return receiveOutput(stream, s, owner)
}

func (r sessionResult) err() error {
	if r.Error == "" {
		return nil
	}
	if r.Denied {
		return fmt.Errorf("%w: %s", api.ErrDenied, r.Error)
	}
	if r.Kind == runtime.NotFound {
		return fmt.Errorf("%w: %s", api.ErrNotFound, r.Error)
	}
	return errors.New(r.Error)
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// sizes turns the API's terminal sizes into the runtime's.
func sizes(ctx context.Context, from <-chan api.TerminalSize) <-chan runtime.Size {
	if from == nil {
		return nil
	}
	to := make(chan runtime.Size)
	go func() {
		defer close(to)
		for {
			select {
			case size, ok := <-from:
				if !ok {
					return
				}
				select {
				case to <- runtime.Size(size):
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

func sendInput(ctx context.Context, w io.Writer, s api.Stream) {
	var mu sync.Mutex
	if s.Resize != nil {
		go func() {
			for size := range sizes(ctx, s.Resize) {
				if text, err := json.Marshal(size); err == nil {
					_ = frameWriter{&mu, w, frameResize}.frame(text)
				}
			}
		}()
	}
	if s.Stdin != nil {
		_, _ = io.Copy(frameWriter{&mu, w, frameStdin}, s.Stdin)
		_ = frameWriter{&mu, w, frameStdinEnd}.frame(nil)
	}
}

func receiveOutput(r io.Reader, s api.Stream, owner string) (int, error) {
	in := bufio.NewReader(r)
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return 0, fmt.Errorf("%w: %s went away: %v", api.ErrUnreachable, owner, err)
		}
		switch kind {
		case frameStdout:
			_, err = orDiscard(s.Stdout).Write(payload)
		case frameStderr:
			_, err = orDiscard(s.Stderr).Write(payload)
		case frameResult:
			var result sessionResult
			if err := json.Unmarshal(payload, &result); err != nil {
				return 0, err
			}
			return result.ExitCode, result.err()
		}
		if err != nil {
			return 0, err
		}
	}
}
