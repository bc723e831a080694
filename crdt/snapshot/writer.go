package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Writer writes one snapshot. After an error it must not be used any more.
type Writer struct {
	out    io.Writer
	sum    hash.Hash
	zip    *zstd.Encoder
	chunk  []byte
	packed []byte // room for the compressed chunk
	last   string
	totals Totals
}

// NewWriter writes the header. It buffers nothing but one chunk, so out should
// take large writes well.
func NewWriter(out io.Writer, h Header) (*Writer, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	w := &Writer{out: out, sum: sha256.New(), zip: zip}
	if err := w.write([]byte(magic), []byte{version}); err != nil {
		return nil, err
	}
	text, err := cbor.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > HeaderBytesMax {
		return nil, fmt.Errorf("snapshot: a header of %d bytes, at most %d", len(text), HeaderBytesMax)
	}
	return w, w.section(sectionHeader, text)
}

// Add writes one record, which it copies. Keys must ascend.
func (w *Writer) Add(key string, record []byte) error {
	switch {
	case key == "" || len(key) > KeyBytesMax:
		return fmt.Errorf("snapshot: a key of %d bytes; 1 to %d are allowed", len(key), KeyBytesMax)
	case key <= w.last:
		return fmt.Errorf("snapshot: key %.100q after %.100q; keys must ascend", key, w.last)
	case len(record) > RecordBytesMax:
		return fmt.Errorf("snapshot: record %.100q has %d bytes, at most %d", key, len(record), RecordBytesMax)
	}
	w.last = key
	w.chunk = appendEntry(w.chunk, key, record)
	w.totals.Records++
	w.totals.Bytes += uint64(len(key) + len(record))
	if len(w.chunk) < chunkBytes {
		return nil
	}
	return w.flush()
}

// The fields of a chunk and of an entry.
const (
	fieldEntry  = 1
	fieldKey    = 1
	fieldRecord = 2
)

func appendEntry(out []byte, key string, record []byte) []byte {
	size := protowire.SizeTag(fieldKey) + protowire.SizeBytes(len(key)) +
		protowire.SizeTag(fieldRecord) + protowire.SizeBytes(len(record))
	out = protowire.AppendVarint(protowire.AppendTag(out, fieldEntry, protowire.BytesType), uint64(size))
	out = protowire.AppendString(protowire.AppendTag(out, fieldKey, protowire.BytesType), key)
	return protowire.AppendBytes(protowire.AppendTag(out, fieldRecord, protowire.BytesType), record)
}

func (w *Writer) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	w.packed = w.zip.EncodeAll(w.chunk, w.packed[:0])
	w.chunk = w.chunk[:0]
	w.totals.Chunks++
	return w.section(sectionChunk, w.packed)
}

// Close ends the snapshot. It does not close what it writes to.
func (w *Writer) Close() (Totals, error) {
	if err := w.flush(); err != nil {
		return w.totals, err
	}
	text, err := cbor.Marshal(w.totals)
	if err != nil {
		return w.totals, err
	}
	if err := w.section(sectionTrailer, text); err != nil {
		return w.totals, err
	}
	_, err = w.out.Write(w.sum.Sum(nil))
	return w.totals, errors.Join(err, w.zip.Close())
}

func (w *Writer) section(kind byte, payload []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
	return w.write(head, payload, binary.BigEndian.AppendUint32(nil, crc))
}

func (w *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		w.sum.Write(p)
		if _, err := w.out.Write(p); err != nil {
			return err
		}
	}
	return nil
}
