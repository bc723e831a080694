package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is one run of all measurements.
type bench struct {
	options
	holon string
}

// series are the samples of one quantity.
type series []float64

func (s series) min() float64 { return slices.Min(s) }
func (s series) max() float64 { return slices.Max(s) }
func (s series) median() float64 {
	t := slices.Sorted(slices.Values(s))
	return (t[(len(t)-1)/2] + t[len(t)/2]) / 2
}

// results is what the report is made of.
type results struct {
	size      int64
	ready     map[int]series    // seconds, by nodes
	rss       map[string]series // MiB, by line of /proc/PID/status
	scheduler series            // seconds
	other     series
	dead      series
	began     time.Time
	load      string
}

var sizes = []int{3, 5, 10}

func (b *bench) all(ctx context.Context) (string, error) {
	r := results{ready: map[int]series{}, rss: map[string]series{}, began: time.Now(), load: load()}
	info, err := os.Stat(b.holon)
	if err != nil {
		return "", fmt.Errorf("%w; 'make build web' makes it", err)
	}
	r.size = info.Size()
	if err := b.readyTimes(ctx, &r); err != nil {
		return "", err
	}
	if err := b.memory(ctx, &r); err != nil {
		return "", err
	}
	if err := b.replacements(ctx, &r); err != nil {
		return "", err
	}
	return b.report(&r), nil
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (b *bench) readyTimes(ctx context.Context, r *results) error {
	for _, n := range sizes {
		for range b.rounds {
			t, took, err := b.start(ctx, n)
			if err != nil {
				return err
			}
			if err := t.end(); err != nil {
				return err
			}
			say("%d nodes Ready after %.2f s", n, took.Seconds())
			r.ready[n] = append(r.ready[n], took.Seconds())
		}
	}
	return nil
}

// Memory counts as settled when no node's own pages have changed by more than
// settleSlack for settleTime.
const (
	settleTime  = 15 * time.Second
	settleSlack = 1.0 // MiB
	settleMax   = 2 * time.Minute
)

// memory measures the nodes of an idle testnet of ten.
func (b *bench) memory(ctx context.Context, r *results) (err error) {
	t, _, err := b.start(ctx, 10)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	pids, err := t.pids(ctx)
	if err != nil {
		return err
	}
	say("ten idle nodes: waiting until their memory has settled")
	var last series
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleTime):
		}
		now := map[string]series{}
		for _, pid := range pids {
			if err := addMemory(pid, now); err != nil {
				return err
			}
		}
		r.rss = now
		if settled(last, now["RssAnon"]) || time.Since(began) > settleMax {
			say("RSS %.0f MiB (median), of which anonymous %.0f", now["VmRSS"].median(), now["RssAnon"].median())
			return nil
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

func (t *testnet) pids(ctx context.Context) ([]int, error) {
	out, err := t.run(ctx, "testnet", "status", "-o", "json", "--dir", t.dir)
	if err != nil {
		return nil, err
	}
	var nodes []struct{ PID int }
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		return nil, err
	}
	var pids []int
	for _, n := range nodes {
		pids = append(pids, n.PID)
	}
	return pids, nil
}

// addMemory reads /proc/PID/status (proc(5)), in kB there.
func addMemory(pid int, to map[string]series) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "VmRSS" || name == "RssAnon" || name == "RssFile" {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				return err
			}
			to[name] = append(to[name], float64(kib)/1024)
		}
	}
	return nil
}

const replicas = 10

// replacements cuts the power of nodes and kills containers under a deployment.
func (b *bench) replacements(ctx context.Context, r *results) (err error) {
	t, _, err := b.start(ctx, 5)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	if _, err := t.run(ctx, "--kubeconfig", filepath.Join(t.dir, "kubeconfig"), "apply", "-f", b.manifest); err != nil {
		return err
	}
	if _, err := t.run(ctx, "--kubeconfig", filepath.Join(t.dir, "kubeconfig"), "scale", "deploy/web", "--replicas", fmt.Sprint(replicas)); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if r.dead, err = b.deadContainers(ctx, t); err != nil {
		return err
	}
	if r.scheduler, err = b.powerCuts(ctx, t, true); err != nil {
		return err
	}
	r.other, err = b.powerCuts(ctx, t, false)
	return err
}

// settle waits until every node shows exactly the wanted replicas, all serving.
func (t *testnet) settle(ctx context.Context) error {
	for _, node := range t.nodes {
		if err := t.serving(ctx, node, replicas, "", true); err != nil {
			return err
		}
	}
	return nil
}

// powerCuts kills, one after the other, nodes that schedule the deployment, or
// that do not and run a part of it. The clock runs from before the kill until
// all replicas answer from other nodes.
func (b *bench) powerCuts(ctx context.Context, t *testnet, scheduler bool) (series, error) {
	var took series
	for i := range b.cuts {
		first, err := t.scheduler(ctx, t.nodes[0])
		if err != nil {
			return nil, err
		}
		victim := first
		if !scheduler {
			rest := slices.DeleteFunc(slices.Clone(t.nodes), func(n string) bool { return n == first })
			victim = rest[i%len(rest)]
		}
		witness := t.nodes[0]
		if victim == witness {
			witness = t.nodes[1]
		}
		began := time.Now()
		if _, err := t.run(ctx, "testnet", "kill", victim, "--dir", t.dir); err != nil {
			return nil, err
		}
		if err := t.serving(ctx, witness, replicas, victim, false); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
		say("power cut of %s (scheduler: %v): all replicas serve after %.2f s", victim, scheduler, took[len(took)-1])
		if _, err := t.run(ctx, "testnet", "start", victim, "--dir", t.dir); err != nil {
			return nil, err
		}
		if err := t.settle(ctx); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// deadContainers kills the program of one pod after the other, each once, since a
// second death in a row waits for a back-off.
func (b *bench) deadContainers(ctx context.Context, t *testnet) (series, error) {
	pods, err := t.pods(ctx, t.nodes[0])
	if err != nil {
		return nil, err
	}
	var took series
	for i := range min(b.cuts, len(pods)) {
		p := &pods[i]
		before, err := t.fetch(ctx, p)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := killProgram(p.Metadata.Name); err != nil {
			return nil, err
		}
		err = await(ctx, func() error {
			now, err := t.fetch(ctx, p)
			if err == nil && now == before {
				err = fmt.Errorf("%s has not been restarted", p.Metadata.Name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
		say("dead container of %s: serves again after %.2f s", p.Metadata.Name, took[len(took)-1])
	}
	return took, nil
}

// killProgram kills the process that serves a pod, found by its environment.
func killProgram(pod string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || filepath.Base(exe) != "web" {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00POD_NAME="+pod+"\x00") {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		return p.Kill()
	}
	return fmt.Errorf("no process serves %s", pod)
}
