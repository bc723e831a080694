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

// collect reclaims space in the value log until Close.
func (s *Store) collect() {
	defer close(s.done)
	tick := time.NewTicker(s.opts.GCInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			if err := s.reclaim(); err != nil {
				s.log.Error("value log not reclaimed", "cause", err)
			}
		}
	}
}

// reclaim is one turn of the collector.
func (s *Store) reclaim() error {
	s.moveLarge(true)
	defer s.moveLarge(false)
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
		err := guarded(func() error { return s.db.RunValueLogGC(discardRatio) })
		if errors.Is(err, dgraph.ErrNoRewrite) {
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

// moveLarge says that Badger may write to the value log by itself from now on, or
// does not any more.
func (s *Store) moveLarge(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reclaiming = on
	s.valueLog.set(true)
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
