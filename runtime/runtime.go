// Package runtime says what a node asks of whatever runs its containers: a
// small contract in pods, with typed errors. It has two implementations,
// runtime/podman and runtime/process, and one conformance suite,
// runtime/runtimetest, that both must pass.
//
// A pod here is one run of one slot, named by its RunID. Everything is
// idempotent: the same order twice starts one container. Whatever a runtime
// needs to find its pods again after a crash of the daemon it keeps with the
// containers themselves (labels, files), never in the daemon's memory.
package runtime

import (
	"context"
	"io"
	"net"
	"time"
)

// RunID names one run of one slot: at most 32 characters of [a-z0-9].
type RunID string

// Runtime runs pods on one host for one node. All methods may be called
// concurrently. Errors are *Error values; see Kind.
type Runtime interface {
	// Info describes the runtime and fails with Unavailable while it cannot
	// be used (socket down). A later call may succeed: nothing is latched.
	Info(ctx context.Context) (Info, error)

	// EnsurePod makes the pod's sandbox and containers exist and starts every
	// container that has never been started, as attempt 0, but for those that wait
	// (Container.Waits): a pod grows by repeated EnsurePod. It does not touch a
	// container that is there, nor restart one that has exited: that decision is the
	// caller's. A pod that is already there (left by a former daemon) is adopted and
	// returns nil.
	EnsurePod(ctx context.Context, spec Spec) error

	// StartContainer starts attempt number attempt (>= 1) of a container whose
	// former attempt has exited. An attempt that exists already is left alone.
	// The instance of the attempt before is kept for `logs --previous`; older
	// ones are removed.
	StartContainer(ctx context.Context, spec Spec, container string, attempt int) error

	// UpdateFiles makes the volumes of a pod hold the files of spec, for containers that
	// run too: each file changes at once, and those that spec has no more go. What is
	// mounted by a SubPath stays as it was until its container starts again. NotFound if
	// the pod is not there.
	UpdateFiles(ctx context.Context, spec Spec) error

	// StopContainer ends one attempt of a container, which stays, exited: SIGTERM,
	// then SIGKILL after grace. An attempt that is over, that is not the newest one,
	// or that is not there is left alone: nil.
	StopContainer(ctx context.Context, id RunID, container string, attempt int, grace time.Duration) error

	// StopPod sends SIGTERM to every container, waits up to grace, kills what
	// is left, and removes the pod with all it owns (containers, network,
	// address, files). A pod that is not there is not an error.
	StopPod(ctx context.Context, id RunID, grace time.Duration) error

	// Pods lists every pod of this node, running or not, including those a
	// former daemon started.
	Pods(ctx context.Context) ([]Status, error)

	// Usage tells what the containers that run use. One of which that cannot be
	// known here is left out, and so is a pod without any other.
	Usage(ctx context.Context) ([]PodUsage, error)

	// DirSize tells how many bytes of disk the files take that containers of a pod have put
	// into one of its empty directories. NotFound if the pod or the volume is not there.
	DirSize(ctx context.Context, id RunID, volume string) (int64, error)

	// Volumes names the volumes that this node keeps beyond pods; see Volume.Claim.
	Volumes(ctx context.Context) ([]string, error)

	// VolumeSize tells how many bytes the files of a kept volume have.
	VolumeSize(ctx context.Context, name string) (int64, error)

	// RemoveVolume removes a kept volume with all that is in it. One that is not there is
	// not an error; one that a pod of this node has is left alone: Failed.
	RemoveVolume(ctx context.Context, name string) error

	// Changes receives a value soon (<= 200 ms) after something in Pods may
	// have changed. It is a hint: coalesced, and callers poll Pods anyway.
	Changes() <-chan struct{}

	// Logs writes the container's log to w, oldest first, and with Follow goes
	// on until the container has exited or ctx ends (both return nil).
	Logs(ctx context.Context, id RunID, container string, opts LogOptions, w io.Writer) error

	// Exec runs a command in the container's context until it exits or ctx
	// ends, which kills it, and returns its exit code.
	Exec(ctx context.Context, id RunID, container string, opts ExecOptions) (exitCode int, err error)

	// Attach connects to the streams that a container was started with, from now on,
	// until it exits or ctx ends, which the container does not notice; both return nil.
	// It fails with Failed if the container does not run, and for Stdin if it has no
	// input: it was started without, or this runtime keeps none.
	Attach(ctx context.Context, id RunID, container string, opts AttachOptions) error

	// Dial connects to a TCP port in the pod's network, as a program in it would to
	// localhost. Where pods share the host's network only ports that the pod
	// declares are reached. It fails with NotFound, or with Failed if nothing
	// listens.
	Dial(ctx context.Context, id RunID, port int) (net.Conn, error)

	// Close releases what the daemon holds. Pods go on running.
	Close() error
}

// Info describes a runtime.
type Info struct {
	Name    string // "podman" or "process"
	Version string
	// HostPortsOnly says that pods share the node's address, so that their
	// containerPorts count as hostPorts in scheduling.
	HostPortsOnly bool
	// Storage is where images and what containers write lie on this host; empty: beside the
	// node's own data, or nobody knows.
	Storage string
	// Notes are sentences for the operator: which OCI runtime was chosen and
	// why, limits that do not work here.
	Notes []string
}

// Spec is one pod to run. It is complete: ConfigMaps and Secrets are resolved, every
// environment variable is known except those that hold the pod's address.
type Spec struct {
	ID         RunID
	Namespace  string
	Name       string // of the Pod object
	UID        string // of the Pod object
	Slot       string // "<workload UID>/<index>": for adoption, and to name orphans
	CreatedAt  string // RFC 3339; display only, told again as it is
	Hostname   string
	HostIP     string
	Containers []Container
	Volumes    []Volume
	// Requests are kept with the pod: a node that does not know any more what the pod
	// was made from has to know what room it takes.
	Requests Requests `json:",omitzero"`
	// Labels are the pod's own Kubernetes labels; implementations may expose
	// them but must not confuse them with their own bookkeeping.
	Labels map[string]string
	// FSGroup owns the volumes: directories that the pod writes, and files that holon
	// writes. nil: nobody but root has more rights than others.
	FSGroup *int64 `json:",omitempty"`
	// Of a pod that has a network and processes of its own:
	Hosts    []Host `json:",omitempty"` // more lines of /etc/hosts
	DNS      *DNS   `json:",omitempty"` // nil: the node's resolver
	ShareIDs bool   `json:",omitempty"` // its containers see each other's processes
}

// Host is a line of /etc/hosts.
type Host struct {
	IP    string
	Names []string
}

// DNS is what /etc/resolv.conf says.
type DNS struct{ Servers, Searches, Options []string }

// Requests are what a pod is booked with on its node.
type Requests struct {
	CPU    int64 // millicores
	Memory int64 // bytes
}

// Container is one container of a pod.
type Container struct {
	Name       string
	Image      string   // ignored by the process runtime
	PullPolicy string   // Always: the order fails with ImageMissing, to be given with another policy once a registry was asked
	Command    []string // entrypoint; may hold $(VAR) references
	Args       []string // may hold $(VAR) references
	WorkingDir string
	Env        []Env // in order; later ones may refer to earlier ones as $(VAR)
	Ports      []Port
	Mounts     []Mount
	CPULimit   int64 // millicores; 0: none
	CPURequest int64 // millicores; 0: none
	MemLimit   int64 // bytes; 0: none
	// Stdin keeps the standard input open for Attach, TTY makes it a terminal's. A runtime
	// that has neither says so in the container's message.
	Stdin, TTY bool `json:",omitempty"`
	// Waits: the pod is prepared for this container (its ports are published, its volumes
	// are there), but this EnsurePod neither gets its image nor makes it. A later one with
	// the same Spec without Waits does. Until then Env may be incomplete, and a Status
	// does not list the container or has it as Created. StartContainer ignores Waits.
	Waits    bool     `json:",omitempty"`
	Message  Message  `json:",omitzero"`
	Security Security `json:",omitzero"`
}

// Env is one environment variable. PodIP asks for the pod's address, which
// only the runtime knows, and excludes Value. A Secret value is taken as it is
// ($(VAR) is no reference in it), and a runtime writes it to no file, log or
// command line of its own.
type Env struct {
	Name, Value string
	PodIP       bool
	Secret      bool
}

// Port is a port of a container. HostPort 0: not published on the node.
type Port struct {
	Name          string
	ContainerPort int
	HostPort      int
	HostIP        string // empty: the node's address
	Protocol      string // "TCP" or "UDP"
}

// Volume is a directory of files that holon writes (from a ConfigMap or a
// Secret), or an empty directory that lives as long as the pod when Files is
// nil. Files of a Secret are kept in memory where the host lets the runtime.
// Claim, if not empty, names a directory that the node keeps beyond pods, made
// when the first pod asks for it: whoever names the same one sees the same files.
type Volume struct {
	Name   string
	Files  []File
	Secret bool
	// HostPath: it is that, and nothing of its own.
	HostPath *HostPath `json:",omitempty"`
	// Memory: an empty directory is in memory, with room for Limit bytes if that is not 0.
	Memory bool   `json:",omitempty"`
	Limit  int64  `json:",omitempty"`
	Claim  string `json:",omitempty"`
}

// File is one file of a Volume.
type File struct {
	Path string // relative to the volume, no ".."
	Data []byte
	Mode uint32 // permission bits; 0 is 0644
}

// Mount shows a volume inside a container.
type Mount struct {
	Volume   string
	Path     string // absolute path in the container
	SubPath  string
	ReadOnly bool
}

// Status is what a runtime sees of one pod.
type Status struct {
	ID        RunID
	Namespace string
	Name      string
	UID       string
	Slot      string
	CreatedAt string
	IP        string // the pod's address, once known
	Requests  Requests
	// Claims are the kept volumes that the pod was made with, by the names that its own
	// volumes have.
	Claims     map[string]string
	Containers []ContainerStatus
}

// ClaimsOf lists the kept volumes of a pod as Status.Claims does; nil: none.
func ClaimsOf(volumes []Volume) map[string]string {
	var claims map[string]string
	for _, v := range volumes {
		if v.Claim != "" {
			if claims == nil {
				claims = map[string]string{}
			}
			claims[v.Name] = v.Claim
		}
	}
	return claims
}

// ContainerState is where a container's newest attempt is in its life:
//
//	Created -> Running -> Exited
type ContainerState string

// The states of a container.
const (
	Created ContainerState = "Created"
	Running ContainerState = "Running"
	Exited  ContainerState = "Exited"
)

// ContainerStatus is what a runtime sees of the newest attempt of a container.
type ContainerStatus struct {
	Name       string
	ID         string // of the runtime: container ID or "pid:<n>"
	Image      string
	State      ContainerState
	Attempt    int       // counts restarts
	StartedAt  time.Time // display only
	FinishedAt time.Time // display only
	ExitCode   int       // 128+signal when killed by one
	OOMKilled  bool
	// Message says why a container could not start or ended abnormally; of one that has
	// ended, what its program said of that, if it did (Container.Message).
	Message string
	// Last is how the attempt before ended, which is there as long as its log is; zero:
	// there is none.
	Last Ended
}

// Ended is how one attempt of a container came to its end.
type Ended struct {
	ID         string
	StartedAt  time.Time // display only
	FinishedAt time.Time // display only
	ExitCode   int
	OOMKilled  bool
	Message    string
}

// Ended is the newest attempt as the next one's status shows it; zero unless it has exited.
func (c *ContainerStatus) Ended() Ended {
	if c.State != Exited {
		return Ended{}
	}
	return Ended{c.ID, c.StartedAt, c.FinishedAt, c.ExitCode, c.OOMKilled, c.Message}
}

// LogOptions select a part of a log.
type LogOptions struct {
	Follow     bool
	Previous   bool // of the attempt before the newest
	Timestamps bool // prefix each line with RFC 3339 nanoseconds
	Tail       int  // last n lines; negative: all
	Since      time.Duration
}

// ExecOptions describe a command in a container and its streams; nil streams
// are closed. With TTY, Stderr is not used.
type ExecOptions struct {
	Command        []string
	TTY            bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Size is what the terminal has when the command begins, zero if nobody knows;
	// Resize is what it has later.
	Size   Size
	Resize <-chan Size
}

// AttachOptions are the streams of one who attaches to a container; nil ones are
// neither given nor taken. Of a container with a TTY, Stdout is all of its output.
type AttachOptions struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Size           Size // as in ExecOptions
	Resize         <-chan Size
}

// Size is a terminal's size in characters.
type Size struct{ Width, Height uint16 }
