package p2p

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The byte streams of several protocols are cut into parts: a type byte, a length
// (4 bytes, big endian) and that many bytes.
const partHead = 5

// WritePart writes a part in one call of w.
func WritePart(w io.Writer, kind byte, payload []byte) error {
	part := append(make([]byte, 0, partHead+len(payload)), kind)
	part = binary.BigEndian.AppendUint32(part, uint32(len(payload)))
	_, err := w.Write(append(part, payload...))
	return err
}

// ReadPart reads a part of at most limit bytes, into room if it is large enough.
func ReadPart(r io.Reader, limit int, room []byte) (kind byte, payload []byte, err error) {
	var head [partHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if uint64(n) > uint64(limit) {
		return 0, nil, fmt.Errorf("a frame of %d bytes, at most %d", n, limit)
	}
	if int(n) > len(room) {
		room = make([]byte, n)
	}
	_, err = io.ReadFull(r, room[:n])
	return head[0], room[:n], err
}
