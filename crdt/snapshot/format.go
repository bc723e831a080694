// Package snapshot is the format of a file that holds the state of a cluster: a
// header, records under their keys in ascending order, totals and a checksum. It
// encodes and decodes streams in bounded memory and knows nothing of what records
// mean, so records of kinds that it has never heard of pass through intact.
//
//	file    = magic, 8 bytes   version, 1 byte   section*   sum, 32 bytes
//	section = type, 1 byte     length, 4 bytes   payload    CRC-32C, 4 bytes
//
// Numbers are big endian. The CRC is over type, length and payload; the sum is the
// SHA-256 of everything before it, and the file ends with it. The sections are one
// header ('H', CBOR), chunks ('C', zstd over protobuf wire format) and one trailer
// ('T', CBOR), in this order.
//
//	chunk   = 1: entry*
//	entry   = 1: key   2: record
//
// What later versions may add without a new version number: fields of header,
// trailer, chunk and entry, and sections whose type is a lower-case letter; this
// version skips them. A section of any other type, or another version number,
// says that a reader must understand it, and is refused with ErrNewer.
package snapshot

import (
	"errors"
	"fmt"
	"hash/crc32"

	"holon/crdt"
)

// magic begins with a byte that no text has and holds both line ends, so that a
// transfer that rewrites text is noticed at once (as in PNG, RFC 2083).
const magic = "\x8bholon\r\n"

const version = 1

const (
	sectionHeader  = 'H'
	sectionChunk   = 'C'
	sectionTrailer = 'T'
)

// Bounds, in bytes. Those of a reader are what it holds in memory at most.
const (
	KeyBytesMax    = 4 << 10
	RecordBytesMax = crdt.DecodeBytesMax
	HeaderBytesMax = 64 << 20 // a context has at most 20 KiB for each replica there ever was

	chunkBytes    = 256 << 10                                 // a chunk is closed when it has that many
	chunkBytesMax = RecordBytesMax + KeyBytesMax + chunkBytes // one record is never split
	trailerMax    = 64 << 10
	sumBytes      = 32
)

// Why a file is refused. Nothing that was read before may be used.
var (
	ErrForeign = errors.New("this is not a snapshot of holon; give the file that `holon snapshot save` wrote")
	ErrNewer   = errors.New("the snapshot was written by a newer version of holon; read it with that version")
	ErrDamaged = errors.New("the snapshot is damaged; take another copy of the file, or another snapshot")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Header says where the records come from. All of it is for people and checks:
// restoring needs none of it.
type Header struct {
	Cluster string         `cbor:"1,keyasint"` // 32 hex digits
	Node    string         `cbor:"2,keyasint"` // whose view it is
	Replica crdt.ReplicaID `cbor:"3,keyasint"` // whose database
	Context []byte         `cbor:"4,keyasint"` // crdt.Context.Encode: the writes that are in it
	Floor   []byte         `cbor:"5,keyasint,omitempty"`
	// Keys are what opens sealed values, wrapped; opaque here.
	Keys    []byte `cbor:"6,keyasint,omitempty"`
	Taken   string `cbor:"7,keyasint"` // RFC 3339 by that node's wall clock; for display
	Version string `cbor:"8,keyasint"` // of the holon that wrote it; for display
	// UID is that of the Snapshot which asked for the file, and Objects how many of users
	// are in it; both empty if nobody counted.
	UID     string `cbor:"9,keyasint,omitempty"`
	Objects int64  `cbor:"10,keyasint,omitempty"`
}

// Totals count what a snapshot holds. Bytes are those of keys and records, not
// compressed.
type Totals struct {
	Records uint64 `cbor:"1,keyasint"`
	Bytes   uint64 `cbor:"2,keyasint"`
	Chunks  uint64 `cbor:"3,keyasint"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
