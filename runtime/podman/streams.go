//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

// upgrade sends a request after which the connection carries streams. The bindings have
// functions for that, which put the terminal of this process into raw mode, swap the
// connection's transport under other callers, and know no resize but SIGWINCH.
func upgrade(ctx context.Context, path, id string, query url.Values, body io.Reader) (io.ReadWriteCloser, error) {
	conn, err := bindings.GetClient(ctx)
	if err != nil {
		return nil, err
	}
	headers := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}, "Content-Type": {"application/json"}}
	resp, err := conn.DoRequest(ctx, body, http.MethodPost, path, query, headers, id)
	if err != nil {
		return nil, err
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	switch {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		if err = resp.Process(nil); err == nil {
			err = fmt.Errorf("Podman answered %s instead of switching protocols", resp.Status)
		}
	case !ok:
		err = errors.New("the connection to Podman carries no input")
	default:
		return stream, nil
	}
	resp.Body.Close()
	return nil, err
}

// carry passes on what is said both ways until the other side ends or ctx does. opts
// say how: all but the command.
func carry(ctx context.Context, stream io.ReadWriteCloser, opts runtime.ExecOptions, resize func(context.Context, runtime.Size) error) error {
	defer stream.Close()
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	over, done := context.WithCancel(ctx)
	var resizing sync.WaitGroup
	defer resizing.Wait()
	defer done()
	if opts.Stdin != nil {
		go sendInput(stream, opts.Stdin)
	}
	if opts.TTY && opts.Resize != nil {
		resizing.Go(func() { passSizes(over, opts.Resize, resize) })
	}
	if opts.TTY {
		_, err := io.Copy(orDiscard(opts.Stdout), stream)
		return err
	}
	return demultiplex(stream, orDiscard(opts.Stdout), orDiscard(opts.Stderr))
}

// sendInput copies in to the program and then ends its input.
func sendInput(stream io.Writer, in io.Reader) {
	if _, err := io.Copy(stream, in); err != nil {
		return // the program has ended, or in broke: nothing more to say
	}
	if half, ok := stream.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// resizeApart keeps sizes apart: of two that conmon (2.1) finds in its pipe at once it
// takes the first. kubectl sends two, one too large, so that the program draws anew.
const resizeApart = 100 * time.Millisecond

// passSizes passes on terminal sizes until ctx ends, of those that come together the last.
// One that is refused (the program has just ended, or has not begun) is tried once more.
func passSizes(ctx context.Context, sizes <-chan runtime.Size, resize func(context.Context, runtime.Size) error) {
	var wanted *runtime.Size
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case size, open := <-sizes:
			if !open {
				sizes = nil
				continue
			}
			if wanted == nil {
				due = time.After(resizeApart)
			}
			wanted = &size
		case <-due:
			if err := resize(ctx, *wanted); err != nil && ctx.Err() == nil {
				_ = resize(ctx, *wanted)
			}
			wanted = nil
		}
	}
}

// demultiplex splits Podman's frames into the two outputs.
func demultiplex(stream io.Reader, stdout, stderr io.Writer) error {
	buffer := make([]byte, 32<<10)
	for {
		channel, size, err := containers.DemuxHeader(stream, buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		frame, err := containers.DemuxFrame(stream, buffer, size)
		if err != nil {
			return err
		}
		switch channel {
		case 1:
			_, err = stdout.Write(frame)
		case 2:
			_, err = stderr.Write(frame)
		case 3:
			err = errors.New(string(frame))
		}
		if err != nil {
			return err
		}
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
