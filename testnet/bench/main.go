// Command bench measures holon beside what people would use instead: etcd,
// go-ds-crdt, raw GossipSub, raw Badger. Absolute times are noisy on shared
// machines, so what counts is the ratio of holon to a peer in one run, the two
// taken in turn, and its median over the rounds.
//
// What users meet (P1, P3, P7, P10, P13, start, replacement) is measured on real
// `holon up` processes through their API. What parts do (P2, P4, P5, P6, P12) is
// measured in this process, where the peers are, too.
// API is in between: a node without containers in a process of its own.
//
//	go run . -bin ../../bin -rows P1,P3 -rounds 5 -out ../../docs/benchmarks.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
)

type options struct {
	bin, manifest, out, rows string
	runtime                  string
	rounds, cuts             int
	quick                    bool
	profile                  string
	child                    string // a job, see namespace.go
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "../../bin", "directory of holon and web")
	flag.StringVar(&o.manifest, "manifest", "../../examples/web.yaml", "what is deployed")
	flag.StringVar(&o.out, "out", "", "where the report goes besides stdout; its hand-written part is kept")
	flag.StringVar(&o.rows, "rows", "", "rows to measure, as P1,P3,start; default: all")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each row: holon and its peers in turn")
	flag.IntVar(&o.cuts, "cuts", 10, "power cuts per kind of node, and dead containers")
	flag.StringVar(&o.runtime, "runtime", "process", "what runs pods on testnets: process or podman")
	flag.BoolVar(&o.quick, "quick", false, "less of everything: figures are provisional")
	flag.StringVar(&o.profile, "cpuprofile", "", "where a CPU profile of the bench goes: holon's parts run in it")
	flag.StringVar(&o.child, "child", "", "for the bench itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := run
	if o.child != "" {
		run = runChild
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	// Pods are host processes here and find `web` in PATH.
	if err := os.Setenv("PATH", bin+":"+os.Getenv("PATH")); err != nil {
		return err
	}
	b := newBench(o, filepath.Join(bin, "holon"))
	if _, err := os.Stat(b.holon); err != nil {
		return fmt.Errorf("%w; 'make build web' makes it", err)
	}
	wanted, err := selectRows(o.rows)
	if err != nil {
		return err
	}
	if err := b.profiled(func() error { return b.all(ctx, wanted) }); err != nil {
		return err
	}
	fmt.Print("\n", b.report(wanted))
	return nil
}

// profiled runs body under the CPU profiler if one was asked for.
func (b *bench) profiled(body func() error) error {
	if b.profile == "" {
		return body()
	}
	f, err := os.Create(b.profile)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return body()
}

// all measures the wanted rows. A row that fails does not keep the others from
// being measured, an interrupt does.
func (b *bench) all(ctx context.Context, wanted []row) error {
	var failed error
	for _, r := range wanted {
		say("== %s: %s", r.id, r.about)
		if err := r.run(ctx, b); err != nil {
			say("%s failed: %v", r.id, err)
			b.failures = append(b.failures, fmt.Sprintf("%s: %v", r.id, err))
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.id, err))
		}
		if ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
		if b.out == "" {
			continue
		}
		// After each row: a run of an hour that fails late has not been for nothing.
		if err := b.writeReport(wanted); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

func selectRows(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var wanted []row
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, r := range rows {
			if strings.EqualFold(r.id, strings.TrimSpace(name)) {
				wanted, found = append(wanted, r), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no row %q; there are %s", name, rowNames())
		}
	}
	return wanted, nil
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
