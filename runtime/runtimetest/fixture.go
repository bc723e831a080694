// Package runtimetest holds the conformance suite that every runtime.Runtime
// must pass, and a fake host with faults for the seeded world.
//
// The suite fixes what the contract leaves open, the same for every runtime:
//
//   - A command that is not there (or cannot be executed) makes EnsurePod and
//     StartContainer fail with BadCommand, in a sentence that names the command.
//     The container is not Running, the order may be repeated (and fails the
//     same way), and StopPod removes whatever was made.
//   - Exec of such a command is not an error of the runtime: it returns exit
//     code 127 or 126, as a shell does.
//   - StartContainer, Logs and Exec of a pod or container that is not there,
//     and Logs with Previous before there is a previous attempt, are NotFound.
//   - EnsurePod that fails with PortTaken leaves nothing running and succeeds
//     once the port is free.
//   - A follower of a log sees the last words of a container that StopPod ends.
package runtimetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"holon/runtime"
)

// Fixture is one runtime under test with what the suite needs around it.
type Fixture struct {
	// New makes a Runtime value on the same storage each time: a second one
	// is the next life of a daemon. The suite closes every value it makes.
	New func() runtime.Runtime

	// Command says how to run a /bin/sh script in this runtime.
	Command func(script string) (command []string, image string)

	// Kill kills a container of a pod with SIGKILL behind the runtime's back.
	Kill func(t *testing.T, pod runtime.Status, container string)

	// HostIP is the node's address, where host ports are published.
	HostIP string

	// IPReachable: the test process can connect to a pod's address.
	IPReachable bool

	// Serve runs a program that listens on TCP port port of the pod's address
	// (in the environment as POD_IP) and answers each connection with
	// "hello\n". Nil: tests that connect to pods are left out.
	Serve func(port int) (command []string, image string)

	// PodPort returns the containerPort to declare for a host port. Nil: 8080.
	// Runtimes whose pods share the node's address need both to be equal.
	PodPort func(hostPort int) int

	// TakePort occupies a free TCP port of HostIP in another program's name
	// until release is called. Nil: the suite listens on it itself.
	TakePort func(t *testing.T) (port int, release func())

	// Path is the shell expression for where a mount path appears. Nil: the
	// path itself.
	Path func(mountPath string) string

	// LogBytesMax is the size at which the runtime was told to rotate a log;
	// one older file may be kept. 0: rotation is not tested.
	LogBytesMax int

	// LateSize: a command may begin a moment before its terminal has the size that
	// it was given.
	LateSize bool

	// NoInput: containers have neither standard input nor a terminal, which the message
	// of one that was to have them says.
	NoInput bool

	// ReadOnlyNotEnforced: read-only mounts can be written here, which the
	// runtime says in its Info.Notes.
	ReadOnlyNotEnforced bool

	// SubPathFollows: where mounts are links, what a SubPath shows changes, too.
	SubPathFollows bool

	// Simulated: there is no real shell. Only the tests that make do with the
	// statements of ParseScript are run.
	Simulated bool

	// Patience bounds every wait of the suite. 0: 20 s.
	Patience time.Duration
}

// harness is one subtest: a fixture, a runtime and the pods to remove.
type harness struct {
	Fixture
	t   *testing.T
	ctx context.Context
	rt  runtime.Runtime
	ids []runtime.RunID
	mu  sync.Mutex
}

func newHarness(t *testing.T, f Fixture) *harness {
	t.Helper()
	if f.Patience == 0 {
		f.Patience = 20 * time.Second
	}
	if f.Path == nil {
		f.Path = func(p string) string { return p }
	}
	if f.PodPort == nil {
		f.PodPort = func(int) int { return 8080 }
	}
	if f.TakePort == nil {
		f.TakePort = f.listen
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{Fixture: f, t: t, ctx: ctx, rt: f.New()}
	t.Cleanup(func() {
		defer cancel()
		for _, id := range h.ids {
			if err := h.rt.StopPod(ctx, id, 0); err != nil {
				t.Errorf("tidy up %s: %v", id, err)
			}
		}
		if err := h.rt.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func (f Fixture) listen(t *testing.T) (int, func()) {
	l, err := net.Listen("tcp", net.JoinHostPort(f.HostIP, "0"))
	if err != nil {
		t.Fatalf("occupy a port: %v", err)
	}
	return l.Addr().(*net.TCPAddr).Port, func() { l.Close() }
}

// freePort returns a port of the node that was free a moment ago.
func (h *harness) freePort() int {
	port, release := h.TakePort(h.t)
	release()
	return port
}

// container makes a container that runs script.
func (h *harness) container(name, script string) runtime.Container {
	command, image := h.Command(script)
	return runtime.Container{Name: name, Image: image, PullPolicy: "Never", Command: command}
}

// pod makes a spec with a fresh RunID; it is removed at the end of the test.
func (h *harness) pod(containers ...runtime.Container) runtime.Spec {
	b := make([]byte, 8)
	rand.Read(b)
	id := runtime.RunID("t" + hex.EncodeToString(b))
	h.mu.Lock()
	h.ids = append(h.ids, id)
	h.mu.Unlock()
	return runtime.Spec{
		ID:         id,
		Namespace:  "conformance",
		Name:       "pod-" + string(id),
		UID:        "uid-" + string(id),
		Slot:       "workload-" + string(id) + "/0",
		CreatedAt:  "2026-01-02T03:04:05Z",
		Hostname:   "pod-" + string(id),
		HostIP:     h.HostIP,
		Requests:   runtime.Requests{CPU: 10, Memory: 1 << 20},
		Containers: containers,
		Labels:     map[string]string{"app": "conformance"},
	}
}

func (h *harness) ensure(spec runtime.Spec) {
	h.t.Helper()
	if err := h.rt.EnsurePod(h.ctx, spec); err != nil {
		h.t.Fatalf("EnsurePod: %v", err)
	}
}

func (h *harness) stop(id runtime.RunID, grace time.Duration) {
	h.t.Helper()
	if err := h.rt.StopPod(h.ctx, id, grace); err != nil {
		h.t.Fatalf("StopPod: %v", err)
	}
}

// status returns the pod's status, and whether it is listed.
func (h *harness) status(id runtime.RunID) (runtime.Status, bool) {
	h.t.Helper()
	pods, err := h.rt.Pods(h.ctx)
	if err != nil {
		h.t.Fatalf("Pods: %v", err)
	}
	for _, p := range pods {
		if p.ID == id {
			return p, true
		}
	}
	return runtime.Status{}, false
}

// await polls until ok is true of the pod's status, woken by Changes.
func (h *harness) await(id runtime.RunID, what string, ok func(runtime.Status) bool) runtime.Status {
	h.t.Helper()
	var last runtime.Status
	h.eventually(what, func() bool {
		s, there := h.status(id)
		last = s
		return there && ok(s)
	}, func() string { return fmt.Sprintf("last status %+v", last) })
	return last
}

func (h *harness) eventually(what string, ok func() bool, describe func() string) {
	h.t.Helper()
	deadline := time.NewTimer(h.Patience)
	defer deadline.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-h.rt.Changes():
		case <-poll.C:
		case <-deadline.C:
			h.t.Fatalf("%s: not within %v; %s", what, h.Patience, describe())
		}
	}
}

func (h *harness) awaitState(id runtime.RunID, container string, attempt int, state runtime.ContainerState) runtime.ContainerStatus {
	h.t.Helper()
	s := h.await(id, fmt.Sprintf("container %s is %s in attempt %d", container, state, attempt), func(s runtime.Status) bool {
		c := find(s, container)
		return c.State == state && c.Attempt == attempt
	})
	return find(s, container)
}

// find returns the status of a container, zero if it is not listed.
func find(s runtime.Status, container string) runtime.ContainerStatus {
	for _, c := range s.Containers {
		if c.Name == container {
			return c
		}
	}
	return runtime.ContainerStatus{}
}

func (h *harness) logs(id runtime.RunID, container string, opts runtime.LogOptions) string {
	h.t.Helper()
	var b bytes.Buffer
	if err := h.rt.Logs(h.ctx, id, container, opts, &b); err != nil {
		h.t.Fatalf("Logs: %v", err)
	}
	return b.String()
}

// all is the whole log of the newest attempt.
var all = runtime.LogOptions{Tail: -1}

// awaitLog waits until the log holds text and returns the log.
func (h *harness) awaitLog(id runtime.RunID, container, text string) string {
	h.t.Helper()
	var got string
	h.eventually(fmt.Sprintf("log of %s holds %q", container, text), func() bool {
		got = h.logs(id, container, all)
		return strings.Contains(got, text)
	}, func() string { return fmt.Sprintf("log is %q", got) })
	return got
}

// wantKind fails the test unless err is of kind and in words.
func (h *harness) wantKind(what string, err error, kind runtime.Kind) {
	h.t.Helper()
	if err == nil || runtime.KindOf(err) != kind {
		h.t.Fatalf("%s: got error %v of kind %v, want kind %v", what, err, runtime.KindOf(err), kind)
	}
}

// syncBuffer collects a stream that another goroutine writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
