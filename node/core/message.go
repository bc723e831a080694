package core

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"holon/crdt/state"
	"holon/p2p"
)

// The first byte of a frame says what follows. Wire version 1.
//
//	message    from -> to          body                meaning
//	swim       any -> any          swim packet         liveness, see p2p/swim
//	put        writer -> all       putBody             records just written: a hint, also relayed by nobody
//	digest     any -> peer         digestBody          "this is what I have"; the guarantee starts here
//	pull       behind -> ahead     pullBody            "send me what my context lacks, after this key"
//	chunk      ahead -> behind     chunkBody           a bounded part of it; the last one covers a context
//	status     owner -> peer       state.NodeStatus    class B, whole
//	statusAsk  any -> owner        (empty)             "send me your status"
const (
	kindSwim byte = iota + 1
	kindPut
	kindDigest
	kindPull
	kindChunk
	kindStatus
	kindStatusAsk
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
	Context [32]byte `cbor:"1,keyasint"`
	Epoch   uint64   `cbor:"2,keyasint"` // of the sender's newest status
	Seq     uint64   `cbor:"3,keyasint"`
	Answer  bool     `cbor:"4,keyasint,omitempty"` // do not answer an answer
}

type pullBody struct {
	ID      uint64    `cbor:"1,keyasint"`
	Context []byte    `cbor:"2,keyasint"`
	After   state.Key `cbor:"3,keyasint"`
}

type chunkBody struct {
	ID      uint64         `cbor:"1,keyasint"`
	Records []packedRecord `cbor:"2,keyasint"`
	Next    state.Key      `cbor:"3,keyasint,omitempty"` // go on after this key
	Done    bool           `cbor:"4,keyasint,omitempty"`
	Context []byte         `cbor:"5,keyasint"` // the sender's when it made this chunk
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
	if frame[0] != kindSwim {
		c.heard(from)
	}
	var err error
	switch frame[0] {
	case kindSwim:
		c.swimReceive(from, frame[1:])
	case kindPut:
		var body putBody
		if err = decodeMessage(frame, &body); err == nil {
			err = c.receivePut(from, body)
		}
	case kindDigest:
		var body digestBody
		if err = decodeMessage(frame, &body); err == nil {
			c.receiveDigest(from, body)
		}
	case kindPull:
		var body pullBody
		if err = decodeMessage(frame, &body); err == nil {
			err = c.receivePull(from, body)
		}
	case kindChunk:
		var body chunkBody
		if err = decodeMessage(frame, &body); err == nil {
			err = c.receiveChunk(from, body)
		}
	case kindStatus:
		var s *state.NodeStatus
		if s, err = state.DecodeStatus(frame[1:]); err == nil {
			c.receiveStatus(from, s)
		}
	case kindStatusAsk:
		c.sendStatus(from)
	default:
		err = fmt.Errorf("message kind %d is not known to this version", frame[0])
	}
	if err != nil {
		c.members.complain(c, from, err)
	}
}

// IsLiveness reports whether a frame carries nothing to store: a node whose disk
// fails goes on taking such frames.
func IsLiveness(frame []byte) bool {
	return len(frame) > 0 && (frame[0] == kindSwim || frame[0] == kindStatus || frame[0] == kindStatusAsk)
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
	}
	found := make(map[state.Key][]byte, len(records))
	for _, r := range records {
		found[r.Key] = r.Record
	}
	return found
}

func (c *Core) send(to p2p.PeerID, kind byte, body any) {
	c.out.Send = append(c.out.Send, Envelope{To: to, Frame: encodeMessage(kind, body)})
}
