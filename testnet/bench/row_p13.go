package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// footprint is P13: what nodes hold in memory and on disk, idle and with many
// ConfigMaps, and how long a killed node takes to serve them again.
func footprint(ctx context.Context, b *bench) error {
	for range min(b.rounds, b.scaled(3, 1)) {
		if err := b.idleMemory(ctx); err != nil {
			return err
		}
		if err := b.manyKeys(ctx, b.scaled(100_000, 100_000)); err != nil {
			return err
		}
	}
	return nil
}

// Memory counts as settled when no process's own pages have changed by more than
// settleSlack for settleTime.
const (
	settleTime  = 10 * time.Second
	settleSlack = 1.0 // MiB
	settleMax   = 90 * time.Second
)

// idleMemory measures the nodes of an idle testnet of ten.
func (b *bench) idleMemory(ctx context.Context) error {
	return b.withHolon(ctx, 10, 0, smallValue, func(t *testnet, _ *httpAPI) error {
		pids, err := t.pids(ctx)
		if err != nil {
			return err
		}
		rss, err := settledMemory(ctx, pids)
		if err != nil {
			return err
		}
		b.figure("P13", "RSS of an idle node, of ten", "MiB", "", atMost("<= 80 MB", 80e6/(1<<20))).add(rss["VmRSS"].median(), 0)
		b.figure("P13", "- of which anonymous (RssAnon)", "MiB", "", goal{}).add(rss["RssAnon"].median(), 0)
		b.figure("P13", "- of which the program's file, shared by all nodes (RssFile)", "MiB", "", goal{}).add(rss["RssFile"].median(), 0)
		return nil
	})
}

// manyKeys fills holon and etcd with ConfigMaps of about 1 KB of equal bytes.
func (b *bench) manyKeys(ctx context.Context, keys int) error {
	var ours, theirs load13
	err := b.withHolon(ctx, 3, 0, largeValue, func(t *testnet, a *httpAPI) error {
		began := time.Now()
		if err := a.createAll(ctx, 0, keys); err != nil {
			return err
		}
		ours.fill = time.Since(began)
		pids, err := t.pids(ctx)
		if err != nil {
			return err
		}
		var dirs []string
		for _, n := range t.nodes {
			dirs = append(dirs, filepath.Join(t.dir, n, "state"))
		}
		if err := ours.look(ctx, pids, dirs); err != nil {
			return err
		}
		ours.restart, err = t.restart(ctx, a, keys)
		return err
	})
	if err != nil {
		return err
	}
	err = b.withEtcd(ctx, 0, largeValue, func(e *etcd) error {
		var ids numbers
		began := time.Now()
		if err := closedLoop(ctx, e, nil, &ids, keys, keys); err != nil {
			return err
		}
		theirs.fill = time.Since(began)
		var dirs []string
		for i := range e.nodes {
			dirs = append(dirs, e.memberDir(i))
		}
		if err := theirs.look(ctx, e.pids(), dirs); err != nil {
			return err
		}
		theirs.restart, err = e.restart(ctx, keys)
		return err
	})
	if err != nil {
		return err
	}
	what := func(text string) string { return fmt.Sprintf("%s, %d ConfigMaps of 1 KB, N=3", text, keys) }
	b.figure("P13", what("RSS of a node"), "MiB", "etcd", atMost("<= 0.75x", 0.75)).add(ours.rss, theirs.rss)
	b.figure("P13", what("- of which anonymous"), "MiB", "etcd", goal{}).add(ours.anon, theirs.anon)
	b.figure("P13", what("disk of a node"), "MB", "etcd", goal{}).add(ours.disk, theirs.disk)
	b.figure("P13", what("restart after SIGKILL, until all are served"), "s", "etcd", goal{}).add(ours.restart.Seconds(), theirs.restart.Seconds())
	b.figure("P13", what("filled by 64 clients"), "s", "etcd", goal{}).add(ours.fill.Seconds(), theirs.fill.Seconds())
	return nil
}

type load13 struct {
	rss, anon, disk float64 // medians over the nodes
	fill, restart   time.Duration
}

func (l *load13) look(ctx context.Context, pids []int, dirs []string) error {
	rss, err := settledMemory(ctx, pids)
	if err != nil {
		return err
	}
	l.rss, l.anon = rss["VmRSS"].median(), rss["RssAnon"].median()
	var disks series
	for _, dir := range dirs {
		bytes, err := diskBytes(dir)
		if err != nil {
			return err
		}
		disks = append(disks, bytes/1e6)
	}
	l.disk = disks.median()
	return nil
}

// restart cuts the power of the last node and returns how long `start` and the
// first full list take.
func (t *testnet) restart(ctx context.Context, a *httpAPI, keys int) (time.Duration, error) {
	last := len(t.nodes) - 1
	if _, err := t.run(ctx, "testnet", "kill", t.nodes[last], "--dir", t.dir); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := t.run(ctx, "testnet", "start", t.nodes[last], "--dir", t.dir); err != nil {
		return 0, err
	}
	err := a.awaitKeys(ctx, last, keys)
	return time.Since(began), err
}

func (e *etcd) restart(ctx context.Context, keys int) (time.Duration, error) {
	last := len(e.nodes) - 1
	e.nodes[last].kill()
	began := time.Now()
	if err := e.start(e.nodes[last].cmd.Path, last); err != nil {
		return 0, err
	}
	err := await(ctx, func() error {
		if err := e.nodes[last].ended(); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		have, err := e.clients[last].count(try, etcdPrefix)
		if err == nil && have < keys {
			err = fmt.Errorf("the member shows %d of %d keys", have, keys)
		}
		return err
	})
	return time.Since(began), err
}

// settledMemory waits until the memory of processes has settled and returns it
// by line of /proc/PID/status.
func settledMemory(ctx context.Context, pids []int) (map[string]series, error) {
	say("waiting until memory has settled")
	var last series
	for began := time.Now(); ; {
		if err := sleep(ctx, settleTime); err != nil {
			return nil, err
		}
		now := map[string]series{}
		for _, pid := range pids {
			if err := addMemory(pid, now); err != nil {
				return nil, err
			}
		}
		if settled(last, now["RssAnon"]) || time.Since(began) > settleMax {
			return now, nil
		}
		last = now["RssAnon"]
	}
}

func settled(before, now series) bool {
	if len(before) != len(now) {
		return false
	}
	for i := range now {
		if d := now[i] - before[i]; d > settleSlack || d < -settleSlack {
			return false
		}
	}
	return true
}

// addMemory reads /proc/PID/status (proc(5)), in kB there.
func addMemory(pid int, to map[string]series) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "VmRSS" || name == "VmHWM" || name == "RssAnon" || name == "RssFile" {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				return err
			}
			to[name] = append(to[name], float64(kib)/1024)
		}
	}
	return nil
}
