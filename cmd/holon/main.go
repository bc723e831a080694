// Command holon is a node of a masterless container cluster, and the tool to
// talk to any of them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"holon/runtime/process"
)

func main() {
	// The process runtime starts one of these per container: nothing else of the
	// program is set up for it.
	if len(os.Args) > 1 && os.Args[1] == shimVerb {
		os.Exit(process.Shim(os.Args[2:]))
	}
	os.Exit(run())
}

// shimVerb is the first argument of a shim.
const shimVerb = "shim"

// run is main with an exit code, so that the CLI's scripts can call it.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process the hard way.
	context.AfterFunc(ctx, stop)
	a := &app{in: os.Stdin, out: &answer{file: os.Stdout}, err: os.Stderr}
	return a.execute(ctx, os.Args[1:])
}
