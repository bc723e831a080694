package main

// The manners of this CLI:
//
//   - Answers go to stdout, everything else (progress, warnings, errors) to
//     stderr, so that output can always be piped.
//   - An error is one sentence: "holon: cause; next step". It names the thing
//     and what to do, not a stack of wrappers.
//   - Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; `exec`
//     returns the code of the remote command.
//   - Whatever takes longer than a second says what it is doing; what is
//     quicker is silent.
//   - Colour only on a terminal, never when NO_COLOR is set or TERM is dumb,
//     and never as the only carrier of a meaning.
//   - Tables are aligned as kubectl's are: three spaces between columns.
//   - -o json prints objects as the API has them, indented by 4.
//   - The spelling is kubectl's wherever kubectl has a word for it.
//   - Nothing asks a question in a script. On a terminal 'snapshot restore
//     --objects' does, as it overwrites what is newer, and 'volume abandon', as it
//     loses data; --yes answers them.

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// patience is how long a command may be silent.
const patience = time.Second

const (
	red    = "31"
	yellow = "33"
)

// paint colours s if w is a terminal that wants colours.
func paint(w io.Writer, colour, s string) string {
	if !isTerminal(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func isTerminal(stream any) bool {
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// answer is stdout. It remembers that something could not be written, so that
// a full disk behind a redirection is a failure and not half an answer.
type answer struct {
	file *os.File
	mu   sync.Mutex
	err  error // the first
}

// Fd lets isTerminal look through.
func (a *answer) Fd() uintptr { return a.file.Fd() }

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.file.Write(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// say writes for people. On stderr there is nobody to tell of a failure; stdout
// remembers it (see answer).
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

// warn prints a warning, once per text and process.
func (a *app) warn(text string) {
	if _, seen := warned.LoadOrStore(text, true); !seen {
		say(a.err, "%s %s\n", paint(a.err, yellow, "Warning:"), text)
	}
}

var warned sync.Map

// progress tells on stderr what a command is waiting for, once that has taken
// longer than patience. The zero value is not usable; see startProgress.
type progress struct {
	mu      sync.Mutex
	w       io.Writer
	timer   *time.Timer
	text    string // newest
	printed string
	open    bool // patience is over
	done    bool
}

// startProgress begins a wait. The caller must stop it.
func (a *app) startProgress(format string, args ...any) *progress {
	return newProgress(a.err, format, args...)
}

func newProgress(w io.Writer, format string, args ...any) *progress {
	p := &progress{w: w, text: fmt.Sprintf(format, args...)}
	p.timer = time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = true
		p.print()
	})
	return p
}

// say replaces what is being waited for.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
	p.print()
}

func (p *progress) print() {
	if p.open && !p.done && p.text != p.printed {
		p.printed = p.text
		say(p.w, "%s\n", p.text)
	}
}

func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.timer.Stop()
}

// plural counts things: "1 node", "3 nodes".
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
