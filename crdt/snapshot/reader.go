package snapshot

import (
	"bufio"
	"bytes"
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

// Reader reads one snapshot. What Next returns may be believed only after it has
// returned io.EOF: the checksum comes last. Whoever changes something by a file
// reads it to its end first.
type Reader struct {
	in     *bufio.Reader
	sum    hash.Hash
	zip    *zstd.Decoder
	header Header
	body   bytes.Buffer // payload of the section that was read last
	chunk  []byte       // room for a chunk
	left   []byte       // of it, not returned yet
	last   string
	totals Totals
	err    error // of an earlier call
}

// NewReader reads the header. Errors: ErrForeign, ErrNewer, ErrDamaged, or what in
// says.
func NewReader(in io.Reader) (*Reader, error) {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(chunkBytesMax), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	r := &Reader{in: bufio.NewReaderSize(in, 64<<10), sum: sha256.New(), zip: zip}
	head := make([]byte, len(magic)+1)
	if n, err := io.ReadFull(r.in, head); err != nil && !bytes.HasPrefix([]byte(magic), head[:min(n, len(magic))]) {
		return nil, ErrForeign
	} else if err != nil {
		return nil, cut(err)
	}
	if string(head[:len(magic)]) != magic {
		return nil, ErrForeign
	}
	if v := head[len(magic)]; v != version {
		return nil, fmt.Errorf("%w: it has format %d, this version knows %d", ErrNewer, v, version)
	}
	r.sum.Write(head)
	kind, err := r.section()
	if err != nil {
		return nil, err
	}
	if kind != sectionHeader {
		return nil, damaged("it begins with a section %q", kind)
	}
	if err := cbor.Unmarshal(r.body.Bytes(), &r.header); err != nil {
		return nil, damaged("its header: %v", err)
	}
	return r, nil
}

// cut names the case that the file ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends too early")
	}
	return err
}

// Header is what the file says about itself.
func (r *Reader) Header() Header { return r.header }

// Totals count what was read so far.
func (r *Reader) Totals() Totals { return r.totals }

// Sum is the checksum of the whole file, once Next has returned io.EOF.
func (r *Reader) Sum() [32]byte { return [sumBytes]byte(r.sum.Sum(nil)) }

// Next returns the next record, which is valid until the next call. io.EOF says
// that all were read and the file is whole.
func (r *Reader) Next() (key string, record []byte, err error) {
	if r.err != nil {
		return "", nil, r.err
	}
	key, record, r.err = r.next()
	if r.err != nil {
		r.zip.Close()
	}
	return key, record, r.err
}

func (r *Reader) next() (key string, record []byte, err error) {
	for {
		for len(r.left) > 0 {
			key, record, ok, err := r.entry()
			if err != nil {
				return "", nil, err
			}
			if !ok {
				continue
			}
			r.last = key
			r.totals.Records++
			r.totals.Bytes += uint64(len(key) + len(record))
			return key, record, nil
		}
		kind, err := r.section()
		if err != nil {
			return "", nil, err
		}
		switch kind {
		case sectionChunk:
			if err := r.unpack(); err != nil {
				return "", nil, err
			}
		case sectionTrailer:
			return "", nil, r.finish()
		default:
			return "", nil, damaged("a second header")
		}
	}
}

// section reads the next section that this version knows into body.
func (r *Reader) section() (kind byte, err error) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(r.in, head[:]); err != nil {
			return 0, cut(err)
		}
		kind := head[0]
		if err := r.payload(head[:], sizeMax(kind)); err != nil {
			return 0, err
		}
		switch {
		case kind == sectionHeader || kind == sectionChunk || kind == sectionTrailer:
			return kind, nil
		case kind >= 'a' && kind <= 'z': // what a later version added and this one may skip
		default:
			return 0, fmt.Errorf("%w: it has a section %q", ErrNewer, kind)
		}
	}
}

// sizeMax bounds a payload. Compression may make a chunk larger, by less than a
// chunk's usual size.
func sizeMax(kind byte) uint32 {
	switch kind {
	case sectionChunk:
		return chunkBytesMax + chunkBytes
	case sectionTrailer:
		return trailerMax
	}
	return HeaderBytesMax
}

// payload reads what follows a section's head, as it comes: memory grows with what
// is there and not with what the head claims.
func (r *Reader) payload(head []byte, most uint32) error {
	size := binary.BigEndian.Uint32(head[1:])
	if size > most {
		return damaged("a section %q of %d bytes, at most %d", head[0], size, most)
	}
	r.body.Reset()
	if _, err := io.CopyN(&r.body, r.in, int64(size)); err != nil {
		return cut(err)
	}
	var check [4]byte
	if _, err := io.ReadFull(r.in, check[:]); err != nil {
		return cut(err)
	}
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, r.body.Bytes())
	if crc != binary.BigEndian.Uint32(check[:]) {
		return damaged("the checksum of section %d does not match", r.totals.Chunks+1)
	}
	r.sum.Write(head)
	r.sum.Write(r.body.Bytes())
	r.sum.Write(check[:])
	return nil
}

func (r *Reader) unpack() error {
	var err error
	r.chunk, err = r.zip.DecodeAll(r.body.Bytes(), r.chunk[:0])
	if err != nil {
		return damaged("chunk %d: %v", r.totals.Chunks+1, err)
	}
	r.totals.Chunks++
	r.left = r.chunk
	return nil
}

// entry takes one field off the chunk; ok is false if it is one to skip.
func (r *Reader) entry() (key string, record []byte, ok bool, err error) {
	number, kind, n := protowire.ConsumeField(r.left)
	if n < 0 {
		return "", nil, false, damaged("an entry after %.100q: %v", r.last, protowire.ParseError(n))
	}
	field := r.left[:n]
	r.left = r.left[n:]
	if number != fieldEntry || kind != protowire.BytesType {
		return "", nil, false, nil
	}
	_, _, tag := protowire.ConsumeTag(field)
	body, _ := protowire.ConsumeBytes(field[tag:])
	key, record, err = parseEntry(body)
	switch {
	case err != nil:
		return "", nil, false, err
	case key == "" || len(key) > KeyBytesMax || key <= r.last:
		return "", nil, false, damaged("key %.100q after %.100q", key, r.last)
	case record == nil || len(record) > RecordBytesMax:
		return "", nil, false, damaged("record %.100q has %d bytes", key, len(record))
	}
	return key, record, true, nil
}

func parseEntry(body []byte) (key string, record []byte, err error) {
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeField(body)
		if n < 0 {
			return "", nil, damaged("an entry: %v", protowire.ParseError(n))
		}
		if kind == protowire.BytesType && (number == fieldKey || number == fieldRecord) {
			_, _, tag := protowire.ConsumeTag(body)
			value, _ := protowire.ConsumeBytes(body[tag:n])
			if number == fieldKey {
				key = string(value)
			} else {
				record = value
			}
		}
		body = body[n:]
	}
	return key, record, nil
}

// finish checks totals and checksum and that nothing follows.
func (r *Reader) finish() error {
	var said Totals
	if err := cbor.Unmarshal(r.body.Bytes(), &said); err != nil {
		return damaged("its trailer: %v", err)
	}
	if said != r.totals {
		return damaged("it holds %d records in %d chunks, and should hold %d in %d", r.totals.Records, r.totals.Chunks, said.Records, said.Chunks)
	}
	var sum [sumBytes]byte
	if _, err := io.ReadFull(r.in, sum[:]); err != nil {
		return cut(err)
	}
	if !bytes.Equal(sum[:], r.sum.Sum(nil)) {
		return damaged("its checksum does not match")
	}
	if _, err := r.in.ReadByte(); err == nil {
		return damaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return io.EOF
}
