package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// replacementStarts is P9: the power of a node is cut; until the last of its replicas
// writes its first line on another node, beside what the same cuts took until every
// other node had declared it and what a container's start takes here.
func replacementStarts(ctx context.Context, b *bench) error {
	start, err := b.podmanStart(ctx)
	peer := "own detection p99 + 2x podman start"
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		say("no podman start is allowed for, as it cannot be measured here: %v", err)
		peer = "own detection p99"
	}
	for range b.rounds {
		err := b.withReplicas(ctx, func(t *testnet) error {
			for _, scheduler := range []bool{true, false} {
				what := "power cut of another node, " + b.runtime + " runtime"
				if scheduler {
					what = "power cut of the scheduler, " + b.runtime + " runtime"
				}
				var declared, started series
				err := b.powerCuts(ctx, t, scheduler, func(c powerCut) {
					declared, started = append(declared, millis(c.declared)), append(started, millis(c.started))
				})
				if err != nil {
					return err
				}
				b.figure("P9", what+fmt.Sprintf(", p99 of %d", len(started)), "ms", peer, atMost("<= 1.0x", 1)).
					add(started.quantile(0.99), declared.quantile(0.99)+2*start)
				for _, q := range []struct {
					name  string
					value float64
				}{{"p50", started.median()}, {"max", started.max()}} {
					b.figure("P9", "- "+what+", "+q.name, "ms", "", goal{}).add(q.value, 0)
				}
				b.figure("P9", "- "+what+", own detection p99", "ms", "", goal{}).add(declared.quantile(0.99), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if start > 0 {
		b.figure("P9", "- podman start", "ms", "", goal{}).add(start, 0)
	}
	return nil
}

// podmanStarts is how many starts the median is of.
const podmanStarts = 7

// podmanStart is how long `podman run` takes until the program's first line, in
// milliseconds: on the service that a testnet sets up here, with an image that is
// there, from before the client.
func (b *bench) podmanStart(ctx context.Context) (median float64, err error) {
	one := *b
	one.runtime = "podman"
	t, _, err := one.start(ctx, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	if err := b.loadImage(ctx, t); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(t.dir, "testnet.json"))
	if err != nil {
		return 0, err
	}
	var settings struct{ Podman string }
	if err := json.Unmarshal(text, &settings); err != nil {
		return 0, err
	}
	podman := func(args ...string) (string, error) {
		out, err := output(exec.CommandContext(ctx, "podman", append([]string{"--remote", "--url", settings.Podman}, args...)...))
		return strings.TrimSpace(out), err
	}
	var took series
	for range podmanStarts {
		began := time.Now()
		id, err := podman("run", "--detach", webImage, "web")
		if err != nil {
			return 0, err
		}
		// The file, since `podman logs` rounds to seconds.
		log, err := podman("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", id)
		if err != nil {
			return 0, err
		}
		var at time.Time
		err = await(ctx, func() error {
			text, err := os.ReadFile(log)
			if err != nil {
				return err
			}
			stamp, _, _ := strings.Cut(string(text), " ")
			at, err = time.Parse(time.RFC3339Nano, stamp)
			return err
		})
		if err != nil {
			return 0, err
		}
		took = append(took, millis(at.Sub(began)))
		if _, err := podman("rm", "--force", "--time", "0", id); err != nil {
			return 0, err
		}
	}
	return took.median(), nil
}
