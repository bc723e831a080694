package badger

import (
	"errors"
	"fmt"

	dgraph "github.com/dgraph-io/badger/v4"

	"holon/crdt"
)

// Bounds of one batch. A batch of one pair within MaxKeyBytes and MaxValueBytes
// always fits; so does any batch of at most MaxBatchPairs pairs whose keys and
// values together have at most MaxBatchBytes.
const (
	MaxBatchBytes = 256 << 10
	MaxBatchPairs = 2048
	MaxKeyBytes   = 4 << 10
	MaxValueBytes = 8 << 20
)

// Commit makes the batch durable as a whole: nil means it survives a power cut.
// A later pair of the same key wins.
//
// Errors: ErrBatchTooBig, ErrDiskFull, ErrReadOnly and ErrClosed have changed
// nothing. ErrFailed may have written the batch or not, and every later Commit
// returns it too.
func (s *Store) Commit(batch []crdt.KV) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(batch)
}

func (s *Store) commit(batch []crdt.KV) error {
	if s.closed {
		return fmt.Errorf("%w: %s", ErrClosed, s.dir)
	}
	if err := s.failed(); err != nil {
		return err
	}
	total, large, err := measure(batch)
	if err != nil {
		return err
	}
	if err := s.room(total); err != nil {
		return err
	}
	s.unclean = true
	s.used.Store(true)
	s.valueLog.set(large)
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, kv := range batch {
		if kv.Value == nil {
			err = txn.Delete([]byte(kv.Key))
		} else {
			err = txn.Set([]byte(kv.Key), seal(kv.Key, kv.Value))
		}
		if errors.Is(err, dgraph.ErrTxnTooBig) {
			return fmt.Errorf("%w: %d pairs of %d bytes", ErrBatchTooBig, len(batch), total)
		}
		if err != nil {
			return fmt.Errorf("key %.100q: %w", kv.Key, err)
		}
	}
	if err := txn.Commit(); err != nil {
		s.fail(err)
	} else if err := s.names.sync(); err != nil {
		s.fail(err)
	}
	return s.failed()
}

// measure returns the bytes that the batch will write, and whether a value of it
// goes into the value log.
func measure(batch []crdt.KV) (bytes int64, large bool, err error) {
	if len(batch) > MaxBatchPairs {
		return 0, false, fmt.Errorf("%w: %d pairs, at most %d", ErrBatchTooBig, len(batch), MaxBatchPairs)
	}
	inline, total := 0, 0
	for _, kv := range batch {
		if len(kv.Key) == 0 || len(kv.Key) > MaxKeyBytes {
			return 0, false, fmt.Errorf("key %.100q has %d bytes; 1 to %d are allowed", kv.Key, len(kv.Key), MaxKeyBytes)
		}
		if len(kv.Value) > MaxValueBytes {
			return 0, false, fmt.Errorf("%w: value of %.100q has %d bytes, at most %d", ErrBatchTooBig, kv.Key, len(kv.Value), MaxValueBytes)
		}
		total += len(kv.Key) + len(kv.Value)
		inline += len(kv.Key)
		if len(kv.Value)+overhead < inlineBytes {
			inline += len(kv.Value)
		} else {
			large = true
		}
	}
	if inline > MaxBatchBytes || total > 2*MaxValueBytes {
		return 0, false, fmt.Errorf("%w: %d bytes, at most %d; split it", ErrBatchTooBig, total, MaxBatchBytes)
	}
	return int64(total), large, nil
}
