package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startTimes measures `holon testnet up`.
func startTimes(ctx context.Context, b *bench) error {
	sizes := map[int]goal{3: {}, 5: {}, 10: atMost("<= 5 s", 5)}
	for range b.rounds {
		for _, n := range []int{3, 5, 10} {
			t, took, err := b.start(ctx, n)
			if err != nil {
				return err
			}
			if err := t.end(); err != nil {
				return err
			}
			b.figure("start", fmt.Sprintf("`testnet up`, %d nodes, until all see all Ready", n), "s", "", sizes[n]).add(took.Seconds(), 0)
		}
	}
	return nil
}

func programSize(_ context.Context, b *bench) error {
	info, err := os.Stat(b.holon)
	if err != nil {
		return err
	}
	b.figure("size", "the program, stripped", "MB", "", atMost("<= 60 MB", 60)).add(float64(info.Size())/1e6, 0)
	return nil
}

const replicas = 10

// replacements cuts the power of nodes and kills containers under a deployment.
func replacements(ctx context.Context, b *bench) (err error) {
	t, _, err := b.start(ctx, 5)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	config := filepath.Join(t.dir, "kubeconfig")
	if _, err := t.run(ctx, "--kubeconfig", config, "apply", "-f", b.manifest); err != nil {
		return err
	}
	if _, err := t.run(ctx, "--kubeconfig", config, "scale", "deploy/web", "--replicas", fmt.Sprint(replicas)); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if err := b.deadContainers(ctx, t); err != nil {
		return err
	}
	if err := b.powerCuts(ctx, t, true); err != nil {
		return err
	}
	return b.powerCuts(ctx, t, false)
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
func (b *bench) powerCuts(ctx context.Context, t *testnet, scheduler bool) error {
	what := "power cut of another node, until all replicas serve"
	if scheduler {
		what = "power cut of the scheduler, until all replicas serve"
	}
	for i := range b.cuts {
		first, err := t.scheduler(ctx, t.nodes[0])
		if err != nil {
			return err
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
			return err
		}
		if err := t.serving(ctx, witness, replicas, victim, false); err != nil {
			return err
		}
		b.figure("replace", what, "s", "", atMost("<= 4 s", 4)).add(time.Since(began).Seconds(), 0)
		if _, err := t.run(ctx, "testnet", "start", victim, "--dir", t.dir); err != nil {
			return err
		}
		if err := t.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deadContainers kills the program of one pod after the other, each once, since a
// second death in a row waits for a back-off.
func (b *bench) deadContainers(ctx context.Context, t *testnet) error {
	pods, err := t.pods(ctx, t.nodes[0])
	if err != nil {
		return err
	}
	for i := range min(b.cuts, len(pods)) {
		p := &pods[i]
		before, err := t.fetch(ctx, p)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := killProgram(p.Metadata.Name); err != nil {
			return err
		}
		err = await(ctx, func() error {
			now, err := t.fetch(ctx, p)
			if err == nil && now == before {
				err = fmt.Errorf("%s has not been restarted", p.Metadata.Name)
			}
			return err
		})
		if err != nil {
			return err
		}
		b.figure("replace", "dead container, until its pod serves again", "s", "", atMost("<= 1 s", 1)).add(time.Since(began).Seconds(), 0)
	}
	return nil
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
