package badger

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Badger maps its tables, so what was read of them counts as memory of the
// process: after a boot or some compactions that is the whole database, of which
// nothing is read again for long. So these pages are given back.

// letGoEvery is how often that is done, if the store was used meanwhile.
const letGoEvery = 10 * time.Second

// letGo gives back the pages of the store's mapped files. Pages that were not
// written out yet stay.
//
// A file may be unmapped between the look at the maps and the call, and something
// else mapped in its place: MADV_PAGEOUT loses nothing then either, as
// MADV_DONTNEED would.
//
// It says how much was mapped; nothing depends on it.
func (s *Store) letGo() (mapped uint64) {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return 0
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return 0
	}
	maps, err := os.ReadFile("/proc/self/maps") // proc(5)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(maps) {
		if !bytes.Contains(line, []byte(" "+dir+"/")) {
			continue
		}
		span, _, _ := bytes.Cut(line, []byte(" "))
		from, to, _ := bytes.Cut(span, []byte("-"))
		begin, err1 := strconv.ParseUint(string(from), 16, 64)
		end, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil {
			pageOut(uintptr(begin), uintptr(end-begin))
			mapped += end - begin
		}
	}
	return mapped
}

// pageOut asks the kernel to reclaim a range; it may know better.
func pageOut(begin, length uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, length, unix.MADV_PAGEOUT)
}
