package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"holon/crdt"
)

// MarkFile is the mark's name in a data directory.
const MarkFile = "mark"

// mark says, outside the database, how far the database had come, so that an
// older copy of it is noticed: without that it would name new writes as it named
// those that the copy does not have, and claim to have the latter (I2, I4).
//
// Its file has three lines: a head of fixed length, the mark as JSON, and the
// JSON's CRC-32C in hex. The file is replaced whole, but for the head, which
// each commit overwrites in place and which lies within one sector.
type mark struct {
	DB      string         `json:"db"`      // names the database, 32 hex digits
	Replica crdt.ReplicaID `json:"replica"` // for whoever reads the file
	Epoch   uint64         `json:"epoch"`   // of the last boot
	// Committed and Reserved bound the counter in the database's m/high pair:
	// Reserved is raised, and synced, before a batch that holds the pair, and
	// Committed after it and before anything is let out. So a crash between them
	// is not taken for a rollback.
	Committed uint64  `json:"committed"`
	Reserved  uint64  `json:"reserved"`
	Machine   Machine `json:"machine,omitempty"`
	// Inode is the file's own number where such numbers last; 0 elsewhere.
	Inode uint64 `json:"inode,omitempty"`

	// seq is the least number that the database's n/seq has; it is in the head,
	// and not synced: a power cut may leave an older one, which proves less.
	seq uint64
}

const (
	markHead   = "holon mark %d %020d"
	markFormat = 1
	markMax    = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head has the same length for every number.
func (m *mark) head() []byte {
	text := fmt.Sprintf(markHead, markFormat, m.seq)
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

func (m *mark) encode() []byte {
	body, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("node: mark does not encode: %v", err)) // numbers and strings
	}
	return fmt.Appendf(m.head(), "%s\n%08x\n", body, crc32.Checksum(body, castagnoli))
}

var errNewerMark = errors.New("written by a newer holon")

func decodeMark(text []byte) (m mark, err error) {
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) != 4 {
		return m, fmt.Errorf("%d lines, want 3", len(lines)-1)
	}
	var format, sum uint32
	if _, err := fmt.Sscanf(string(lines[0]), markHead+" %x", &format, &m.seq, &sum); err != nil {
		return m, fmt.Errorf("its head does not read: %w", err)
	}
	if format > markFormat {
		return m, errNewerMark
	}
	if !bytes.HasPrefix(text, m.head()) {
		return m, errors.New("the checksum of its head is wrong")
	}
	if string(lines[2]) != fmt.Sprintf("%08x", crc32.Checksum(lines[1], castagnoli)) {
		return m, errors.New("its checksum is wrong")
	}
	return m, json.Unmarshal(lines[1], &m)
}

// readMark reads the mark of a data directory; fs.ErrNotExist if there is none.
// inode is the number of the file that was read, as fileNumber gives it.
func readMark(dir string) (m mark, inode uint64, err error) {
	f, err := os.Open(filepath.Join(dir, MarkFile))
	if err != nil {
		return m, 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, markMax))
	if err != nil {
		return m, 0, err
	}
	if inode, err = fileNumber(f); err != nil {
		return m, 0, err
	}
	m, err = decodeMark(text)
	return m, inode, err
}

// write replaces the file and syncs it and its name. The file's own number goes
// into it.
func (m *mark) write(dir string) error {
	err := replaceFile(filepath.Join(dir, MarkFile), 0o600, func(f *os.File) (err error) {
		if m.Inode, err = fileNumber(f); err == nil {
			_, err = f.Write(m.encode())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write the mark: %w", err)
	}
	return nil
}

// sweep removes what crashes in the middle of a write have left.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "."+MarkFile+"-*"))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// note puts the head into the file as it is.
func (m *mark) note(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, MarkFile), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed it
		return m.write(dir)
	}
	if err != nil {
		return fmt.Errorf("write the mark: %w", err)
	}
	_, err = f.WriteAt(m.head(), 0)
	return errors.Join(err, f.Close())
}

// lastingNumbers are the file systems whose inode numbers survive a remount. It
// is a list of the good ones, because a false alarm at each boot would be worse
// than a copy that is noticed by other means.
var lastingNumbers = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true,
	unix.TMPFS_MAGIC: true, unix.NFS_SUPER_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true,
}

// fileNumber is a file's inode number, or 0 where it means nothing.
func fileNumber(f *os.File) (uint64, error) {
	var file unix.Stat_t
	var system unix.Statfs_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &file), unix.Fstatfs(int(f.Fd()), &system)); err != nil {
		return 0, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if !lastingNumbers[int64(system.Type)] {
		return 0, nil
	}
	return file.Ino, nil
}
