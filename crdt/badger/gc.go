package badger

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"
)

const (
	maxRewrites  = 4   // value log files rewritten in one turn
	discardRatio = 0.5 // a file is rewritten once half of it is garbage
)

// collect reclaims space in the value log, and memory, until Close.
func (s *Store) collect() {
	defer close(s.done)
	tick := time.NewTicker(s.opts.GCInterval)
	defer tick.Stop()
	pages := time.NewTicker(letGoEvery)
	defer pages.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			if err := s.reclaim(); err != nil {
				s.log.Error("value log not reclaimed", "cause", err)
			}
		case <-pages.C:
			if s.used.Swap(false) {
				s.letGo()
			}
		}
	}
}

// reclaim is one turn of the collector, if anything was committed since the last
// one: a node at rest writes nothing.
func (s *Store) reclaim() error {
	if !s.begins() {
		return nil
	}
	done := false
	defer func() { s.ends(done) }()
	if err := s.flatten(); err != nil {
		return err
	}
	for range maxRewrites {
		if err := s.failed(); err != nil {
			return err
		}
		if err := s.room(2 * valueLogBytes); err != nil {
			return err
		}
		if err := s.sealedLogsAreSound(); err != nil {
			return err
		}
		err := s.rewrite()
		if done = errors.Is(err, dgraph.ErrNoRewrite); done {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
	}
	return nil
}

// rewrite reclaims one file of the value log. Commits wait meanwhile, for what it
// takes to read 16 MiB and write half of it: Badger reads the version of the newest
// write without a lock here, and does so while nobody writes.
func (s *Store) rewrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return dgraph.ErrNoRewrite
	}
	s.valueLog.set(true)
	return guarded(func() error { return s.db.RunValueLogGC(discardRatio) })
}

// begins starts a turn; false if none is due.
func (s *Store) begins() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.unclean
	s.unclean = false
	return due
}

// ends is told whether nothing is left to collect.
func (s *Store) ends(done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unclean = s.unclean || !done
}

// flattenBytes is the size of all tables up to which a turn merges them. Above,
// the tables that Badger leaves unmerged are few beside the others.
const flattenBytes = 32 << 20

// flatten merges the tables of a small database: otherwise the newest ones, which
// overwrite each other, take several times the room of what they hold, and the
// value log does not learn what in it is garbage. It waits until they are half as
// large as the others, so that a byte is not written more than three times more.
func (s *Store) flatten() error {
	var total, merged int64
	for _, l := range s.db.Levels() {
		total += l.Size
		if l.Level > 0 { // where tables do not overlap
			merged = max(merged, l.Size)
		}
	}
	if total > flattenBytes || total-merged <= merged/2 {
		return nil
	}
	if err := errors.Join(s.failed(), s.room(2*total)); err != nil {
		return err
	}
	return guarded(func() error { return s.db.Flatten(1) })
}

// sealedLogsAreSound guards a rewrite: Badger takes a bad entry for the end of
// the file, and deletes the file with all that follows in it.
func (s *Store) sealedLogsAreSound() error {
	ids, err := logFiles(s.dir, vlogName)
	if err != nil || len(ids) == 0 {
		return err
	}
	for _, id := range ids[:len(ids)-1] {
		file := filepath.Join(s.dir, fmt.Sprintf(vlogName, id))
		s, err := scanLog(file)
		if err != nil {
			return err
		}
		if s.rest > 0 {
			return &CorruptFileError{file, fmt.Errorf("bad entry at byte %d", s.end)}
		}
	}
	return nil
}
