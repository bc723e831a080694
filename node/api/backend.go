// Package api is the Kubernetes-shaped API that every node serves: a subset of
// the real REST API (kubernetes.io/docs/reference/using-api), on net/http with
// k8s.io/api types, for unmodified clients. It knows what a node offers
// (Backend) and nothing of Badger, libp2p or Podman.
//
// Reads are served from a Cache, which the node fills after every durable
// batch; they never enter the node's loop. Writes go through Backend and return
// once they are on this node's disk.
package api

import (
	"context"
	"errors"
	"io"
	"time"
)

// Key names an object: Resource is the plural with its group, as
// "pods" or "deployments.apps".
type Key struct {
	Resource, Namespace, Name string
}

// Object is one API object as the cache holds it. Value is shared and must not
// be changed by anybody.
type Object struct {
	Key
	// Token names the stored state that Value was made from, 0 for derived
	// objects. It means something only to the node that issued it.
	Token uint64
	// RV is the resourceVersion, set by the Cache.
	RV uint64
	// Value is the object as unstructured JSON with apiVersion, kind, metadata
	// (uid, creationTimestamp, generation...) and status, without resourceVersion.
	Value map[string]any
}

// Mutation is one write of one object of class A. The node diffs Old against
// New field by field and writes only what changed, so that two clients that
// change different fields never undo each other.
type Mutation struct {
	Key
	// UID of the object that is meant; empty: create it. A create of a name that
	// is taken fails with ErrExists, a UID that is not there with ErrNotFound.
	UID string
	// Token: if not 0, the write fails with ErrConflict unless the stored object is
	// still the one that had this token.
	Token uint64
	// Old and New are the object as the client saw it and as it shall be; New nil
	// deletes, Old nil creates. Status, resourceVersion and uid in them are ignored.
	Old, New map[string]any
	// Actor is the user name, for Events and logs.
	Actor string
}

// Errors of Backend, to be matched with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("the object has been changed since it was read")
	// ErrNotDurable: the node's disk does not accept writes, so nothing was acknowledged.
	ErrNotDurable = errors.New("this node cannot store anything")
	// ErrUnreachable: the node that must answer is out of reach.
	ErrUnreachable = errors.New("node is unreachable")
	// ErrInvalid: the request can never succeed as it is.
	ErrInvalid = errors.New("invalid")
)

// Stream carries one end of an exec session or a log.
type Stream struct {
	Stdin          io.Reader // nil: closed
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan TerminalSize
}

// TerminalSize is a terminal's size in characters.
type TerminalSize struct{ Width, Height uint16 }

// LogOptions are the query parameters of the pods/log subresource.
type LogOptions struct {
	Container                    string // empty: the only one
	Follow, Previous, Timestamps bool
	Tail                         int // negative: all
	Since                        time.Duration
}

// Backend is what the API needs of its node.
type Backend interface {
	// Mutate performs one write and returns once it is durable here.
	// It returns the object as stored (metadata.uid and generation filled), also
	// before the Cache shows it.
	Mutate(ctx context.Context, m Mutation) (Object, error)
	// DeletePod gives the slot of a derived pod a new run; a bare pod is deleted
	// through Mutate.
	DeletePod(ctx context.Context, namespace, name string) error
	// Logs streams a container's log from the node that runs the pod.
	Logs(ctx context.Context, namespace, pod string, opts LogOptions, w io.Writer) error
	// Exec runs a command in a container on the node that runs the pod and
	// returns its exit code.
	Exec(ctx context.Context, namespace, pod, container string, command []string, s Stream) (int, error)
	// Events asks every reachable node for its ring of Events (v1, unstructured,
	// newest last) and names the nodes that did not answer.
	Events(ctx context.Context, namespace string) (events []map[string]any, missing []string, err error)
	// Why explains the placement of a workload, from this node's own state.
	Why(ctx context.Context, k Key) (Why, error)
	// Status is this node's view of the cluster.
	Status(ctx context.Context) (ClusterStatus, error)
	// CreateToken, Tokens and RevokeToken manage join tokens.
	CreateToken(ctx context.Context, uses int, ttl time.Duration) (token string, info TokenInfo, err error)
	Tokens(ctx context.Context) ([]TokenInfo, error)
	RevokeToken(ctx context.Context, id string) error
	// Leave removes this node from the cluster for good; Drain stops its pods
	// and moves them away (`holon down` follows it with a signal of its own).
	Leave(ctx context.Context, progress func(string)) error
	Drain(ctx context.Context, progress func(string)) error
	// ConfirmSync lets a sync of this node drop what its peers have deleted, though
	// it is much.
	ConfirmSync(ctx context.Context, progress func(string)) error
}

// Why is the answer to `holon why`.
type Why struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Node      string    `json:"answeredBy"` // the node whose view this is
	Scheduler string    `json:"scheduler"`
	Standbys  []string  `json:"standbys"`
	Majority  bool      `json:"majorityView"`
	Slots     []WhySlot `json:"slots"`
	Reasons   []string  `json:"reasons"` // for the workload as a whole
}

// WhySlot explains one slot of a workload.
type WhySlot struct {
	Index   int      `json:"index"`
	Home    string   `json:"home,omitempty"`
	Term    uint64   `json:"term,omitempty"`
	StandIn string   `json:"standIn,omitempty"`
	Runs    []string `json:"runs"` // "web-abc-x1y2z on n3: Running"
	Reasons []string `json:"reasons"`
}

// ClusterStatus is the answer to `holon status`.
type ClusterStatus struct {
	Cluster   string       `json:"cluster"`
	Node      string       `json:"node"`
	Peer      string       `json:"peer"`
	Runtime   string       `json:"runtime"`
	Majority  bool         `json:"majorityView"`
	Sentences []string     `json:"sentences"` // what an operator should know, in words
	Members   []MemberInfo `json:"members"`
	Records   int          `json:"records"`
}

// MemberInfo is one member as this node sees it.
type MemberInfo struct {
	Name    string   `json:"name"`
	Peer    string   `json:"peer"`
	State   string   `json:"state"` // alive, suspect, unreachable, left
	Since   string   `json:"since,omitempty"`
	Runtime string   `json:"runtime,omitempty"`
	Server  string   `json:"server,omitempty"`
	Addrs   []string `json:"addrs,omitempty"`
}

// TokenInfo describes a join token without its secret.
type TokenInfo struct {
	ID       string `json:"id"`
	UsesLeft int    `json:"usesLeft"`
	Expires  string `json:"expires"` // a duration on the issuer's monotonic clock, or "unknown here"
	Issuer   string `json:"issuer"`
	Revoked  bool   `json:"revoked,omitempty"`
}
