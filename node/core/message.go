package core

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// The first byte of a frame says what follows. Wire version 1.
//
//	message    from -> to          body                meaning
//	swim       any -> any          swim packet         liveness, see p2p/swim
//	put        writer -> all       putBody             records just written: a hint, see Spread
//	digest     any -> peer         digestBody          "this is what I have"; the guarantee starts here
//	pull       behind -> ahead     pullBody            "send me what my context lacks, after this dot"
//	chunk      ahead -> behind     chunkBody           a bounded part of it; the first one covers a context
//	status     owner -> peer       state.NodeStatus    class B, whole
//	statusAsk  any -> owner        (empty)             "send me your status"
//	floor      any -> peer         floorBody           what may be purged
//	check      stale -> ahead      checkBody           "which of these objects were deleted?", see stale.go
//	gone       ahead -> stale      goneBody            those
//	have       writer -> all       haveBody            "I have large records"
//	fetch      any -> peer         fetchBody           "send me these", answered by a put or a repair
//	tree       any -> peer         treeBody            sums of a store that differs although it must not, see tree.go
//	leaves     peer -> asker       leavesBody          the keys under the sums that differ
//	repair     any -> peer         repairBody          records to be joined plainly
const (
	kindSwim byte = iota + 1
	kindPut
	kindDigest
	kindPull
	kindChunk
	kindStatus
	kindStatusAsk
	kindFloor
	kindCheck
	kindGone
	kindHave
	kindFetch
	kindTree
	kindLeaves
	kindRepair
)

// Bounds of what a peer may send. A frame is bounded by the mesh.
const (
	chunkBytesMax   = 256 << 10 // of records in one chunk, plus one record
	chunkRecordsMax = 4096
	putBytesMax     = p2p.BroadcastBytesMax - 1024 // room for the envelope around it
)

type packedRecord struct {
	Key    state.Key `cbor:"1,keyasint"`
	Record []byte    `cbor:"2,keyasint"`
}

type putBody struct {
	Records []packedRecord `cbor:"1,keyasint"`
}

type digestBody struct {
	Context [32]byte         `cbor:"1,keyasint"`
	Epoch   uint64           `cbor:"2,keyasint"` // of the sender's newest status
	Seq     uint64           `cbor:"3,keyasint"`
	Answer  bool             `cbor:"4,keyasint,omitempty"` // do not answer an answer
	Floor   crdt.FloorID     `cbor:"5,keyasint"`
	Root    crdt.Fingerprint `cbor:"6,keyasint"`
	Level   bool             `cbor:"7,keyasint,omitempty"` // Root may be compared
}

type pullBody struct {
	ID      uint64         `cbor:"1,keyasint"`
	Context []byte         `cbor:"2,keyasint"`
	By      crdt.ReplicaID `cbor:"3,keyasint"` // By and At: go on after this dot
	At      uint64         `cbor:"4,keyasint"`
}

type chunkBody struct {
	ID      uint64         `cbor:"1,keyasint"`
	Records []packedRecord `cbor:"2,keyasint"`
	By      crdt.ReplicaID `cbor:"3,keyasint"` // By and At: of the last record
	At      uint64         `cbor:"4,keyasint"`
	Done    bool           `cbor:"5,keyasint,omitempty"`
	Context []byte         `cbor:"6,keyasint,omitempty"` // in the first chunk: the sender's
	Floor   []byte         `cbor:"7,keyasint,omitempty"` // in the last chunk: the sender's
}

type floorBody struct {
	Floor []byte `cbor:"1,keyasint"`
}

type checkItem struct {
	Key state.Key      `cbor:"1,keyasint"`
	UID crdt.UID       `cbor:"2,keyasint"`
	By  crdt.ReplicaID `cbor:"3,keyasint"` // By and At: its birth
	At  uint64         `cbor:"4,keyasint"`
}

type checkBody struct {
	ID    uint64      `cbor:"1,keyasint"`
	Round uint64      `cbor:"2,keyasint"`
	Items []checkItem `cbor:"3,keyasint"`
}

type goneBody struct {
	ID    uint64 `cbor:"1,keyasint"`
	Round uint64 `cbor:"2,keyasint"`
	Gone  []int  `cbor:"3,keyasint"` // indexes of Items
}

type haveBody struct {
	Records []haveRecord `cbor:"1,keyasint"`
}

type haveRecord struct {
	Key  state.Key      `cbor:"1,keyasint"`
	By   crdt.ReplicaID `cbor:"2,keyasint"` // By and At: the dot of the write
	At   uint64         `cbor:"3,keyasint"`
	Size int            `cbor:"4,keyasint"`
}

type fetchBody struct {
	Keys   []state.Key `cbor:"1,keyasint"`
	Repair bool        `cbor:"2,keyasint,omitempty"`
}

type treeBody struct {
	Context [32]byte `cbor:"1,keyasint"`
	Sums    []byte   `cbor:"2,keyasint"` // 16 bytes for each bucket
}

type leaf struct {
	Key   state.Key        `cbor:"1,keyasint"`
	Print crdt.Fingerprint `cbor:"2,keyasint"`
}

type leavesBody struct {
	Buckets []int  `cbor:"1,keyasint"`
	Leaves  []leaf `cbor:"2,keyasint"`
}

type repairBody struct {
	Records []packedRecord `cbor:"1,keyasint"`
}

var decoding, _ = cbor.DecOptions{MaxArrayElements: chunkRecordsMax, MaxNestedLevels: 6, MaxMapPairs: 64}.DecMode()

func encodeMessage(kind byte, body any) []byte {
	text, err := cbor.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("core: %T does not encode: %v", body, err)) // plain data
	}
	return append([]byte{kind}, text...)
}

func decodeMessage(frame []byte, into any) error { return decoding.Unmarshal(frame[1:], into) }

// receive takes one frame of a member. What does not decode is dropped and
// said once per peer: it cannot harm the rest.
func (c *Core) receive(from p2p.PeerID, frame []byte) {
	if len(frame) == 0 || !c.members.known(from) {
		return
	}
	if frame[0] != kindSwim && !IsGossip(frame) { // gossip is relayed: it may be old
		c.heard(from)
	}
	if frame[0] != kindSwim && !c.limits.admits(c.now, from, frame) {
		c.store.count.Limited++
		c.members.complain(c, from, errTooFast)
		return
	}
	if err := c.dispatch(from, frame); err != nil {
		c.members.complain(c, from, err)
	}
}

func (c *Core) dispatch(from p2p.PeerID, frame []byte) error {
	switch frame[0] {
	case kindSwim:
		c.swimReceive(from, frame[1:])
	case kindStatusAsk:
		c.sendStatus(from)
	case kindStatus:
		s, err := state.DecodeStatus(frame[1:])
		if err != nil {
			return err
		}
		c.receiveStatus(from, s)
	case kindPut:
		return take(frame, func(body putBody) error { c.receivePut(from, body); return nil })
	case kindDigest:
		return take(frame, func(body digestBody) error { c.receiveDigest(from, body); return nil })
	case kindPull:
		return take(frame, func(body pullBody) error { return c.receivePull(from, body) })
	case kindChunk:
		return take(frame, func(body chunkBody) error { return c.receiveChunk(from, body) })
	case kindFloor:
		return take(frame, func(body floorBody) error { return c.receiveFloor(from, body) })
	case kindCheck:
		return take(frame, func(body checkBody) error { c.receiveCheck(from, body); return nil })
	case kindGone:
		return take(frame, func(body goneBody) error { return c.receiveGone(from, body) })
	case kindHave:
		return take(frame, func(body haveBody) error { c.receiveHave(from, body); return nil })
	case kindFetch:
		return take(frame, func(body fetchBody) error { c.receiveFetch(from, body); return nil })
	case kindTree:
		return take(frame, func(body treeBody) error { c.receiveTree(from, body); return nil })
	case kindLeaves:
		return take(frame, func(body leavesBody) error { c.receiveLeaves(from, body); return nil })
	case kindRepair:
		return take(frame, func(body repairBody) error { c.receiveRepair(from, body); return nil })
	default:
		return fmt.Errorf("message kind %d is not known to this version", frame[0])
	}
	return nil
}

// take decodes a body and hands it on.
func take[T any](frame []byte, receive func(body T) error) error {
	var body T
	if err := decodeMessage(frame, &body); err != nil {
		return err
	}
	return receive(body)
}

// IsLiveness reports whether a frame carries nothing to store: a node whose disk
// fails goes on taking such frames.
func IsLiveness(frame []byte) bool {
	return len(frame) > 0 && (frame[0] == kindSwim || frame[0] == kindStatus || frame[0] == kindStatusAsk)
}

// IsGossip reports whether others may have passed a frame on.
func IsGossip(frame []byte) bool {
	return len(frame) > 0 && (frame[0] == kindPut || frame[0] == kindHave)
}

// IsChunk reports whether a frame is a part of an answer to a pull, for checkers.
func IsChunk(frame []byte) bool { return len(frame) > 0 && frame[0] == kindChunk }

// RecordsIn lists the records that a frame carries, for checkers.
func RecordsIn(frame []byte) map[state.Key][]byte {
	var records []packedRecord
	switch {
	case len(frame) == 0:
	case frame[0] == kindPut:
		var body putBody
		if decodeMessage(frame, &body) == nil {
			records = body.Records
		}
	case frame[0] == kindChunk:
		var body chunkBody
		if decodeMessage(frame, &body) == nil {
			records = body.Records
		}
	case frame[0] == kindRepair:
		var body repairBody
		if decodeMessage(frame, &body) == nil {
			records = body.Records
		}
	}
	found := make(map[state.Key][]byte, len(records))
	for _, r := range records {
		found[r.Key] = r.Record
	}
	return found
}

// StatusIn is the status that a frame carries, for checkers; nil if it carries none.
func StatusIn(frame []byte) *state.NodeStatus {
	if len(frame) == 0 || frame[0] != kindStatus {
		return nil
	}
	s, err := state.DecodeStatus(frame[1:])
	if err != nil {
		return nil
	}
	return s
}

// PutFrame is a put of records, for checkers that forge one.
func PutFrame(records map[state.Key][]byte) []byte {
	var body putBody
	for _, key := range sortedKeys(records) {
		body.Records = append(body.Records, packedRecord{Key: key, Record: records[key]})
	}
	return encodeMessage(kindPut, body)
}

func (c *Core) send(to p2p.PeerID, kind byte, body any) {
	c.out.Send = append(c.out.Send, Envelope{To: to, Frame: encodeMessage(kind, body)})
}
