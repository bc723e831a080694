package badger

import (
	"fmt"
	"os"
	"path/filepath"

	dgraph "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"
)

// inspectOrphans looks at the tables that the manifest does not name, because
// Badger is about to delete them. A crash leaves such tables: outputs that were
// not entered yet, whose pairs are all still in the logs or in other tables, or
// inputs that were not removed yet, which are older than their outputs. A
// manifest that was cut short leaves newer ones, with pairs that are nowhere
// else; that is refused.
func inspectOrphans(dir string, tables map[uint64]dgraph.TableManifest) error {
	found, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	var newest uint64
	for id := range tables {
		newest = max(newest, id)
	}
	orphans := map[string]string{} // key -> file, of what must be elsewhere
	versions := map[string]uint64{}
	for _, file := range found {
		id, ok := table.ParseFileID(filepath.Base(file))
		if _, named := tables[id]; !ok || named || id < newest {
			continue
		}
		err := eachPair(file, options.None, func(key string, version uint64, deleted bool) {
			if version < versions[key] {
				return
			}
			versions[key] = version
			orphans[key] = file
			if deleted {
				delete(orphans, key)
			}
		})
		if err != nil {
			continue // cut short while it was written: never entered, by right
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	if err := explain(dir, tables, orphans, versions); err != nil {
		return err
	}
	for key, file := range orphans {
		return &CorruptFileError{
			filepath.Join(dir, dgraph.ManifestFilename),
			fmt.Errorf("does not name %s, which holds %d records that are nowhere else, %q for one", filepath.Base(file), len(orphans), key),
		}
	}
	return nil
}

// explain removes from orphans what the logs or the named tables have, in that
// version or a later one.
func explain(dir string, tables map[uint64]dgraph.TableManifest, orphans map[string]string, versions map[string]uint64) error {
	seen := func(key string, version uint64, _ bool) {
		if version >= versions[key] {
			delete(orphans, key)
		}
	}
	for id, t := range tables {
		file := table.NewFilename(id, dir)
		if err := eachPair(file, t.Compression, seen); err != nil {
			return damaged(file, err)
		}
	}
	mems, err := logFiles(dir, memName)
	if err != nil {
		return err
	}
	for _, id := range mems {
		file := filepath.Join(dir, fmt.Sprintf(memName, id))
		err := eachEntry(file, func(e logEntry) {
			if len(e.key) > 8 {
				seen(string(e.key[:len(e.key)-8]), e.timestamp(), false)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachPair verifies a table and calls f for each of its pairs.
func eachPair(file string, c options.CompressionType, f func(key string, version uint64, deleted bool)) error {
	return guarded(func() error {
		t, err := openTable(file, c)
		if err != nil {
			return err
		}
		it := t.NewIterator(0)
		for it.Rewind(); it.Valid(); it.Next() {
			const bitDelete = 1 // of the meta byte, as in Badger's value.go
			f(string(y.ParseKey(it.Key())), y.ParseTs(it.Key()), it.Value().Meta&bitDelete != 0)
		}
		if err := it.Close(); err != nil {
			return err
		}
		return t.Close(-1) // and not DecrRef, which deletes the file
	})
}

// openTable opens a table and verifies every checksum in it.
func openTable(file string, c options.CompressionType) (*table.Table, error) {
	m, err := z.OpenMmapFile(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return table.OpenTable(m, table.Options{
		ReadOnly: true, ChkMode: options.OnTableRead, Compression: c, BlockSize: 4 << 10,
	})
}
