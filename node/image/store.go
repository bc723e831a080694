// Package image brings images from node to node, so that a pod whose image is
// missing here needs no registry if a live node has it.
//
// An image is one archive, saved by the runtime of the node that has it and
// written to a file here until it is whole. Whoever goes on after a broken stream
// says how much it has and the hash of that; the sender makes its archive again,
// compares, and goes on behind it, or begins anew if its bytes are others. So a
// transfer may change its source halfway, and nothing rests on the promise that
// two nodes make equal archives. In the end the hash of the whole and the ID of
// what was loaded are compared, too.
package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holon/p2p"
	"holon/runtime"
)

// Bounds.
const (
	fetchesMax = 2   // images fetched at once
	servedMax  = 4   // archives sent at once: each makes the runtime save an image
	answersMax = 16  // questions of other nodes answered at once
	asksMax    = 16  // nodes asked at once
	ordersMax  = 16  // requests of other nodes to get an image, at once
	loadsMax   = 2   // archives of users at once
	knownMax   = 256 // transfers that are remembered

	askTimeout   = 3 * time.Second
	stallTimeout = 30 * time.Second // a source that sends nothing for so long is left
	waitEvery    = 5 * time.Second  // a sender with nothing to send yet says so
	failedFor    = 5 * time.Second  // how long a failure answers those who ask again
	triesMax     = 6                // streams in a row that bring nothing

	// archiveBytesMax bounds an archive, whatever its sender says.
	archiveBytesMax = 64 << 30
	// Reserve stays free on the disk of the data directory when an image is fetched
	// because a pod needs it; KeepReserve when it is only kept for others.
	Reserve     = 1 << 30
	KeepReserve = 4 << 30
	// spaceEvery is how many bytes are written between two looks at the free space.
	spaceEvery = 16 << 20

	// partialKeep is how long a part of an archive lies here before it is taken for
	// forgotten.
	partialKeep = time.Hour
)

// Peer is another node that can be asked.
type Peer struct {
	Name string
	ID   p2p.PeerID
	Arch string
}

// Config is what a Store is made of. All fields are required unless said.
type Config struct {
	Images runtime.Images
	Dir    string // for archives on their way; made when needed
	Self   string // this node's name
	Arch   string // of its processors: only peers of the same are asked for an image
	Peers  func() []Peer
	Open   func(context.Context, p2p.PeerID, string) (p2p.Stream, error)
	Log    *slog.Logger
	// Free tells how many bytes are free where Dir is; nil: the file system says.
	Free func(dir string) (uint64, error)
}

// Store fetches images for one node and serves those that it has.
type Store struct {
	cfg   Config
	life  context.Context
	group sync.WaitGroup

	fetches, keeps, served, answers, orders, loads chan struct{} // permits

	mu        sync.Mutex
	transfers map[string]*Transfer // by name
	files     map[string]bool      // IDs whose file somebody writes
	touched   map[string]time.Time // partial files, by name
}

// Start makes a Store that works until life ends.
func Start(life context.Context, cfg Config) *Store {
	if cfg.Free == nil {
		cfg.Free = FreeBytes
	}
	return &Store{
		cfg: cfg, life: life,
		fetches: make(chan struct{}, fetchesMax), keeps: make(chan struct{}, 1), served: make(chan struct{}, servedMax),
		answers: make(chan struct{}, answersMax), orders: make(chan struct{}, ordersMax), loads: make(chan struct{}, loadsMax),
		transfers: map[string]*Transfer{}, files: map[string]bool{}, touched: map[string]time.Time{},
	}
}

// Wait waits for what goes on; call it when life has ended.
func (s *Store) Wait() {
	// A Bring that has not seen the end of life holds s.mu until its transfer counts.
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // empty on purpose
	s.group.Wait()
}

// take waits for a permit; give it back by calling the result.
func take(ctx context.Context, permits chan struct{}) (release func(), err error) {
	select {
	case permits <- struct{}{}:
		return func() { <-permits }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tryTake is take for whoever does not wait.
func tryTake(permits chan struct{}) (release func(), ok bool) {
	select {
	case permits <- struct{}{}:
		return func() { <-permits }, true
	default:
		return nil, false
	}
}

// SpaceError says that an archive would leave the disk too little.
type SpaceError struct {
	Image               string
	Need, Free, Reserve uint64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%s takes %s while it is fetched and unpacked, %s are free, and %s of them stay free",
		e.Image, Bytes(int64(e.Need)), Bytes(int64(e.Free)), Bytes(int64(e.Reserve)))
}

// room refuses need bytes more if they would eat into the reserve.
func (s *Store) room(what string, need, reserve uint64) error {
	free, err := s.cfg.Free(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("how much of the disk is free is unknown: %w", err)
	}
	if free < need+reserve {
		return &SpaceError{Image: what, Need: need, Free: free, Reserve: reserve}
	}
	return nil
}

// FreeBytes tells how many bytes an ordinary user may still write where a directory is.
func FreeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// partialSuffix ends the names of files that are not whole yet.
const partialSuffix = ".partial"

func (s *Store) partialPath(id string) string { return filepath.Join(s.cfg.Dir, id+partialSuffix) }

// Sweep removes parts of archives that nobody went on with for partialKeep. A part
// that a former daemon left gets that time anew.
func (s *Store) Sweep() {
	files, err := os.ReadDir(s.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("archives of images cannot be looked through", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.touched, func(id string, _ time.Time) bool {
		return !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == id+partialSuffix })
	})
	for _, f := range files {
		id, partial := strings.CutSuffix(f.Name(), partialSuffix)
		if !partial || s.files[id] {
			continue
		}
		if at, seen := s.touched[id]; !seen {
			s.touched[id] = time.Now()
		} else if time.Since(at) > partialKeep {
			delete(s.touched, id)
			if err := os.Remove(filepath.Join(s.cfg.Dir, f.Name())); err != nil {
				s.cfg.Log.Warn("a forgotten part of an image could not be removed", "file", f.Name(), "error", err)
			}
		}
	}
}

// Bytes spells a size for people, in powers of ten as Podman does.
func Bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%d MB", n/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1e3)
}
