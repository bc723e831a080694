package badger

import (
	"errors"
	"fmt"
	"strings"

	dgraph "github.com/dgraph-io/badger/v4"

	"holon/crdt"
)

// QuarantinePrefix is where Load puts damaged pairs, as
// x/<version, 16 hex digits>/<key>, with the cause, a newline and the bytes
// that were there as the value. They stay until somebody deletes them.
const QuarantinePrefix = "x/"

// DamageKey is set, to the key of the pair, in each batch that sets one aside. Who
// has drawn the consequences, which is to claim that pair no more, deletes it.
const DamageKey = "n/damage"

// Load calls f for every pair whose key has the prefix, in key order, as of the
// moment of the call. The value is valid only during the call. An error of f
// ends the walk and is returned.
//
// Damaged pairs do not end it: f sees every sound one, and then Load returns a
// *CorruptError that lists the others, which it has quarantined. A sound pair
// in a format that this version does not know ends it with ErrNewerFormat.
func (s *Store) Load(prefix string, f func(key string, value []byte) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.loads.Done()
	s.used.Store(true)
	var damaged CorruptError
	set := []quarantined{}
	err := s.db.View(func(txn *dgraph.Txn) error {
		opt := dgraph.DefaultIteratorOptions
		opt.Prefix = []byte(prefix)
		// Values are read here and not ahead by Badger's goroutines, where a
		// fault could not be caught.
		opt.PrefetchValues = false
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			key := string(item.Key())
			sealed, payload, cause := read(key, item)
			if cause == nil {
				if err := f(key, payload); err != nil {
					return err
				}
				continue
			}
			if errors.Is(cause, ErrNewerFormat) {
				return fmt.Errorf("record %q: %w", key, cause)
			}
			damaged.Count++
			if len(damaged.Records) < maxReported {
				q := quarantine(key, item.Version(), cause, sealed)
				damaged.Records = append(damaged.Records, q.Corrupt)
				set = append(set, q)
			}
		}
		return nil
	})
	if damaged.Count == 0 {
		return err
	}
	for i, q := range set {
		s.log.Error("damaged record", "key", q.Key, "cause", q.Cause)
		if qerr := s.setAside(q); qerr != nil {
			damaged.Records[i].Quarantine = ""
			err = errors.Join(err, fmt.Errorf("cannot set %q aside: %w", q.Key, qerr))
		}
	}
	return errors.Join(&damaged, err)
}

func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: %s", ErrClosed, s.dir)
	}
	s.loads.Add(1)
	return nil
}

// read returns what is stored and what was meant. Badger reports a value that
// it cannot read as an empty one, which has no format byte.
func read(key string, item *dgraph.Item) (sealed, payload []byte, cause error) {
	cause = guarded(func() error {
		var err error
		if sealed, err = item.ValueCopy(nil); err == nil {
			payload, err = unseal(key, sealed)
		}
		return err
	})
	return sealed, payload, cause
}

type quarantined struct {
	Corrupt
	version uint64
	batch   []crdt.KV
}

// setAside commits the move, unless the key has been written since Load saw it.
func (s *Store) setAside(q quarantined) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	err := s.db.View(func(txn *dgraph.Txn) error {
		item, err := txn.Get([]byte(q.Key))
		if err == nil && item.Version() != q.version {
			return dgraph.ErrKeyNotFound
		}
		return err
	})
	if errors.Is(err, dgraph.ErrKeyNotFound) {
		return nil
	}
	return errors.Join(err, s.commit(q.batch))
}

// quarantine moves a pair in one batch. What is damaged inside the quarantine
// is only removed, or it would move again at each Load.
func quarantine(key string, version uint64, cause error, sealed []byte) quarantined {
	q := quarantined{Corrupt{Key: key, Cause: cause}, version, []crdt.KV{{Key: key}, {Key: DamageKey, Value: []byte(key)}}}
	to := fmt.Sprintf("%s%016x/%s", QuarantinePrefix, version, key)
	if len(to) <= MaxKeyBytes && !strings.HasPrefix(key, QuarantinePrefix) {
		q.Quarantine = to
		text := append(fmt.Appendf(nil, "%v\n", cause), sealed...)
		q.batch = append(q.batch, crdt.KV{Key: to, Value: text[:min(len(text), MaxValueBytes)]})
	}
	return q
}
