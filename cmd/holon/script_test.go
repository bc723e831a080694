package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holon": func() {
		if len(os.Args) > 1 && os.Args[1] == "up" && os.Getenv("HOLON_FAKE_UP") != "" {
			os.Exit(fakeUp(os.Args[2:]))
		}
		os.Exit(run())
	}})
}

// TestScripts runs what a user could have typed. Each script has a user, a
// machine and, with the words "node here" in its first line, a node of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
			env.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
			env.Setenv("HOLON_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("KUBECONFIG", "")
			env.Defer(func() { endTestnets(t, env.WorkDir) })
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": startNode,
			"code": wantExitCode,
		},
	})
}

// endTestnets ends what a script that failed half-way has left running.
func endTestnets(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != stateFileName {
			return nil // being removed by its testnet
		}
		var state testnetState
		if err := readJSON(path, &state); err != nil {
			return err
		}
		for _, n := range state.Nodes {
			if err := n.Process.kill(context.Background()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// startNode starts a fake node in $HOLON_DATA_DIR, or in the directory named.
func startNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: node [dir]")
	}
	dir := ts.Getenv("HOLON_DATA_DIR")
	if len(args) == 1 {
		dir = ts.MkAbs(args[0])
	}
	t := &scriptT{ts: ts}
	startFakeNode(t, dir)
}

// scriptT lets a script's node use the helpers of tests.
type scriptT struct {
	testing.TB
	ts *testscript.TestScript
}

func (t *scriptT) Helper()           {}
func (t *scriptT) Fatal(args ...any) { t.ts.Fatalf("%v", args) }
func (t *scriptT) Cleanup(f func())  { t.ts.Defer(f) }

// wantExitCode runs holon and checks its exit code: code 2 get pods --bad.
func wantExitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: code N [args...]")
	}
	err := ts.Exec("holon", args[1:]...)
	got := "0"
	if err != nil {
		got = exitText(err)
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func exitText(err error) string {
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}
