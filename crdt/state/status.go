package state

import (
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
)

// NodeStatus is the whole of class B that one node owns: what it is and what it
// runs. The newest (Epoch, Seq) wins; nobody else writes it.
type NodeStatus struct {
	Node          string      `cbor:"1,keyasint"`
	Epoch         uint64      `cbor:"2,keyasint"` // boot counter of the owner
	Seq           uint64      `cbor:"3,keyasint"`
	Runtime       string      `cbor:"4,keyasint,omitempty"`
	Version       string      `cbor:"5,keyasint,omitempty"`
	HostPortsOnly bool        `cbor:"6,keyasint,omitempty"`
	Server        string      `cbor:"7,keyasint,omitempty"` // URL of its API
	HostIP        string      `cbor:"8,keyasint,omitempty"`
	Allocatable   Resources   `cbor:"9,keyasint"`
	Draining      bool        `cbor:"10,keyasint,omitempty"` // wants its slots moved away
	Conditions    []Condition `cbor:"11,keyasint,omitempty"`
	Runs          []RunStatus `cbor:"12,keyasint,omitempty"`
	OS            string      `cbor:"13,keyasint,omitempty"`
	Arch          string      `cbor:"14,keyasint,omitempty"`
	Kernel        string      `cbor:"15,keyasint,omitempty"`
	HolonVersion  string      `cbor:"16,keyasint,omitempty"`
	Profile       string      `cbor:"25,keyasint,omitempty"` // names the figures of its failure detection
	Wall          int64       `cbor:"26,keyasint,omitempty"` // its wall clock when it sent this, in milliseconds since 1970; 0: it does not know
	// Copies are what it keeps for Snapshots: at most SnapshotsMax, by UID.
	Copies []SnapshotCopy `cbor:"27,keyasint,omitempty"`
	// Replica is the ID under which the node writes records, so that its writes can
	// be told by its name.
	Replica crdt.ReplicaID `cbor:"24,keyasint,omitzero"`
}

// Condition is one fact about a node, with Kubernetes' meaning.
type Condition struct {
	Type    string `cbor:"1,keyasint"`
	True    bool   `cbor:"2,keyasint,omitempty"`
	Reason  string `cbor:"3,keyasint,omitempty"`
	Message string `cbor:"4,keyasint,omitempty"`
}

// RunStatus is one run as the node that executes it sees it.
type RunStatus struct {
	Slot     SlotID `cbor:"1,keyasint"`
	Run      RunID  `cbor:"2,keyasint"`
	Revision string `cbor:"3,keyasint"`
	Phase    Phase  `cbor:"4,keyasint"`
	Ready    bool   `cbor:"5,keyasint,omitempty"`
	// Warming says that it is ready, but not yet for as long as its workload wants before
	// it counts as available.
	Warming bool `cbor:"20,keyasint,omitempty"`
	// Refused is the typed reason for which the node does not admit the run, in
	// kubelet's spelling: OutOfcpu, OutOfmemory, OutOfpods; or PortTaken, NoDiskSpace.
	Refused    string            `cbor:"6,keyasint,omitempty"`
	Message    string            `cbor:"7,keyasint,omitempty"`
	IP         string            `cbor:"8,keyasint,omitempty"`
	Containers []ContainerStatus `cbor:"9,keyasint,omitempty"`
	// Init are the init containers, and Initializing says that they hold up the others.
	Init         []ContainerStatus `cbor:"14,keyasint,omitempty"`
	Initializing bool              `cbor:"15,keyasint,omitempty"`
	Created      string            `cbor:"21,keyasint,omitempty"` // RFC 3339, display only
	Started      string            `cbor:"10,keyasint,omitempty"` // RFC 3339, display only
	Stopping     bool              `cbor:"11,keyasint,omitempty"`
	Namespace    string            `cbor:"12,keyasint,omitempty"` // of the Pod object
	Name         string            `cbor:"13,keyasint,omitempty"` // of the Pod object
}

// Phase is where a pod is in its life, with Kubernetes' words.
type Phase string

// The phases of a run.
const (
	Pending   Phase = "Pending"
	Running   Phase = "Running"
	Succeeded Phase = "Succeeded"
	Failed    Phase = "Failed"
)

// ContainerStatus is one container of a run.
type ContainerStatus struct {
	Name     string `cbor:"1,keyasint"`
	ID       string `cbor:"2,keyasint,omitempty"`
	Image    string `cbor:"3,keyasint,omitempty"`
	State    string `cbor:"4,keyasint"` // waiting, running, terminated
	Ready    bool   `cbor:"5,keyasint,omitempty"`
	Restarts int    `cbor:"6,keyasint,omitempty"`
	Reason   string `cbor:"7,keyasint,omitempty"`
	Message  string `cbor:"8,keyasint,omitempty"`
	ExitCode int    `cbor:"9,keyasint,omitempty"`
	Starting bool   `cbor:"12,keyasint,omitempty"` // it runs, and its startup probe has not passed
	// Last is how it ended before: while it waits to be started again, the newest attempt,
	// else the one before that. Zero: it has not.
	Last     Termination `cbor:"13,keyasint,omitzero"`
	Started  string      `cbor:"10,keyasint,omitempty"` // RFC 3339, display only
	Finished string      `cbor:"11,keyasint,omitempty"` // RFC 3339, display only
}

// Termination is how one attempt of a container ended.
type Termination struct {
	ExitCode int    `cbor:"1,keyasint,omitempty"`
	Reason   string `cbor:"2,keyasint"` // Completed, Error, OOMKilled
	Message  string `cbor:"3,keyasint,omitempty"`
	Started  string `cbor:"4,keyasint,omitempty"` // RFC 3339, display only
	Finished string `cbor:"5,keyasint,omitempty"` // RFC 3339, display only
	ID       string `cbor:"6,keyasint,omitempty"`
}

// Ended is how the newest attempt of a container ended that is terminated.
func (s *ContainerStatus) Ended() Termination {
	return Termination{s.ExitCode, s.Reason, s.Message, s.Started, s.Finished, s.ID}
}

// Equal reports whether two statuses of a run say the same.
func (r *RunStatus) Equal(o *RunStatus) bool {
	return r.Slot == o.Slot && r.Run == o.Run && r.Revision == o.Revision && r.Phase == o.Phase && r.Ready == o.Ready &&
		r.Refused == o.Refused && r.Message == o.Message && r.IP == o.IP && r.Started == o.Started && r.Stopping == o.Stopping &&
		r.Namespace == o.Namespace && r.Name == o.Name && r.Warming == o.Warming && r.Created == o.Created && slices.Equal(r.Containers, o.Containers) &&
		slices.Equal(r.Init, o.Init) && r.Initializing == o.Initializing
}

// Newer reports whether s replaces o.
func (s *NodeStatus) Newer(o *NodeStatus) bool {
	return o == nil || s.Epoch > o.Epoch || s.Epoch == o.Epoch && s.Seq > o.Seq
}

// Find returns the status of a run, or nil.
func (s *NodeStatus) Find(run RunID) *RunStatus {
	if s == nil {
		return nil
	}
	for i := range s.Runs {
		if s.Runs[i].Run == run {
			return &s.Runs[i]
		}
	}
	return nil
}

// RunsMax bounds the runs that one node may report.
const RunsMax = 1024

var statusDecoding, _ = cbor.DecOptions{MaxArrayElements: 4 * RunsMax, MaxNestedLevels: 8}.DecMode()

// Encode gives the wire form (CBOR, RFC 8949).
func (s *NodeStatus) Encode() []byte {
	text, err := cbor.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("state: a node status does not encode: %v", err)) // plain data
	}
	return text
}

// DecodeStatus is the inverse of Encode, bounded. It fails on what no node says
// of itself: no name, more than RunsMax runs or SnapshotsMax copies, less than nothing to give.
func DecodeStatus(data []byte) (*NodeStatus, error) {
	var s NodeStatus
	if err := statusDecoding.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("node status: %w", err)
	}
	if s.Node == "" || len(s.Runs) > RunsMax || len(s.Copies) > SnapshotsMax {
		return nil, fmt.Errorf("node status of %q with %d runs, at most %d, and %d copies, at most %d", s.Node, len(s.Runs), RunsMax, len(s.Copies), SnapshotsMax)
	}
	if a := s.Allocatable; a.CPU < 0 || a.Memory < 0 || a.Pods < 0 {
		return nil, fmt.Errorf("node status of %q: allocatable %+v is negative", s.Node, a)
	}
	return &s, nil
}

// pressureTaints are how a condition keeps new pods away, as in Kubernetes.
var pressureTaints = map[string]string{
	string(corev1.NodeMemoryPressure): corev1.TaintNodeMemoryPressure, string(corev1.NodeDiskPressure): corev1.TaintNodeDiskPressure,
}

// Taints are those that a node has by its own word, besides what users wrote.
func (s *NodeStatus) Taints() (taints []corev1.Taint) {
	if s == nil {
		return nil
	}
	for _, c := range s.Conditions {
		if key := pressureTaints[c.Type]; key != "" && c.True {
			taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	return taints
}
