package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/ristretto/v2/z"
)

// The format of Badger v4's logs, write-ahead (.mem) and value log (.vlog)
// alike, from its memtable.go and structs.go: key ID (8 bytes, 0 = not
// encrypted), IV (12); then entries of meta (1), user meta (1), key length,
// value length, expiry (uvarints), key, value, CRC-32C over all that,
// big-endian. In a .mem file each transaction ends with an entry whose meta has
// bitFin, whose key is finKey and 8 bytes, and whose value is the commit
// timestamp in decimal. Past the last entry there are zeros.
const (
	logHeader = 20
	bitFin    = 1 << 7
	bitTxn    = 1 << 6
	maxLogKey = 1 << 16
)

var finKey = []byte("!badger!txn")

// logScan is how far a log reads well.
type logScan struct {
	end    int    // just after the last complete transaction
	lastTS uint64 // of that transaction; 0 if there is none
	rest   int    // bytes after end, without the zeros at the end of the file
	fins   []uint64
}

// scanLog reads a log as Badger will, and then looks at what Badger would drop.
// fins are the timestamps of whole end marks after the first bad byte.
func scanLog(file string) (s logScan, err error) {
	// Mapped, because the newest logs are sparse and far larger than their content.
	m, err := z.OpenMmapFile(file, os.O_RDONLY, 0)
	if err != nil {
		return s, damaged(file, err)
	}
	err = guarded(func() (err error) {
		s, err = scan(file, m.Data)
		return err
	})
	if err = errors.Join(err, m.Close(-1)); err != nil {
		return s, damaged(file, err)
	}
	return s, nil
}

// eachEntry calls f for every sound entry up to the first bad one.
func eachEntry(file string, f func(logEntry)) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return classify(file, err)
	}
	for at := min(logHeader, len(data)); ; {
		e, ok := parseEntry(data[at:])
		if !ok {
			return nil
		}
		f(e)
		at += e.size
	}
}

func scan(file string, data []byte) (logScan, error) {
	if len(data) < logHeader {
		return logScan{}, &CorruptFileError{file, fmt.Errorf("%d bytes, shorter than its header", len(data))}
	}
	if id := binary.BigEndian.Uint64(data); id != 0 {
		return logScan{}, &CorruptFileError{file, fmt.Errorf("asks for encryption key %d; this store has none", id)}
	}
	s := logScan{end: logHeader}
	at := logHeader
	var open uint64 // commit timestamp of the transaction being read, 0 = none
	for {
		e, ok := parseEntry(data[at:])
		if !ok {
			break
		}
		if e.meta&bitFin != 0 {
			ts, err := strconv.ParseUint(string(e.value), 10, 64)
			if err != nil || ts != open {
				break
			}
			s.lastTS, open = ts, 0
		} else if e.meta&bitTxn != 0 {
			ts := e.timestamp()
			if open != 0 && ts != open {
				break
			}
			open = ts
		} else if open != 0 {
			break
		}
		at += e.size
		if open == 0 {
			s.end = at
		}
	}
	tail := bytes.TrimRight(data[s.end:], "\x00")
	s.rest = len(tail)
	s.fins = endMarks(data[at:])
	return s, nil
}

type logEntry struct {
	meta       byte
	key, value []byte
	size       int
}

// timestamp is the version at the end of the key, stored inverted.
func (e logEntry) timestamp() uint64 {
	if len(e.key) < 8 {
		return 0
	}
	return math.MaxUint64 - binary.BigEndian.Uint64(e.key[len(e.key)-8:])
}

func parseEntry(b []byte) (logEntry, bool) {
	if len(b) < 2 {
		return logEntry{}, false
	}
	e, at := logEntry{meta: b[0]}, 2
	var lengths [3]uint64 // key, value, expiry
	for i := range lengths {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return logEntry{}, false
		}
		lengths[i] = v
		at += n
	}
	klen, vlen := lengths[0], lengths[1]
	if klen == 0 || klen > maxLogKey || vlen > math.MaxUint32 || uint64(len(b)-at) < klen+vlen+crc32.Size {
		return logEntry{}, false
	}
	body := at + int(klen+vlen)
	e.key, e.value, e.size = b[at:at+int(klen)], b[at+int(klen):body], body+crc32.Size
	return e, crc32.Checksum(b[:body], castagnoli) == binary.BigEndian.Uint32(b[body:])
}

// endMarks finds whole end marks of transactions anywhere in b.
func endMarks(b []byte) (found []uint64) {
	const before = 5 // meta, user meta, and three lengths below 128
	for at := 0; ; {
		i := bytes.Index(b[at:], finKey)
		if i < 0 {
			return found
		}
		at += i + len(finKey)
		start := at - len(finKey) - before
		if start < 0 {
			continue
		}
		if e, ok := parseEntry(b[start:]); ok && e.meta&bitFin != 0 {
			if ts, err := strconv.ParseUint(string(e.value), 10, 64); err == nil {
				found = append(found, ts)
			}
		}
	}
}

var errLostTail = errors.New("what follows was acknowledged and would be lost")

// inspectLogs refuses write-ahead logs in which something comes after a bad
// byte that had been synced. Each batch is synced before the next is written,
// so only the last transaction of the newest log can be incomplete by a crash.
// Damage inside exactly that one looks like a crash: it is dropped and logged.
// Values in the value log are checked one by one when they are loaded.
func inspectLogs(dir string, log *slog.Logger) error {
	mems, err := logFiles(dir, memName)
	if err != nil {
		return err
	}
	newer := false // a later log holds a transaction
	for i := len(mems) - 1; i >= 0; i-- {
		file := filepath.Join(dir, fmt.Sprintf(memName, mems[i]))
		s, err := scanLog(file)
		if err != nil {
			return err
		}
		if s.rest > 0 {
			if newer || !s.tornOnly() {
				return &CorruptFileError{file, fmt.Errorf("bad entry after byte %d, %w", s.end, errLostTail)}
			}
			log.Warn("the last write was cut short by a crash, or damaged since, and is dropped", "file", file, "bytes", s.rest)
		}
		newer = newer || s.lastTS != 0
	}
	vlogs, err := logFiles(dir, vlogName)
	if err != nil {
		return err
	}
	for i, id := range vlogs {
		file := filepath.Join(dir, fmt.Sprintf(vlogName, id))
		s, err := scanLog(file)
		if err != nil {
			return err
		}
		if s.rest > 0 {
			log.Warn("bad entry in the value log; records whose values are lost are reported when loaded",
				"file", file, "at", s.end, "newest", i == len(vlogs)-1)
		}
	}
	return nil
}

// tornOnly says whether a single crash explains the tail: at most the end mark
// of the one transaction that was being written.
func (s logScan) tornOnly() bool {
	switch len(s.fins) {
	case 0:
		return true
	case 1:
		return s.lastTS == 0 || s.fins[0] == s.lastTS+1
	}
	return false
}
