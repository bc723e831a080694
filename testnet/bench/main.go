// Command bench measures the holon program from outside, as its users meet it:
// size, memory, time to Ready, time from a power cut to the last served page.
// It prints what it does and writes a report in Markdown.
//
//	go run . -bin ../../bin -out ../../docs/benchmarks.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

type options struct {
	bin, manifest, out string
	rounds, cuts       int
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "../../bin", "directory of holon and web")
	flag.StringVar(&o.manifest, "manifest", "../../examples/web.yaml", "what is deployed")
	flag.StringVar(&o.out, "out", "", "where the report goes besides stdout")
	flag.IntVar(&o.rounds, "rounds", 5, "testnets started per size")
	flag.IntVar(&o.cuts, "cuts", 10, "power cuts per kind of node, and dead containers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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
	b := &bench{options: o, holon: filepath.Join(bin, "holon")}
	report, err := b.all(ctx)
	if err != nil {
		return err
	}
	fmt.Print("\n", report)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(report), 0o644)
}
