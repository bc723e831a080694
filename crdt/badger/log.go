package badger

import (
	"errors"
	"fmt"
	"strings"
)

// logger passes Badger's words on, and its silence about failures not: two
// kinds of them it only logs.
type logger struct{ s *Store }

// loggedFailures are the formats under which Badger v4.9.6 logs an error that
// it does not return: value.go (write), db.go (flushMemtable), levels.go
// (newLevelsController). A test looks for them in its source.
var loggedFailures = []string{
	"Error while curlf sync:",
	"error flushing memtable to disk:",
	"Ignoring table ",
}

func (l logger) Errorf(format string, args ...any) {
	text := words(format, args)
	for _, f := range loggedFailures {
		if strings.HasPrefix(format, f) {
			l.s.fail(errors.New(text))
			return
		}
	}
	l.s.log.Error("badger: " + text)
}

func (l logger) Warningf(format string, args ...any) { l.s.log.Warn("badger: " + words(format, args)) }

// Infof is Badger's account of each compaction: detail, here.
func (l logger) Infof(format string, args ...any) { l.s.log.Debug("badger: " + words(format, args)) }

// Debugf is dropped unread: it comes with every write.
func (l logger) Debugf(string, ...any) {}

func words(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
