package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holon/crdt/snapshot"
)

// scheduleRig is a schedule with a clock of its own and a node that can be down.
type scheduleRig struct {
	*schedule
	t     *testing.T
	out   bytes.Buffer
	errs  bytes.Buffer
	clock time.Duration
	down  bool
	saves []time.Duration
}

func newRig(t *testing.T, dir string, every time.Duration, keep int) *scheduleRig {
	r := &scheduleRig{t: t, clock: time.Hour}
	r.schedule = &schedule{
		app: &app{in: strings.NewReader(""), out: &r.out, err: &r.errs}, file: filepath.Join(dir, "c.snap"), every: every, keep: keep,
		now: func() time.Duration { return r.clock },
		save: func(_ context.Context, path string) (snapshotInfo, error) {
			if r.down {
				return snapshotInfo{}, errors.New("no node answers")
			}
			r.saves = append(r.saves, r.clock)
			var info snapshotInfo
			err := writeWhole(path, func(out io.Writer) (err error) {
				w, err := snapshot.NewWriter(out, snapshot.Header{Cluster: fmt.Sprint(len(r.saves))})
				if err != nil {
					return err
				}
				_, err = w.Close()
				return err
			})
			if err == nil {
				info.SHA256, err = sumOf(path)
			}
			return info, err
		},
	}
	return r
}

// runUntil lets the schedule run until its clock shows end.
func (r *scheduleRig) runUntil(end time.Duration) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	r.nap = func(_ context.Context, d time.Duration) {
		if r.clock += min(d, scheduleNap); r.clock >= end {
			stop()
		}
	}
	if err := r.open(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.run(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *scheduleRig) files() []string {
	found, err := filepath.Glob(r.file + ".2*")
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestScheduleKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, 6*time.Hour, 2)
	mine := r.file + ".20010101T000000Z"
	if err := os.WriteFile(mine, []byte("not written by the schedule"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.runUntil(time.Hour + 31*time.Hour)
	want := []time.Duration{1 * time.Hour, 7 * time.Hour, 13 * time.Hour, 19 * time.Hour, 25 * time.Hour, 31 * time.Hour}
	if !slices.Equal(r.saves, want) {
		t.Errorf("saved at %v, want %v", r.saves, want)
	}
	files := r.files()
	if len(files) != 3 || files[0] != mine {
		t.Errorf("left: %v, want the file that is not its own and the 2 newest", files)
	}
	for _, f := range r.book.Written {
		if sum, err := sumOf(filepath.Join(dir, f.Name)); err != nil || sum != f.SHA256 {
			t.Errorf("%s: %v", f.Name, err)
		}
	}

	// A file that somebody put in the place of one of its own stays, too.
	oldest := filepath.Join(dir, r.book.Written[0].Name)
	if err := os.WriteFile(oldest, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.runUntil(r.clock + 7*time.Hour)
	if !slices.Contains(r.files(), oldest) || len(r.files()) != 4 {
		t.Errorf("left: %v", r.files())
	}
}

func TestScheduleSurvivesANodeThatIsDown(t *testing.T) {
	r := newRig(t, t.TempDir(), 6*time.Hour, 3)
	r.down = true
	r.runUntil(time.Hour + 3*time.Minute)
	if len(r.saves) > 0 || strings.Count(r.errs.String(), "no node answers; next attempt in 1m0s") != 3 {
		t.Errorf("saved %v, said %q", r.saves, &r.errs)
	}
	r.down = false
	r.runUntil(r.clock + time.Minute)
	if len(r.saves) != 1 {
		t.Errorf("saved %v", r.saves)
	}
}

// TestScheduleGoesOn after a restart where it was, so that a service that is
// started again and again does not push out what is old.
func TestScheduleGoesOn(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, 6*time.Hour, 3)
	r.runUntil(2 * time.Hour)
	again := newRig(t, dir, 6*time.Hour, 3)
	again.clock = 3 * time.Hour
	again.runUntil(8 * time.Hour)
	if !slices.Equal(again.saves, []time.Duration{7 * time.Hour}) {
		t.Errorf("saved at %v, want at 7h only", again.saves)
	}
	if len(again.book.Written) != 2 {
		t.Errorf("the book has %v", again.book.Written)
	}
	// After a boot the old time says nothing.
	again.book.Boot = "another"
	if err := writeJSON(again.bookPath(), again.book); err != nil {
		t.Fatal(err)
	}
	booted := newRig(t, dir, 6*time.Hour, 3)
	booted.clock = time.Minute
	booted.runUntil(2 * time.Minute)
	if !slices.Equal(booted.saves, []time.Duration{time.Minute}) {
		t.Errorf("saved at %v, want at once", booted.saves)
	}
}
