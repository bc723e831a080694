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

	"holon/crdt/state"
)

// Key names an object: Resource is the plural with its group, as
// "pods" or "deployments.apps".
type Key struct {
	Resource, Namespace, Name string
}

// Object is one API object as the cache holds it.
type Object struct {
	Key
	// Token names the stored state that the object was made from, 0 for derived
	// objects. It means something only to the node that issued it.
	Token uint64
	// RV is the resourceVersion, set by the Cache.
	RV uint64
	// Source is what the object is made from; nil: there is none.
	Source Source
}

// Source makes an object for its readers. It never changes. A node that has the
// bytes of an object anyway need not keep it decoded for the cache too.
type Source interface {
	// Value is the object of a key as unstructured JSON with apiVersion, kind,
	// metadata (uid, creationTimestamp, generation...) and status, without
	// resourceVersion. It may be shared and must not be changed by anybody.
	Value(Key) map[string]any
}

// Compact is a Source that has more at hand than it takes to make the object
// again.
type Compact interface {
	Source
	// Kept is what the cache keeps of it.
	Kept() Source
}

// Decoded is the Source of an object that is kept as it is shown.
type Decoded map[string]any

// Value implements Source.
func (d Decoded) Value(Key) map[string]any { return d }

// Value is the object as its Source makes it, nil if there is none. Who looks at
// it more than once keeps it.
func (o Object) Value() map[string]any {
	if o.Source == nil {
		return nil
	}
	return o.Source.Value(o.Key)
}

// decoded is o with its value made, for who looks at it more than once.
func (o Object) decoded() Object {
	if o.Source != nil {
		o.Source = Decoded(o.Value())
	}
	return o
}

// Mutation is one write of one object of class A, of a sealed kind in the clear:
// the node seals it before it goes anywhere. The node diffs Old against
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
	// Cascade is what becomes of what depends on an object that is deleted. One that has
	// finalizers afterwards is only marked, and there until they are gone.
	Cascade state.Cascade
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
	// ErrBusy: the node does as much of this at once as it can.
	ErrBusy = errors.New("this node is busy")
	// ErrNoRoom: the node's disk would have too little left.
	ErrNoRoom = errors.New("the disk of this node is too full")
	// ErrDenied: the node that runs the pod does not let the user.
	ErrDenied = errors.New("denied by the node that runs the pod")
	// ErrInvalid: the request can never succeed as it is.
	ErrInvalid = errors.New("invalid")
	// ErrSealed: the object's values cannot be opened here.
	ErrSealed = errors.New("sealed values cannot be opened on this node")
)

// Stream carries one end of an exec session, of a container's own streams, a log or a forwarded connection.
type Stream struct {
	Stdin          io.Reader // nil: closed
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan TerminalSize
	// Actor is the user, whose rights the node that runs the pod judges, too.
	Actor Actor
}

// TerminalSize is a terminal's size in characters.
type TerminalSize struct{ Width, Height uint16 }

// LogOptions are the query parameters of the pods/log subresource.
type LogOptions struct {
	Container                    string // empty: the only one
	Follow, Previous, Timestamps bool
	Tail                         int // negative: all
	Since                        time.Duration
	Actor                        Actor
}

// Backend is what the API needs of its node.
type Backend interface {
	// Mutate performs one write and returns once it is durable here.
	// It returns the object as stored (metadata.uid and generation filled), also
	// before the Cache shows it.
	Mutate(ctx context.Context, m Mutation) (Object, error)
	// Open makes the values of a sealed object readable. It fails with ErrSealed,
	// and then names the key that is missing and what to do.
	Open(o Object) (Object, error)
	// RotateDataKey makes a new data key for what is sealed from now on and returns
	// its ID.
	RotateDataKey(ctx context.Context) (string, error)
	// DataKeys lists the data keys that the cluster knows.
	DataKeys(ctx context.Context) ([]DataKeyInfo, error)
	// DeletePod gives the slot of a derived pod a new run; a bare pod is deleted
	// through Mutate.
	DeletePod(ctx context.Context, namespace, name string) error
	// Evict has the slot of a pod run elsewhere, and goes on with the pod until that is
	// ready; a bare pod is deleted. It fails with a BudgetError, ErrStays or ErrTwice.
	Evict(ctx context.Context, namespace, name string, dryRun bool) error
	// Rebalance moves so many homes at most from crowded to emptier nodes, or says which it
	// would. It fails with ErrStays where the majority is not seen.
	Rebalance(ctx context.Context, most int, dryRun bool) (Rebalanced, error)
	// WhatIf says, from what this node has, what would become of slots without nodes.
	WhatIf(ctx context.Context, lose []string) (WhatIf, error)
	// Logs streams a container's log from the node that runs the pod.
	Logs(ctx context.Context, namespace, pod string, opts LogOptions, w io.Writer) error
	// Exec runs a command in a container on the node that runs the pod and
	// returns its exit code.
	Exec(ctx context.Context, namespace, pod, container string, command []string, s Stream) (int, error)
	// Attach connects to the streams that a container was started with, on the node that
	// runs the pod, until it exits or ctx ends.
	Attach(ctx context.Context, namespace, pod, container string, s Stream) error
	// PortForward connects to a TCP port in the pod's network, on the node that runs
	// it, and carries Stdin and Stdout of s until either side has ended.
	PortForward(ctx context.Context, namespace, pod string, port int, s Stream) error
	// Events asks every reachable node for its ring of Events (v1, unstructured,
	// newest last) and names the nodes that did not answer.
	Events(ctx context.Context, namespace string) (events []map[string]any, missing []string, err error)
	// Usage measures the nodes that a query is about, and names those that did not answer.
	Usage(ctx context.Context, q UsageQuery) (usage []NodeUsage, missing []string, err error)
	// Why explains the placement of a workload, from this node's own state.
	Why(ctx context.Context, k Key) (Why, error)
	// Conflicts lists, from this node's own replica, what was written on two sides
	// of a partition and nobody has settled, by namespace, kind, name and field.
	Conflicts(ctx context.Context) ([]ConflictSpec, error)
	// Settle answers a conflict of k at a field, as Conflict spells it: by the value
	// of loser, from 0 on, or by that of the winner if loser is KeepWinner.
	Settle(ctx context.Context, k Key, field string, loser int) error
	// Compact frees what removed fields hold of an object, and gives its new UID.
	// Without recreate it fails with ErrInvalid and says what that means.
	Compact(ctx context.Context, k Key, recreate bool) (uid string, err error)
	// Status is this node's view of the cluster.
	Status(ctx context.Context) (ClusterStatus, error)
	// ClusterTime is the time of day by the clocks of most members in reach; false: no
	// clock is known that was ever set.
	ClusterTime() (time.Time, bool)
	// Unheard lists the members that are out of reach, by name: what is read here may lack
	// what they have written since.
	Unheard() []Unheard
	// Snapshot writes this node's copy of the cluster's state, as of one moment, in
	// the format of crdt/snapshot. After an error what was written is no snapshot.
	Snapshot(ctx context.Context, w io.Writer) error
	// SnapshotData writes the file that a node keeps for a Snapshot, of the first node that
	// can be asked.
	SnapshotData(ctx context.Context, q SnapshotQuery, w io.Writer) error
	// Images lists the images of a node, or of all if it is empty.
	Images(ctx context.Context, node string) (ImageList, error)
	// LoadImage takes an archive in on this node. sum is the SHA-256 that the client
	// says it has, once it is read to its end. progress is told while it is unpacked.
	LoadImage(ctx context.Context, archive io.Reader, sum func() string, progress func(string)) ([]ImageInfo, error)
	// CopyImage makes nodes get an image from those that have it.
	CopyImage(ctx context.Context, c ImageCopy, progress func(string)) error
	// Volumes lists what nodes keep beyond pods.
	Volumes(ctx context.Context) (VolumeList, error)
	// AbandonVolume gives the data of a claim up, so that its pods start elsewhere with an
	// empty volume. It fails with ErrStays while the node that has it is in reach, unless
	// forced.
	AbandonVolume(ctx context.Context, namespace, claim string, force bool) error
	// RemoveVolume removes a volume of a node, with ErrStays unless it is unused.
	RemoveVolume(ctx context.Context, node, volume string) error
	// CreateToken, Tokens and RevokeToken manage join tokens.
	CreateToken(ctx context.Context, uses int, ttl time.Duration) (token string, info TokenInfo, err error)
	Tokens(ctx context.Context) ([]TokenInfo, error)
	RevokeToken(ctx context.Context, id string) error
	// Leave removes this node from the cluster for good; Drain stops its pods
	// and moves them away (`holon down` follows it with a signal of its own).
	Leave(ctx context.Context, progress func(string)) error
	Drain(ctx context.Context, progress func(string)) error
	// EvictMember ends the membership of another node for good: by its name, or by its peer
	// ID where several bore one.
	EvictMember(ctx context.Context, member string, e MemberEviction) error
	// ConfirmSync lets a sync of this node drop what its peers have deleted, though
	// it is much.
	ConfirmSync(ctx context.Context, progress func(string)) error
}

// KeepWinner stands for the winner of a conflict.
const KeepWinner = -1

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
	StandIn string   `json:"standIn,omitempty"` // while it stands in
	Runs    []string `json:"runs"`              // "web-abc-x1y2z on n3: Running", and why what does not run does not
	Reasons []string `json:"reasons"`
}

// Rebalanced is the answer to `holon rebalance`.
type Rebalanced struct {
	Node   string `json:"answeredBy"`
	DryRun bool   `json:"dryRun,omitempty"`
	Moves  []Move `json:"moves"`
}

// Move is a slot that gets another home.
type Move struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Slot      int    `json:"slot"`
	From      string `json:"from"`
	To        string `json:"to"`
	Why       string `json:"why"`
}

// WhatIf is the answer to `holon what-if`.
type WhatIf struct {
	Node string   `json:"answeredBy"`
	Lose []string `json:"lose"`
	// Majority: more than half of the members would be seen, so homes would move.
	Majority bool   `json:"majorityView"`
	Fits     bool   `json:"fits"` // every slot would run somewhere
	Slots    []Fate `json:"slots"`
}

// Fate is what would become of a slot that a lost node runs. State is moves, waits
// (nobody has room or fits), stays (with its lost home) or stopped.
type Fate struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Slot      int    `json:"slot"`
	From      string `json:"from"`
	To        string `json:"to,omitempty"`
	StandIn   bool   `json:"standIn,omitempty"` // and not for good
	State     string `json:"state"`
	Why       string `json:"why"`
}

// Unheard is a member that has been out of reach for some time.
type Unheard struct {
	Node string
	For  time.Duration
}

// ClusterStatus is the answer to `holon status`.
type ClusterStatus struct {
	Cluster  string `json:"cluster"`
	Node     string `json:"node"`
	Peer     string `json:"peer"`
	Runtime  string `json:"runtime"`
	Majority bool   `json:"majorityView"`
	// Counted is how many members count for a majority, Reached how many of them this node
	// sees. Awaited are joins and departures that do not count yet.
	Counted   int          `json:"counted"`
	Reached   int          `json:"reached"`
	Awaited   []string     `json:"awaited,omitempty"`
	Sentences []string     `json:"sentences"` // what an operator should know, in words
	Members   []MemberInfo `json:"members"`
	Records   int          `json:"records"`
}

// MemberEviction says how a membership ends. Gone: only if the node is out of reach. Force: it
// counts no more for a majority at once, though those who are left may be too few to say so.
type MemberEviction struct {
	Gone  bool `json:"gone,omitempty"`
	Force bool `json:"force,omitempty"`
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

// DataKeyInfo describes a data key without the key.
type DataKeyInfo struct {
	ID string `json:"id"`
	// Newest: what is written from now on is sealed with this one.
	Newest bool `json:"newest,omitempty"`
	Here   bool `json:"here"` // this node has it
	// Lacking are the members that it was not wrapped for yet.
	Lacking []string `json:"lacking,omitempty"`
	// Sealed is how many Secrets of this node's store have a value under it.
	Sealed int `json:"sealed"`
}

// TokenInfo describes a join token without its secret.
type TokenInfo struct {
	ID       string `json:"id"`
	UsesLeft int    `json:"usesLeft"`
	Expires  string `json:"expires"` // a duration on the issuer's monotonic clock, or "unknown here"
	Issuer   string `json:"issuer"`
	Revoked  bool   `json:"revoked,omitempty"`
}
