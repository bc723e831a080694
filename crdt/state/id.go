package state

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"holon/crdt"
)

// SlotID is the identity of one replica, the same on both sides of a partition.
type SlotID struct {
	Workload crdt.UID `cbor:"1,keyasint"`
	Index    int      `cbor:"2,keyasint,omitempty"`
}

func (s SlotID) String() string { return s.Workload.String() + "-" + strconv.Itoa(s.Index) }

// ParseSlotID is the inverse of SlotID.String. It accepts no other spelling, so
// that a slot has one key.
func ParseSlotID(text string) (SlotID, error) {
	cut := strings.LastIndexByte(text, '-')
	if cut < 0 {
		return SlotID{}, fmt.Errorf("slot %q is not <workload UID>-<index>", text)
	}
	uid, err := crdt.ParseUID(text[:cut])
	if err != nil {
		return SlotID{}, fmt.Errorf("slot %q: %w", text, err)
	}
	index, err := strconv.Atoi(text[cut+1:])
	if err != nil || index < 0 || index >= slotIndexMax {
		return SlotID{}, fmt.Errorf("slot %q: index is not in [0, %d)", text, slotIndexMax)
	}
	id := SlotID{Workload: uid, Index: index}
	if id.String() != text {
		return SlotID{}, fmt.Errorf("slot %q is spelled %q", text, id)
	}
	return id, nil
}

// ReplicasMax bounds the slots of one workload that are counted.
const ReplicasMax = 10_000

// RunID names one execution of one slot on one node. It is a hash of what makes
// the run this run, so whoever derives it gets the same one: a restarted daemon
// finds its containers by it, and promoting a stand-in keeps its run.
type RunID string

// MakeRunID derives the run of a slot at a revision on a node. The nonce grows
// when somebody deletes the pod.
func MakeRunID(slot SlotID, revision, node string, nonce uint64) RunID {
	sum := hash("run", slot.String(), revision, node, strconv.FormatUint(nonce, 10))
	return RunID(lowerBase32.EncodeToString(sum[:10]))
}

// lowerBase32 spells hashes in characters that every name may contain.
var lowerBase32 = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hash is SHA-256 over length-prefixed parts, so that no two lists collide.
func hash(parts ...string) [32]byte {
	var room [256]byte
	text := room[:0]
	for _, p := range parts {
		text = append(binary.BigEndian.AppendUint64(text, uint64(len(p))), p...)
	}
	return sha256.Sum256(text)
}

// DerivedUID makes the UID of something that two sides of a partition must name
// alike: a UUID of version 8 (RFC 9562) over the parts.
func DerivedUID(parts ...string) crdt.UID {
	sum := hash(parts...)
	var u crdt.UID
	copy(u[:], sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// RevisionHash names a pod template: 10 hex digits over its canonical JSON.
func RevisionHash(template any) string {
	text, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("state: a pod template does not encode: %v", err)) // decoded from JSON before
	}
	sum := hash("revision", string(text))
	return hex.EncodeToString(sum[:5])
}

// PodName is the name of a Deployment's pod: <replicaset>-<5 characters>, cut to
// the 63 bytes of a DNS label (RFC 1123) as Kubernetes cuts generated names.
func PodName(replicaSet string, run RunID) string {
	sum := hash("pod name", string(run))
	replicaSet = replicaSet[:min(len(replicaSet), podNameMax-podSuffix-1)]
	return strings.TrimRight(replicaSet, "-.") + "-" + lowerBase32.EncodeToString(sum[:4])[:podSuffix]
}

const podNameMax, podSuffix = 63, 5

// PodUID is the UID of the Pod object that shows a run.
func PodUID(slot SlotID, run RunID) crdt.UID {
	return DerivedUID("pod", slot.String(), string(run))
}
