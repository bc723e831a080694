package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A stored value is: format (1 byte), CRC-32C big-endian (4), payload. The
// checksum is over format, key and payload: a value under a wrong key is
// damage too.
const (
	format1  = 1
	overhead = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(format byte, key string, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte{format})
	sum = crc32.Update(sum, castagnoli, []byte(key))
	return crc32.Update(sum, castagnoli, payload)
}

func seal(key string, payload []byte) []byte {
	sealed := make([]byte, overhead, overhead+len(payload))
	sealed[0] = format1
	binary.BigEndian.PutUint32(sealed[1:], checksum(format1, key, payload))
	return append(sealed, payload...)
}

var errChecksum = errors.New("checksum mismatch")

// unseal returns the payload, which shares memory with sealed.
func unseal(key string, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead {
		return nil, fmt.Errorf("%d bytes where at least %d were written", len(sealed), overhead)
	}
	format, payload := sealed[0], sealed[overhead:]
	if binary.BigEndian.Uint32(sealed[1:]) != checksum(format, key, payload) {
		return nil, errChecksum
	}
	if format != format1 {
		return nil, fmt.Errorf("%w: format %d", ErrNewerFormat, format)
	}
	return payload, nil
}
