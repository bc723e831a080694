package core

import (
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/runtime"
)

// Instant is a point on CLOCK_BOOTTIME in nanoseconds; wall time decides nothing.
type Instant = time.Duration

// Event is what can happen to a node.
type Event interface{ event() }

// The events.
type (
	// Received is a frame from an authenticated member.
	Received struct {
		From  p2p.PeerID
		Frame []byte
	}
	// PeerUp and PeerDown report a connection gained and lost: hints.
	PeerUp   struct{ Peer p2p.PeerID }
	PeerDown struct{ Peer p2p.PeerID }
	// Observed is everything the runtime sees of this node's pods, and the volumes that it
	// keeps beyond them; nil: not asked.
	Observed struct {
		Pods    []runtime.Status
		Volumes []string
	}
	// Ordered answers an Order; Err nil means done.
	Ordered struct {
		Order Order
		Err   *runtime.Error
	}
	// Arrived says that the image a run waits for has come, or will not.
	Arrived struct{ Run runtime.RunID }
	// HostChanged tells what the shell knows of its host.
	HostChanged struct{ Host Host }
	// Asked is a request of a user or of the shell itself; its Ack carries ID.
	Asked struct {
		ID uint64
		Op Op
	}
	// Woke says that time has passed. Any event does; this one has no other content.
	Woke struct{}
)

func (Received) event()    {}
func (PeerUp) event()      {}
func (PeerDown) event()    {}
func (Observed) event()    {}
func (Ordered) event()     {}
func (Arrived) event()     {}
func (Probed) event()      {}
func (Hooked) event()      {}
func (HostChanged) event() {}
func (Asked) event()       {}
func (Woke) event()        {}

// Host is what the shell knows of the machine and its runtime.
type Host struct {
	Runtime      runtime.Info
	RuntimeError string // why the runtime cannot be used now; empty: it can
	Server       string // URL of this node's API
	HostIP       string
	Allocatable  state.Resources
	OS, Arch     string
	Kernel       string
	HolonVersion string
	DiskError    string // why this node cannot store anything; empty: it can
	Wall         int64  // the wall clock, in milliseconds since 1970; 0: unknown. See ClusterTime
	Spare        Spare
}

// Ready is what must happen next, in field order:
//
//	Persist  durable before anything after it is performed
//	Members  the set of peers that may speak
//	Send     envelopes to peers; those marked Early need not wait for Persist; what
//	         Spread gives goes with them
//	Changed  records that readers may now see
//	Derived  API objects made from records and statuses, never stored
//	View     what this node believes of its members, for readers; Explained: of workloads
//	Acks     answers to Asked
//	Run      idempotent orders to the runtime
//	Probe    attempts to be made at once: they change nothing and need not wait for Persist
//	Measure  what pods use is asked for, if it is not nil: it need not wait either
//	Hook     what containers are told that have started
//	Copies   orders to the disk: files of Snapshots, which hold what was persisted by now
//	Facts    what happened, in words
//	Wake     replaces any earlier wake; a late or doubled one is harmless
type Ready struct {
	Persist []crdt.KV
	Members []p2p.Member // not nil: the set of peers that may speak has changed
	Send    []Envelope
	Changed []Change
	Derived []Derived
	View    *View
	// Explained says why workloads are where they are, each replacing what was said
	// of it before.
	Explained []Explanation
	Acks      []Ack
	Run       []Order
	Probe     []Probe
	Measure   *Measure
	Hook      []Hook
	Copies    []CopyOrder
	Facts     []Fact
	Wake      Instant
}

// Ack answers one Asked, to be given once Persist is durable.
type Ack struct {
	ID  uint64
	Err error
	Key state.Key
	UID crdt.UID
	// Copied answers Copy, Moves Rebalance, Fates WhatIf.
	Copied  *Copied
	Moves   []Move
	Fates   *Fates
	Volumes []KeptVolume // answers ListVolumes
}

// Change is a record that has changed, decoded and as it is stored; nil if nothing
// is left of it. Token names this state of it, in this process only.
type Change struct {
	Key    state.Key
	Record *crdt.Record
	Stored *Stored
	Token  uint64
}

// Derived is an API object (or holon's own explanation) that follows from the
// view; Value nil: it is gone.
type Derived struct {
	Key   state.Key
	Value map[string]any
	// Token is that of the stored record behind it, 0 if there is none.
	Token uint64
}

// Envelope is a frame to one peer, or to all if To is empty.
type Envelope struct {
	To    p2p.PeerID
	Frame []byte
	// Early frames carry nothing that has to be durable first (liveness, status):
	// a slow disk must not make a node look dead.
	Early bool
}

// OrderKind is what a runtime is told to do.
type OrderKind uint8

// The kinds of order.
const (
	Ensure  OrderKind = iota // Spec: make the pod exist
	Restart                  // Spec, Container, Attempt: start a container again
	Stop                     // Run, Grace: end the pod and remove it
	Kill                     // Run, Container, Attempt, Grace: end one attempt of a container, which stays
	Update                   // Spec: make its files what they are in Spec, while it runs
	Discard                  // Volume: remove it with what is in it
)

func (k OrderKind) String() string {
	return [...]string{"ensure", "restart", "stop", "kill", "update", "discard"}[k]
}

// Ends reports whether an order ends something, which may take its grace period.
func (k OrderKind) Ends() bool { return k == Stop || k == Kill || k == Discard }

// Order is an idempotent order to the runtime: the same one twice starts one
// container. The shell answers every one with Ordered.
type Order struct {
	Kind   OrderKind
	Run    runtime.RunID
	Spec   *runtime.Spec
	Sealed []SealedUse // values that Spec lacks until the shell has opened them
	// NoPullSecret names the Secrets for registries that are not there.
	NoPullSecret []string
	Container    string
	Attempt      int
	Grace        time.Duration
	// Ends says what of Stop or Kill comes before the rest: groups of containers that end
	// one after the other, each once it has been told (all are told at the beginning).
	Ends   [][]Ending
	Volume string
}

// SealedUse is what a Spec lacks until the shell adds it, and where it belongs there: an
// environment variable, a file of a volume, or none: a credential for registries. It is the
// plaintext of a Secret's register, or, in a file, a token that is still to be made.
type SealedUse struct {
	Secret state.Key
	UID    crdt.UID
	Path   string
	Value  []byte // the register, sealed
	Token  *AccountToken

	InFile         bool
	ForPull        bool
	Container, Env int
	Volume, File   int
}

// AccountToken is a token of the ServiceAccount that the pod of an order runs as, bound to
// that pod.
type AccountToken struct {
	Account  string
	Audience string // empty: the API
	Life     time.Duration
}

// Fact is something that happened, in words. The shell makes logs, metrics,
// Events and transcripts of it.
type Fact struct {
	Warning bool
	Reason  string    // CamelCase, as in a Kubernetes Event
	Message string    // a sentence
	About   state.Key // the object it is about; empty: this node
}
