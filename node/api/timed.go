package api

import (
	"net/http"
	"time"
)

// timedWriter writes to a client, each time within a limit: one that takes nothing for
// so long is gone.
//
// A deadline is there only while something is being written. Over HTTP/2 it resets the
// stream when it passes, written to or not, so one that was left behind ended every
// watch in which nothing happened for as long.
type timedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

func timed(w http.ResponseWriter, limit time.Duration) timedWriter {
	return timedWriter{w, http.NewResponseController(w), limit}
}

// within ignores that tests' recorders know no deadlines: nothing blocks there.
func (t timedWriter) within(do func() error) error {
	_ = t.control.SetWriteDeadline(time.Now().Add(t.limit))
	defer func() { _ = t.control.SetWriteDeadline(time.Time{}) }()
	return do()
}

func (t timedWriter) Write(p []byte) (n int, err error) {
	err = t.within(func() error {
		n, err = t.w.Write(p)
		return err
	})
	return n, err
}

// Flush sends what was written.
func (t timedWriter) Flush() error { return t.within(t.control.Flush) }
