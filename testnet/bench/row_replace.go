package main

import (
	"bufio"
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

const replicas = 10

// replacements cuts the power of nodes and kills containers under a deployment.
func replacements(ctx context.Context, b *bench) error {
	return b.withReplicas(ctx, func(t *testnet) error {
		if err := b.deadContainers(ctx, t); err != nil {
			return err
		}
		for _, c := range []struct {
			what      string
			scheduler bool
		}{
			{"power cut of the scheduler, until all replicas serve", true},
			{"power cut of another node, until all replicas serve", false},
		} {
			err := b.powerCuts(ctx, t, c.scheduler, func(p powerCut) {
				b.figure("replace", c.what, "s", "", atMost("<= 4 s", 4)).add(p.served.Seconds(), 0)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// withReplicas runs body on a testnet of five nodes that serve a deployment.
func (b *bench) withReplicas(ctx context.Context, body func(t *testnet) error) (err error) {
	t, _, err := b.start(ctx, 5)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	if err := b.loadImage(ctx, t); err != nil {
		return err
	}
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
	return body(t)
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

// powerCut is what followed a power cut, counted from before the kill.
type powerCut struct {
	declared time.Duration // every other node shows the node as out of reach
	started  time.Duration // the last of its replicas has written its first line elsewhere
	served   time.Duration // all replicas answer from other nodes
}

// powerCuts kills, one after the other, nodes that schedule the deployment, or
// that do not and run a part of it.
func (b *bench) powerCuts(ctx context.Context, t *testnet, scheduler bool, add func(powerCut)) error {
	o := newOpinions(len(t.nodes))
	return t.overheard(ctx, o, func() error {
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
			if err := await(ctx, o.allAlive); err != nil {
				return err
			}
			cut, err := t.cutPower(ctx, o, victim)
			if err != nil {
				return err
			}
			add(cut)
			o.forget(slices.Index(t.nodes, victim))
			if _, err := t.run(ctx, "testnet", "start", victim, "--dir", t.dir); err != nil {
				return err
			}
			if err := t.settle(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// cutPower kills a node and watches what becomes of its replicas.
func (t *testnet) cutPower(ctx context.Context, o *opinions, victim string) (cut powerCut, err error) {
	witness := t.nodes[0]
	if victim == witness {
		witness = t.nodes[1]
	}
	before, err := t.pods(ctx, witness)
	if err != nil {
		return cut, err
	}
	began := time.Now()
	if _, err := t.run(ctx, "testnet", "kill", victim, "--dir", t.dir); err != nil {
		return cut, err
	}
	if err := t.serving(ctx, witness, replicas, victim, false); err != nil {
		return cut, err
	}
	cut.served = time.Since(began)
	var last time.Time
	if err := await(ctx, func() (err error) { last, err = o.declared(slices.Index(t.nodes, victim)); return err }); err != nil {
		return cut, err
	}
	cut.declared = last.Sub(began)
	lost := 0
	for _, p := range before {
		if p.Spec.NodeName == victim {
			lost++
		}
	}
	cut.started, err = t.lastStart(ctx, witness, victim, began, lost)
	return cut, err
}

// lastStart is when the last replica that has replaced one of a node's began to run,
// after a moment; there must be as many as were lost. The first line of the program's
// log is what it writes at the beginning of main, and the runtime stamps it.
func (t *testnet) lastStart(ctx context.Context, witness, victim string, after time.Time, lost int) (last time.Duration, err error) {
	pods, err := t.pods(ctx, witness)
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range pods {
		if pods[i].Spec.NodeName == victim {
			continue
		}
		at, err := t.firstLine(ctx, witness, pods[i].Metadata.Name)
		if err != nil {
			return 0, err
		}
		if at.After(after) {
			count, last = count+1, max(last, at.Sub(after))
		}
	}
	if count != lost {
		return 0, fmt.Errorf("%d replicas have begun since the power cut of %s, which ran %d", count, victim, lost)
	}
	return last, nil
}

// firstLine is when a pod's program has written the first line of its log.
func (t *testnet) firstLine(ctx context.Context, node, pod string) (time.Time, error) {
	body, err := t.open(ctx, node, "/api/v1/namespaces/default/pods/"+pod+"/log?timestamps=true")
	if err != nil {
		return time.Time{}, err
	}
	defer body.Close()
	line, err := bufio.NewReader(body).ReadString('\n')
	if err != nil {
		return time.Time{}, fmt.Errorf("log of %s: %w", pod, err)
	}
	stamp, _, _ := strings.Cut(line, " ")
	return time.Parse(time.RFC3339Nano, stamp)
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
