package libp2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"holon/p2p"
)

// A frame stream carries messages: uvarint length of what follows, one byte of
// kind, body.
const (
	kindFrame   = 0 // body is the frame
	kindZstd    = 1 // body is the frame, compressed
	kindRecords = 2 // body is address records; the first message of every stream

	compressFrom    = 1 << 10 // bytes; shorter frames are sent as they are
	messageBytesMax = 1 + p2p.FrameBytesMax
)

var errMessage = errors.New("malformed message on a frame stream")

// codec compresses and expands frames. It is shared by all peers of a mesh and
// safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err1 := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	dec, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(p2p.FrameBytesMax))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

func (c *codec) close() error {
	c.dec.Close()
	return c.enc.Close()
}

// writeFrame compresses where that is shorter.
func (c *codec) writeFrame(w io.Writer, frame []byte) error {
	if len(frame) >= compressFrom {
		if short := c.enc.EncodeAll(frame, nil); len(short) < len(frame) {
			return writeMessage(w, kindZstd, short)
		}
	}
	return writeMessage(w, kindFrame, frame)
}

func writeMessage(w io.Writer, kind byte, body []byte) error {
	head := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen32+1), uint64(1+len(body)))
	if _, err := w.Write(append(head, kind)); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// readMessage reads one message into memory of its own. A frame is expanded, to
// p2p.FrameBytesMax at most.
func (c *codec) readMessage(r *bufio.Reader) (kind byte, body []byte, err error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	if n < 1 || n > messageBytesMax {
		return 0, nil, fmt.Errorf("%w: length %d", errMessage, n)
	}
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	body = make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	if kind == kindZstd {
		if body, err = c.expand(body); err != nil {
			return 0, nil, fmt.Errorf("%w: %w", errMessage, err)
		}
		kind = kindFrame
	}
	return kind, body, nil
}

func (c *codec) expand(b []byte) ([]byte, error) {
	out, err := c.dec.DecodeAll(b, nil)
	if err == nil && len(out) > p2p.FrameBytesMax {
		err = zstd.ErrDecoderSizeExceeded
	}
	return out, err
}
