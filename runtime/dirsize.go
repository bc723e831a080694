package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// blockSize is the unit of st_blocks, see stat(2).
const blockSize = 512

// DirSize is how many bytes of disk the files in an empty directory of a pod take, which
// lies at dir: a file with holes is as large as what is in it. It walks until ctx ends.
func DirSize(ctx context.Context, id RunID, dir string) (int64, error) {
	op := fmt.Sprintf("measure volume %s of pod %s", filepath.Base(dir), id)
	if _, err := os.Lstat(dir); err != nil {
		return 0, &Error{Kind: NotFound, Op: op, Err: err}
	}
	bytes, err := sizeOf(ctx, dir, func(info fs.FileInfo) int64 {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			return s.Blocks * blockSize
		}
		return info.Size()
	})
	if err != nil {
		return 0, &Error{Kind: Failed, Op: op, Err: err}
	}
	return bytes, nil
}

// sizeOf adds up the files below a directory. What vanishes meanwhile does not count.
func sizeOf(ctx context.Context, dir string, size func(fs.FileInfo) int64) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += size(info)
		}
		return ctx.Err()
	})
	return bytes, err
}
