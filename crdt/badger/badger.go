// Package badger keeps a node's pairs on disk. It is the only importer of
// Badger and adds what Badger leaves to its caller.
//
// # Durability
//
// Commit writes one batch as one Badger transaction with SyncWrites on: when it
// returns nil, the batch has been msynced and survives a power cut, whole or
// not at all. New files' names are fsynced before the first batch in them is
// acknowledged, which Badger does not do for its write-ahead log.
//
// # Full disks
//
// Badger writes through memory maps of sparse files, so on a full disk it does
// not get ENOSPC but SIGBUS, which kills the process, also from its own
// goroutines that flush and compact. So a Store never lets it come to that: it
// refuses a batch with ErrDiskFull while less than Options.Reserve is free, and
// that reserve is larger than what the work in flight can still write. A
// refused batch has changed nothing, and room that comes back ends the refusal.
// What remains: somebody else who takes the whole reserve while a compaction is
// under way still kills the process. Nothing acknowledged is lost by that, and
// the next Open says ErrDiskFull.
//
// # Damage
//
// Badger drops a table whose checksum is wrong, and everything in a write-ahead
// log after the first bad byte, without an error. So Open reads every table and
// log first and refuses with a *CorruptFileError what Badger would lose. Only
// the last transaction of the newest log may be incomplete: that is what a
// power cut leaves of a batch that was never acknowledged. Each pair carries a
// CRC-32C over key and value; Load sets a damaged pair aside under
// QuarantinePrefix and says so with a *CorruptError.
package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Sizes for a small machine, in bytes; BenchmarkCommit and BenchmarkDisk
// measure them.
const (
	memTableBytes = 2 << 20
	valueLogBytes = 16 << 20
	// inlineBytes is the size from which a value lives in the value log instead
	// of being copied by every compaction.
	inlineBytes = 64 << 10
	// closeBytes is what Badger may write when it is closed: every memtable.
	closeBytes = (numMemtables + 1) * 2 * memTableBytes

	numMemtables = 2
)

// Options are a Store's choices; the zero value is the one for a node.
type Options struct {
	// Log receives Badger's words and the store's own. Nil discards them.
	Log *slog.Logger
	// Reserve is how many bytes must stay free on the disk; 0 means
	// DefaultReserve. Less than the default risks a crash on a full disk.
	Reserve int64
	// GCInterval is how often space in the value log is reclaimed, by the
	// monotonic clock; 0 means every ten minutes. A turn after which nothing was
	// committed does nothing.
	GCInterval time.Duration

	// tune changes Badger's options, for benchmarks that compare them.
	tune func(dgraph.Options) dgraph.Options
}

// DefaultReserve covers, at once, a flush of all memtables (6 MiB), two
// compactions of eight level-0 tables and a base level (2 x 24 MiB), and the
// mark and what else a node writes beside its database.
const DefaultReserve = 64 << 20

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.GCInterval == 0 {
		o.GCInterval = 10 * time.Minute
	}
	if o.tune == nil {
		o.tune = func(b dgraph.Options) dgraph.Options { return b }
	}
	return o
}

// Store is an open directory. Its methods may be called from any goroutine;
// commits are made one after the other.
type Store struct {
	dir  string
	opts Options
	log  *slog.Logger
	db   *dgraph.DB
	lock *os.File

	mu     sync.Mutex // held through each commit
	closed bool
	loads  sync.WaitGroup // walks under way; added to under mu and before closed
	names  logNames
	// Both under mu: the switch, and whether something was committed since the
	// last turn of the collector.
	valueLog valueLogSync
	unclean  bool
	used     atomic.Bool // since pages were let go

	failMu  sync.Mutex // not mu: Badger reports failures while a commit holds that
	failure error

	stop chan struct{} // closed by Close
	done chan struct{} // closed by the collector when it returns
}

// Open opens the store in dir and makes it if there is none.
//
// Errors: ErrInUse, ErrDiskFull, ErrReadOnly, or a *CorruptFileError that names
// the damaged file. Each says what to do next.
func Open(dir string, opts Options) (_ *Store, err error) {
	s := &Store{dir: dir, opts: opts.withDefaults(), stop: make(chan struct{}), done: make(chan struct{})}
	s.log = s.opts.Log.With("store", dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, classify(dir, err)
	}
	if s.lock, err = acquire(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release(s.lock))
		}
	}()
	if err := s.room(0); err != nil {
		return nil, err
	}
	if err := inspect(dir, s.log); err != nil {
		return nil, err
	}
	err = guarded(func() (err error) {
		s.db, err = dgraph.Open(s.opts.tune(s.badgerOptions()))
		return err
	})
	if errors.Is(err, errPanic) {
		return nil, damaged(dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", classify(dir, err))
	}
	if err := s.failed(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	if s.names, err = newLogNames(dir); err != nil {
		return nil, errors.Join(classify(dir, err), s.db.Close())
	}
	s.valueLog, s.unclean = findValueLogSync(s.db), true
	go s.collect()
	return s, nil
}

func (s *Store) badgerOptions() dgraph.Options {
	return dgraph.DefaultOptions(s.dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(logger{s}).
		WithMemTableSize(memTableBytes).
		WithNumMemtables(numMemtables).
		WithValueThreshold(inlineBytes).
		WithValueLogFileSize(valueLogBytes).
		WithVerifyValueChecksum(true).
		WithBaseLevelSize(8 << 20).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2). // the least Badger takes
		WithNumGoroutines(1).
		// Uncompressed blocks are read in place from the page cache: no block
		// cache, no copies. Records are mostly hashes and packed registers.
		WithCompression(options.None).
		WithBlockCacheSize(0).
		// Open verifies every table before Badger sees it. Verifying at each
		// block would lose data: a compaction takes a bad block for the end of
		// the table and deletes its input. Unverified, the bytes go on and fail
		// the CRC of their pair.
		WithChecksumVerificationMode(options.NoVerification)
}

var errPanic = errors.New("panic while reading")

// guarded turns a panic of f, and a fault in a memory map, into errPanic.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %.200s", errPanic, strings.TrimSpace(fmt.Sprint(p)))
		}
	}()
	return f()
}

// Close stops the collector, writes out what is in memory and gives the
// directory free. On a full disk or after a failure it leaves the writing-out
// to the next Open, which replays the log, and says so.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	close(s.stop)
	<-s.done
	s.loads.Wait()
	err := s.failed()
	if err == nil {
		err = s.roomFor(closeBytes)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("closed without writing out memory; the log has every acknowledged write: %w", err), release(s.lock))
	}
	return errors.Join(s.db.Close(), release(s.lock))
}

// fail makes every later Commit refuse with the cause. After a failed fsync the
// kernel may have dropped the dirty pages, so trying again would prove nothing
// (see "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
func (s *Store) fail(cause error) {
	s.failMu.Lock()
	defer s.failMu.Unlock()
	if s.failure == nil {
		s.failure = &FailedError{Dir: s.dir, Cause: cause}
		s.log.Error("the store has failed and acknowledges nothing any more", "cause", cause)
	}
}

func (s *Store) failed() error {
	s.failMu.Lock()
	defer s.failMu.Unlock()
	return s.failure
}
