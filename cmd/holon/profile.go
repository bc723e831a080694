package main

import (
	"net/http"
	"os"
	goruntime "runtime"
	"runtime/pprof"
	"strconv"
	"time"
)

// profileEnv lets a test network's node be profiled; without it, and on every
// node that is not run with --testnet-control, nothing is offered.
const profileEnv = "HOLON_PROFILE"

const profileMax = time.Minute

// profiling says whether a node of a test network may be profiled.
func profiling() bool { return os.Getenv(profileEnv) != "" }

// serveProfile writes a profile for `go tool pprof`: of the CPU during
// ?seconds=N, or of the heap, goroutines and what else runtime/pprof knows.
func serveProfile(w http.ResponseWriter, r *http.Request, name string) {
	if name == "cpu" {
		seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
		length := time.Duration(seconds) * time.Second
		if err != nil || length <= 0 || length > profileMax {
			http.Error(w, "seconds must be 1 to 60", http.StatusBadRequest)
			return
		}
		if err := pprof.StartCPUProfile(w); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		defer pprof.StopCPUProfile()
		select {
		case <-r.Context().Done():
		case <-time.After(length):
		}
		return
	}
	profile := pprof.Lookup(name)
	if profile == nil {
		http.NotFound(w, r)
		return
	}
	goruntime.GC() // so that the heap profile is of now
	if err := profile.WriteTo(w, 0); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
