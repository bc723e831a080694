package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// room refuses if extra more bytes would eat into the reserve.
func (s *Store) room(extra int64) error { return s.roomFor(s.opts.Reserve + extra) }

// roomFor refuses unless need bytes can be written.
func (s *Store) roomFor(need int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return fmt.Errorf("statfs %s: %w", s.dir, err)
	}
	if fs.Flags&unix.ST_RDONLY != 0 {
		return classify(s.dir, unix.EROFS)
	}
	if fs.Blocks == 0 {
		return nil // a file system that does not count its blocks
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return &DiskFullError{s.dir, free, need}
	}
	return nil
}

// logNames follows the log files that Badger makes, so that each one's name is
// on disk before anything in it is acknowledged.
type logNames struct {
	dir  string
	next map[string]uint64 // format of the name -> number of the next file
}

const (
	memName  = "%05d.mem"
	vlogName = "%06d.vlog"
)

func newLogNames(dir string) (logNames, error) {
	n := logNames{dir, map[string]uint64{}}
	for _, format := range []string{memName, vlogName} {
		files, err := logFiles(dir, format)
		if err != nil {
			return n, err
		}
		n.next[format] = 1
		if len(files) == 0 {
			continue
		}
		newest := files[len(files)-1]
		n.next[format] = newest + 1
		// Its header: commits of small values do not sync a value log.
		if err := syncPath(filepath.Join(dir, fmt.Sprintf(format, newest))); err != nil {
			return n, err
		}
	}
	return n, syncPath(dir)
}

// sync makes the names of files durable that appeared since the last call.
func (n logNames) sync() error {
	grown := false
	for format, next := range n.next {
		for {
			_, err := os.Lstat(filepath.Join(n.dir, fmt.Sprintf(format, next)))
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			if err != nil {
				return err
			}
			grown = true
			next++
		}
		n.next[format] = next
	}
	if !grown {
		return nil
	}
	return syncPath(n.dir)
}

// syncPath syncs a file, or the names in a directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// logFiles lists the numbers of the files named by the format, ascending.
func logFiles(dir, format string) ([]uint64, error) {
	entries, err := os.ReadDir(dir) // sorted by name, and the names are padded
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), filepath.Ext(format))
		if !ok {
			continue
		}
		id, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			return nil, &CorruptFileError{filepath.Join(dir, e.Name()), errors.New("not a name that Badger gives")}
		}
		ids = append(ids, id)
	}
	return ids, nil
}
