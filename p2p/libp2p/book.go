package libp2p

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// bookFile is where a book is kept, inside Config.Dir.
const bookFile = "peers.json"

// bookVersion is of the file's form. A file of a later one counts as unreadable.
const bookVersion = 1

// bookBytesMax bounds what is read back: recordsMax records of the usual size.
const bookBytesMax = 8 << 20

// book knows where peers can be reached: the newest address record of each, this
// node's own among them. It also keeps this node's boot count and ports, so that
// its records are ordered and its addresses survive a restart.
type book struct {
	path    string // "" keeps nothing
	cluster string
	key     ed25519.PrivateKey
	self    peer.ID

	mu      sync.Mutex
	boot    uint64
	own     addrRecord
	listen  map[string]string // configured address to the one that it became
	records map[peer.ID]addrRecord
	dirty   bool
}

// bookState is the file's form.
type bookState struct {
	Version int               `json:"version"` // bookVersion; 0 is 1
	Boot    uint64            `json:"boot"`
	Listen  map[string]string `json:"listen"`
	Records []addrRecord      `json:"records"`
}

// openBook reads the file and starts a new boot, which is on disk when it
// returns. An unreadable file costs what it knew, not the start: peers tell it
// again, the boot count included.
func openBook(dir, cluster string, key ed25519.PrivateKey, self peer.ID, log *slog.Logger) (*book, error) {
	b := &book{cluster: cluster, key: key, self: self, listen: map[string]string{}, records: map[peer.ID]addrRecord{}}
	if dir != "" {
		b.path = filepath.Join(dir, bookFile)
		if err := b.load(); err != nil {
			log.Warn("known peers are lost; they will be found again by other members or mDNS", "file", b.path, "error", err)
		}
	}
	b.boot++
	b.dirty = true
	b.own = addrRecord{Peer: self.String(), Boot: b.boot}
	if err := b.own.sign(cluster, key); err != nil {
		return nil, err
	}
	if err := b.save(); err != nil {
		return nil, fmt.Errorf("keep known peers: %w", err)
	}
	return b, nil
}

func decodeBook(data []byte) (s bookState, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if s.Version > bookVersion {
		return s, fmt.Errorf("file is of version %d, this holon reads up to %d", s.Version, bookVersion)
	}
	return s, nil
}

func (b *book) load() error {
	info, err := os.Stat(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() > bookBytesMax {
		return fmt.Errorf("file has %d bytes, more than %d", info.Size(), bookBytesMax)
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	s, err := decodeBook(data)
	if err != nil {
		return err
	}
	b.boot = s.Boot
	if s.Listen != nil {
		b.listen = s.Listen
	}
	for _, r := range s.Records {
		if id, err := r.verify(b.cluster); err == nil && id != b.self && len(b.records) < recordsMax {
			b.records[id] = r
		}
	}
	return nil
}

// size is the number of peers whose addresses are known.
func (b *book) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records)
}

// save writes the file if something changed: a new one beside it, then renamed.
func (b *book) save() error {
	b.mu.Lock()
	if !b.dirty || b.path == "" {
		b.mu.Unlock()
		return nil
	}
	s := bookState{Version: bookVersion, Boot: b.boot, Listen: maps.Clone(b.listen), Records: slices.Collect(maps.Values(b.records))}
	b.dirty = false
	b.mu.Unlock()
	slices.SortFunc(s.Records, func(x, y addrRecord) int { return compare(x.Peer, y.Peer) })
	data, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = replaceFile(b.path, data)
	}
	if err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
	}
	return err
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// port remembers what a configured listen address became.
func (b *book) port(configured string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listen[configured]
}

func (b *book) setPort(configured, actual string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listen[configured] != actual {
		b.listen[configured] = actual
		b.dirty = true
	}
}

// setOwn makes a new record of this node's addresses; changed is false if they
// are the ones it has.
func (b *book) setOwn(addrs []string) (changed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Equal(b.own.Addrs, addrs) && b.own.Seq > 0 {
		return false, nil
	}
	b.own.Addrs = slices.Clone(addrs)
	b.own.Seq++
	return true, b.own.sign(b.cluster, b.key)
}

// ownRecord is this node's record.
func (b *book) ownRecord() addrRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.own
}

// outcome of put.
type outcome int

const (
	known    outcome = iota // nothing new
	learned                 // a newer record of a peer
	overtook                // somebody held a newer record of this node: it was made anew
)

// put takes a record that was verified. A record of this node that is newer than
// its own, or as new but different, means that its book was lost: it goes on
// above that.
func (b *book) put(id peer.ID, r addrRecord) outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id == b.self {
		twin := !b.own.newerThan(r) && !slices.Equal(r.Addrs, b.own.Addrs)
		if !r.newerThan(b.own) && !twin {
			return known
		}
		b.boot, b.own.Boot, b.own.Seq = r.Boot+1, r.Boot+1, 1
		b.dirty = true
		if err := b.own.sign(b.cluster, b.key); err != nil {
			return known
		}
		return overtook
	}
	old, ok := b.records[id]
	if ok && !r.newerThan(old) || !ok && len(b.records) >= recordsMax {
		return known
	}
	b.records[id] = r
	b.dirty = true
	return learned
}

// addrs is where a peer says that it is.
func (b *book) addrs(id peer.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return parseAddrs(b.records[id].Addrs)
}

// about collects records, this node's own first if it is among ids; nil ids
// means all.
func (b *book) about(ids map[peer.ID]struct{}, admits func(peer.ID) bool) []addrRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []addrRecord
	if _, ok := ids[b.self]; ok || ids == nil {
		out = append(out, b.own)
	}
	for id, r := range b.records {
		if _, ok := ids[id]; (ok || ids == nil) && admits(id) {
			out = append(out, r)
		}
	}
	return out
}

// retain forgets peers that are no members.
func (b *book) retain(isMember func(peer.ID) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.records {
		if !isMember(id) {
			delete(b.records, id)
			b.dirty = true
		}
	}
}
