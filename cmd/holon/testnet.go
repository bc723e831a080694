package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

const testnetLong = `Run a whole cluster on this machine: every node is a real 'holon up' process with
an address of its own (127.77.K.1 for node nK), and every fault is real: killed
processes, stopped processes, cut links. The nodes go on after the command ends.

Each verb works on the testnet that was started last; --dir names another.`

const testnetExample = `  holon testnet up --nodes 5
  holon testnet kill n2                     # cut the power of n2
  holon testnet partition 'n1,n2|n3,n4,n5'  # cut the cluster in two
  holon testnet status
  holon testnet heal
  holon testnet start n2
  holon testnet down                        # leave nothing behind`

func newTestnetCommand(a *app) *cobra.Command {
	t := &testnetCommands{app: a}
	c := groupCommand("testnet", "Run a test cluster on this machine and break it", testnetLong, testnetExample,
		t.upCommand(), t.statusCommand(), t.killCommand(), t.startCommand(), t.pauseCommand(), t.resumeCommand(),
		t.partitionCommand(), t.healCommand(), t.loadImageCommand(), t.logsCommand(), t.downCommand())
	c.PersistentFlags().StringVar(&t.dir, "dir", "", "directory of the testnet (default: the one that was started last)")
	_ = c.MarkPersistentFlagDirname("dir")
	return c
}

// testnetCommands holds what the verbs share.
type testnetCommands struct {
	*app
	dir string
}

// testnet is one testnet, opened by a verb.
type testnet struct {
	*app
	dir   string
	state testnetState
}

// find locates the testnet that a verb means.
func (t *testnetCommands) find() (string, error) {
	if t.dir != "" {
		return filepath.Abs(t.dir)
	}
	return lastTestnet()
}

// open reads a testnet without locking it: for verbs that only look.
func (t *testnetCommands) open() (*testnet, error) {
	dir, err := t.find()
	if err != nil {
		return nil, err
	}
	n := &testnet{app: t.app, dir: dir}
	err = readJSON(n.stateFile(), &n.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no testnet in %s; start one with 'holon testnet up'", dir)
	}
	return n, err
}

// verbPatience bounds the wait for another verb. The longest is an `up`, which
// gives up by itself.
const verbPatience = 3 * time.Minute

// change opens a testnet, lets fn change it while no other verb can, and saves
// the state, also when fn fails half-way.
func (t *testnetCommands) change(ctx context.Context, fn func(*testnet) error) error {
	dir, err := t.find()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stateFileName)); err != nil {
		_, err := t.open()
		return err
	}
	wait := t.startProgress("waiting for another command on the testnet in %s", dir)
	unlock, err := lockFile(ctx, filepath.Join(dir, lockFileName), verbPatience)
	wait.stop()
	if errors.Is(err, errLocked) {
		return fmt.Errorf("the testnet in %s is not free after %v: %w", dir, verbPatience, err)
	}
	if err != nil {
		return err
	}
	defer unlock()
	n, err := t.open()
	if err != nil {
		return err
	}
	return errors.Join(fn(n), n.saveIfThere())
}
