package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holon/runtime"
)

const defaultMessagePath = "/dev/termination-log"

// messageOrder says where a program may say why it ends.
type messageOrder struct {
	Path    string // below $HOLON_POD_DIR; empty: nowhere
	FromLog bool   // as runtime.Message
}

// planMessage resolves where a container's message is, as a volume's path: below
// $HOLON_POD_DIR, and at the path itself where the host has a file there that a mount can
// cover. The note says what is not as asked.
func planMessage(dir string, c *runtime.Container, private bool) (order messageOrder, mounts []mountOrder, note string) {
	order.FromLog = c.Message.FromLog
	path := c.MessageFile()
	if path == "" {
		return order, nil, ""
	}
	for _, m := range c.Mounts {
		if strings.HasPrefix(path, filepath.Clean("/"+m.Path)+"/") {
			return order, nil, fmt.Sprintf("terminationMessagePath %s is in volume %s, and is not read", path, m.Volume)
		}
	}
	order.Path = path[1:]
	if info, err := os.Stat(path); private && err == nil && info.Mode().IsRegular() {
		file := filepath.Join(dir, path)
		return order, []mountOrder{{Source: file, Target: file, Host: path}}, ""
	}
	if path != defaultMessagePath { // where that is, is documented
		note = fmt.Sprintf("terminationMessagePath is $%s%s, not %s", podDirEnv, path, path)
	}
	return order, nil, note
}

// open makes the file for an attempt. It is held open to be read at the end: by then the
// program, which may be another user's, has changed what the path leads to as it likes.
func (o messageOrder) open(dir string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return nil, err
	}
	if err := root.Remove(o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := root.OpenFile(o.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return f, f.Chmod(0o666) // umask
}

// openMessage never holds up a program: without the file it runs all the same.
func (s *shim) openMessage() {
	if s.order.Message.Path == "" {
		return
	}
	var err error
	if s.message, err = s.order.Message.open(s.order.PodDir); err != nil {
		s.order.Notes = append(s.order.Notes, fmt.Sprintf("the file of terminationMessagePath cannot be made: %v", err))
	}
}

// keepMessage writes what the program has said of its end to the attempt's directory.
func (s *shim) keepMessage() error {
	said := ""
	var err error
	if s.message != nil {
		said, err = runtime.ReadMessage(s.message)
	}
	if said == "" && err == nil && s.order.Message.FromLog && s.state.ExitCode != 0 {
		said, err = runtime.LogMessage(func(opts runtime.LogOptions, w io.Writer) error {
			return readLog(context.Background(), s.dir, opts, w, nil, func() bool { return true })
		})
	}
	if said == "" || err != nil {
		return err
	}
	return writeFile(filepath.Join(s.dir, messageFile), []byte(said), volatile)
}

// saidIn returns what keepMessage has written; empty if nothing.
func saidIn(attempt string) string {
	f, err := os.Open(filepath.Join(attempt, messageFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	said, _ := runtime.ReadMessage(f) // for display only
	return said
}
