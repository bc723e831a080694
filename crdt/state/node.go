package state

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state/valid"
)

// DrainAnnotation on a Node that is unschedulable asks that what runs there runs
// elsewhere. Without a cordon it asks for nothing, so that `kubectl uncordon`, which
// knows nothing of it, ends a drain.
const DrainAnnotation = valid.DrainAnnotation

// Node is what users want of a node: the stored half of the Node object.
type Node struct {
	Name          string
	UID           crdt.UID
	Labels        map[string]string
	Taints        []corev1.Taint
	Unschedulable bool
	Drain         bool // what runs there shall run elsewhere
	Object        map[string]any
	Conflicts     []Conflict
}

// DecodeNode reads a node from its record; ok is false if it is gone.
func DecodeNode(key Key, rec *crdt.Record) (n Node, ok bool, err error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return Node{}, false, err
	}
	var typed corev1.Node
	if err := Convert(obj.Value, &typed); err != nil {
		return Node{}, false, fmt.Errorf("%s: %w", key, err)
	}
	_, _, name := key.Split()
	return Node{
		Name: name, UID: obj.UID, Labels: typed.Labels, Taints: typed.Spec.Taints,
		Unschedulable: typed.Spec.Unschedulable, Drain: typed.Spec.Unschedulable && typed.Annotations[DrainAnnotation] == valid.DrainOn,
		Object: obj.Value, Conflicts: Conflicts(key, rec),
	}, true, nil
}

// Member is a peer that was admitted to the cluster. It is believed only after
// its certificate chain has been verified.
type Member struct {
	Peer  string
	Name  string
	Chain []byte // cert.Chain, encoded
	Left  bool   // it said goodbye for good, or was evicted; never taken back
	Addrs []string
	Born  crdt.Stamp
	// EvictedBy is the node that was asked to end the membership; empty: the member left
	// by itself. Forgotten says that a person vouches for its being gone.
	EvictedBy string
	Forgotten bool
	// Awaited: when it was admitted it did not count yet for a majority. Counted: it does,
	// or did. Uncounted: its going counts, too. Each is true for ever.
	Awaited, Counted, Uncounted bool
	// Admitted and LeftBy are the writes that say that it belongs, and no more.
	Admitted, LeftBy crdt.Dot
}

// The registers of a member record.
const (
	MemberName  = "/name"
	MemberChain = "/chain"
	MemberLeft  = "/left"
	MemberAddrs = "/addrs"
	// Both come with MemberLeft, where it was another node that wrote it.
	MemberEvictedBy = "/evictedBy"
	MemberForgotten = "/forgotten"
	MemberAwaited   = "/awaited"
	MemberCounted   = "/counted"
	MemberUncounted = "/uncounted"
)

// MemberUID is the UID of a member record, one per peer for ever.
func MemberUID(peer string) crdt.UID { return DerivedUID("member", peer) }

// Counts reports whether a member is one of those of whom more than half make a
// majority, as far as this record says.
func (m *Member) Counts() bool { return (m.Counted || !m.Awaited) && !m.Uncounted && !m.Forgotten }

// DecodeMember reads a member record.
func DecodeMember(key Key, rec *crdt.Record) (m Member, ok bool, err error) {
	obj := rec.Live()
	if obj == nil {
		return Member{}, false, nil
	}
	_, _, m.Peer = key.Split()
	m.Born, m.Admitted, m.LeftBy = obj.Birth.Stamp, obj.Birth.Dot, obj.Registers[MemberLeft].Dot
	err = DecodeRegisters(key, obj, map[string]any{
		MemberName: &m.Name, MemberChain: &m.Chain, MemberLeft: &m.Left, MemberAddrs: &m.Addrs,
		MemberEvictedBy: &m.EvictedBy, MemberForgotten: &m.Forgotten,
		MemberAwaited: &m.Awaited, MemberCounted: &m.Counted, MemberUncounted: &m.Uncounted,
	})
	if err != nil {
		return Member{}, false, err
	}
	return m, true, nil
}
