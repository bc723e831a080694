package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"holon/node"
)

// Pace of a schedule.
const (
	scheduleRetryMax = time.Minute // while no node answers
	scheduleNap      = time.Minute // at most at once: a timer does not count the sleep of the machine
)

// scheduleBook is what a schedule remembers between two starts, in FILE.schedule:
// the files that it wrote, oldest first, and when it wrote the last one. Order and
// age go by the book and by the monotonic clock: the time in a file's name is of a
// wall clock, which may be wrong.
type scheduleBook struct {
	Written []scheduledFile `json:"written"`
	Boot    string          `json:"boot"` // of the machine, for which At counts
	At      time.Duration   `json:"at"`   // CLOCK_BOOTTIME
}

type scheduledFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// schedule saves a cluster again and again.
type schedule struct {
	app   *app
	file  string
	every time.Duration
	keep  int
	book  scheduleBook
	now   func() time.Duration // CLOCK_BOOTTIME
	nap   func(context.Context, time.Duration)
	save  func(ctx context.Context, path string) (snapshotInfo, error)
}

func (a *app) saveAgainAndAgain(ctx context.Context, file string, o saveOptions) error {
	if _, err := a.connect(); err != nil {
		return err // no way to any node is known: waiting does not help
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, abs+".schedule.lock", 0)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("another schedule writes %s.<time>; stop that one, or name another file", file)
	}
	if err != nil {
		return fmt.Errorf("cannot write beside %s: %w", file, err)
	}
	defer unlock()
	s := &schedule{app: a, file: abs, every: o.every, keep: o.keep, now: node.BootTime, nap: nap, save: a.saveFromAny}
	if err := s.open(); err != nil {
		return err
	}
	return s.run(ctx)
}

func nap(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(d, scheduleNap)):
	}
}

func (s *schedule) bookPath() string { return s.file + ".schedule" }

func (s *schedule) open() error {
	err := readJSON(s.bookPath(), &s.book)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; move it away: the files that it lists are then yours to remove", err)
	}
	if boot := bootID(); s.book.Boot != boot {
		s.book.Boot, s.book.At = boot, 0
	}
	return nil
}

// bootID names this run of the machine.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // no proc: every start counts as one after a boot
	}
	return strings.TrimSpace(string(text))
}

// run goes on until ctx ends, which is no failure: that is how a service stops.
func (s *schedule) run(ctx context.Context) error {
	due := s.now()
	if s.book.At > 0 && s.book.Boot != "" {
		due = s.book.At + s.every
	}
	for ctx.Err() == nil {
		if wait := due - s.now(); wait > 0 {
			s.nap(ctx, wait)
			continue
		}
		if err := s.once(ctx); err != nil {
			if ctx.Err() == nil {
				due = s.now() + min(s.every, scheduleRetryMax)
				s.app.complain(fmt.Sprintf("%s; next attempt in %v", sentence(err), min(s.every, scheduleRetryMax)))
			}
			continue
		}
		due = s.book.At + s.every
	}
	return nil
}

// once saves one file, enters it in the book and lets the oldest go.
func (s *schedule) once(ctx context.Context) error {
	began := s.now()
	path := s.freeName()
	info, err := s.save(ctx, path)
	if err != nil {
		return err
	}
	s.book.At = began
	s.book.Written = append(s.book.Written, scheduledFile{filepath.Base(path), info.SHA256})
	if err := writeJSON(s.bookPath(), s.book); err != nil {
		return err
	}
	say(s.app.out, "saved %s to %s; %s\n", info.words(), path, notVolumes)
	return s.prune()
}

// freeName is FILE.<time>, or with a number behind it if that is there: a clock
// that was set back must not replace a file.
func (s *schedule) freeName() string {
	name := s.file + "." + time.Now().UTC().Format("20060102T150405Z")
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); err != nil {
			return name
		}
		name = fmt.Sprintf("%s.%s-%d", s.file, time.Now().UTC().Format("20060102T150405Z"), i)
	}
}

// prune removes the oldest files of the book, if they are still what was written.
func (s *schedule) prune() error {
	for len(s.book.Written) > s.keep {
		old := s.book.Written[0]
		path := filepath.Join(filepath.Dir(s.file), filepath.Base(old.Name))
		sum, err := sumOf(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // somebody was quicker
		case err != nil:
			return fmt.Errorf("%s cannot be removed: %w", path, err)
		case sum != old.SHA256:
			s.app.warn(path + " is not what was written to it, so it stays")
		default:
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("an old snapshot cannot be removed: %w", err)
			}
		}
		s.book.Written = s.book.Written[1:]
		if err := writeJSON(s.bookPath(), s.book); err != nil {
			return err
		}
	}
	return nil
}

// sumOf reads the checksum with which a snapshot ends.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var sum [32]byte
	if _, err := f.Seek(-int64(len(sum)), io.SeekEnd); err != nil {
		return "", nil // shorter than any snapshot
	}
	_, err = io.ReadFull(f, sum[:])
	return fmt.Sprintf("%x", sum[:]), err
}

// saveFromAny saves from the node that the user named, or if that does not answer
// from another one of the same cluster.
func (a *app) saveFromAny(ctx context.Context, path string) (info snapshotInfo, err error) {
	var failures []string
	for _, at := range a.contextsOfOneCluster() {
		c, err := at.connect()
		if err == nil {
			err = writeWhole(path, func(out io.Writer) (err error) {
				wait := a.startProgress("saving the state of the cluster from %s", c.where)
				defer wait.stop()
				info, err = c.saveTo(ctx, out, wait)
				return err
			})
		}
		if err == nil || ctx.Err() != nil {
			return info, err
		}
		failures = append(failures, sentence(err))
	}
	return info, errors.New("no snapshot was saved: " + strings.Join(failures, "; "))
}

// contextsOfOneCluster is this app, and one for each other context of the
// kubeconfig that trusts the same CA: a kubeconfig may hold several clusters.
func (a *app) contextsOfOneCluster() []*app {
	all := []*app{a}
	if c, err := a.connect(); err == nil && c.socket != "" {
		return all // the kubeconfig that was not looked at may be of anything
	}
	rules, err := a.loadingRules()
	if err != nil {
		return all
	}
	raw, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).RawConfig()
	if err != nil {
		return all
	}
	ca := func(name string) string {
		if c := raw.Contexts[name]; c != nil && raw.Clusters[c.Cluster] != nil {
			return string(raw.Clusters[c.Cluster].CertificateAuthorityData)
		}
		return ""
	}
	first := orElse(a.context, raw.CurrentContext)
	for _, name := range slices.Sorted(maps.Keys(raw.Contexts)) {
		if name != first && ca(first) != "" && ca(name) == ca(first) {
			other := *a
			other.context = name
			all = append(all, &other)
		}
	}
	return all
}
