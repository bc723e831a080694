package runtime

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// What a program says of its end, with kubelet's bounds.
const (
	MessageMax      = 4 << 10 // bytes of what it left in its file: the last ones
	LogMessageMax   = 2 << 10 // bytes of its log, in place of that
	LogMessageLines = 80
)

// Message names the file in which a container's program may say why it ends. The zero
// value is none.
type Message struct {
	Path    string // absolute, in the container
	FromLog bool   // of an attempt that failed and left nothing there, the end of its log says it
}

// MessageFile is the path of c's message, cleaned; empty: it has none, or a volume is there.
func (c *Container) MessageFile() string {
	path := filepath.Join("/", c.Message.Path)
	if c.Message.Path == "" || path == "/" {
		return ""
	}
	for _, m := range c.Mounts {
		if filepath.Join("/", m.Path) == path {
			return ""
		}
	}
	return path
}

// NewMessage makes the file for one attempt, empty unless it is there already, and open to
// whatever user the program is.
func NewMessage(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o666), f.Close()) // umask
}

// ReadMessage returns the end of what is in the file, which its program still may write.
func ReadMessage(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	text := make([]byte, MessageMax)
	n, err := f.ReadAt(text, max(0, info.Size()-MessageMax))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return string(text[:n]), err
}

// LogMessage returns the end of the log that read writes.
func LogMessage(read func(LogOptions, io.Writer) error) (string, error) {
	var end tail
	err := read(LogOptions{Tail: LogMessageLines}, &end)
	return string(end), err
}

// tail keeps the last LogMessageMax bytes that are written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p[max(0, len(p)-LogMessageMax):]...)
	*t = append((*t)[:0], (*t)[max(0, len(*t)-LogMessageMax):]...)
	return len(p), nil
}
