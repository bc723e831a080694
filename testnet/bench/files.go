package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// walkFiles calls f for every file under dir; one that goes away meanwhile, as
// those of a compaction do, does not count.
func walkFiles(dir string, f func(os.FileInfo)) error {
	return filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			f(info)
		}
		return err
	})
}
