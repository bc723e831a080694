package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	dgraph "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// inspect reads everything that Badger would trust, before Badger does: what it
// finds damaged itself it drops in silence, or dies of in a goroutine where no
// panic can be caught. The caller holds the lock.
func inspect(dir string, log *slog.Logger) error {
	if err := removeUnborn(dir); err != nil {
		return err
	}
	tables, err := inspectManifest(dir, log)
	if err != nil {
		return err
	}
	for id, t := range tables {
		file := table.NewFilename(id, dir)
		if err := guarded(func() error { return inspectTable(file, t.Compression) }); err != nil {
			return damaged(file, err)
		}
	}
	if err := inspectOrphans(dir, tables); err != nil {
		return err
	}
	registry := filepath.Join(dir, dgraph.KeyRegistryFileName)
	err = guarded(func() error {
		_, err := dgraph.OpenKeyRegistry(dgraph.KeyRegistryOptions{Dir: dir, ReadOnly: true})
		return err
	})
	if err != nil {
		return damaged(registry, err)
	}
	return inspectLogs(dir, log)
}

// damaged names the file, unless the error does so already or is not about it.
func damaged(file string, err error) error {
	var c *CorruptFileError
	if errors.As(err, &c) {
		return err
	}
	if named := classify(file, err); errors.Is(named, ErrReadOnly) || errors.Is(named, ErrDiskFull) {
		return named
	}
	return &CorruptFileError{file, err}
}

// removeUnborn removes log files without a byte: a crash between making and
// sizing a file leaves one, nothing was ever in it, and Badger refuses it.
func removeUnborn(dir string) error {
	for _, format := range []string{memName, vlogName} {
		ids, err := logFiles(dir, format)
		if err != nil {
			return err
		}
		for _, id := range ids {
			file := filepath.Join(dir, fmt.Sprintf(format, id))
			info, err := os.Stat(file)
			if err != nil {
				return classify(dir, err)
			}
			if info.Size() == 0 {
				if err := os.Remove(file); err != nil {
					return classify(dir, err)
				}
			}
		}
	}
	return nil
}

func inspectManifest(dir string, log *slog.Logger) (map[uint64]dgraph.TableManifest, error) {
	file := filepath.Join(dir, dgraph.ManifestFilename)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, freshDir(dir, file)
	}
	if err != nil {
		return nil, classify(dir, err)
	}
	defer f.Close()
	var m dgraph.Manifest
	var end int64
	err = guarded(func() (err error) {
		m, end, err = dgraph.ReplayManifestFile(f, 0, dgraph.DefaultOptions(dir).WithLogger(nil))
		return err
	})
	if err != nil {
		return nil, damaged(file, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if torn := info.Size() - end; torn > 0 {
		log.Warn("the last change of the manifest was cut short and is dropped", "bytes", torn)
	}
	return m.Tables, nil
}

// freshDir refuses a directory that has data but no manifest: Badger would make
// a new one and delete every table that is not in it.
func freshDir(dir, manifest string) error {
	for _, pattern := range []string{"*.sst", "*.mem", "*.vlog"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return &CorruptFileError{manifest, fmt.Errorf("missing, though %s is there", filepath.Base(found[0]))}
		}
	}
	return nil
}

func inspectTable(file string, c options.CompressionType) error {
	t, err := openTable(file, c)
	if err != nil {
		return err
	}
	return t.Close(-1) // and not DecrRef, which deletes the file
}
