package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holon/runtime"
)

// Kill kills every process of every pod of the node with this state directory,
// shims too, as a power cut would. It needs no daemon; one that runs would see
// the containers as Exited and may start them again, so end it first. Files
// stay: the next daemon finds the pods Exited with 137.
func Kill(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all error
	if track := findCgroups(dir).track; track != "" {
		all = killCgroup(track)
	}
	var shims []processID
	err = eachAttempt(dir, func(path string) {
		var state attemptState
		if readJSON(filepath.Join(path, stateFile), stateFileBytesMax, &state) == nil && state.Phase != exited {
			all = errors.Join(all, state.Shim.signal(killSignal), state.Main.signal(killSignal))
			shims = append(shims, state.Shim)
		}
	})
	all = errors.Join(all, err, killMarked(podsDir(dir)))
	for _, s := range shims {
		s.awaitGone(killTimeout)
	}
	return errors.Join(all, runtime.ForgetMemory(runtime.MemoryDir(dir), "")) // a power cut empties memory
}

// Clean is Kill, and removes the pods' files and control groups: nothing of
// the node's pods is left.
func Clean(dir string) error {
	if err := Kill(dir); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	groups := findCgroups(real)
	for _, tree := range groups.podPaths("") {
		err = errors.Join(err, removeCgroup(tree))
		os.Remove(filepath.Dir(tree)) // shared by all nodes of the host; the last one succeeds
	}
	pods, _ := os.ReadDir(podsDir(real))
	for _, p := range pods {
		err = errors.Join(err, runtime.UnmountIn(filepath.Dir(volumeDir(filepath.Join(podsDir(real), p.Name()), "x"))))
	}
	return errors.Join(err, runtime.ForgetMemory(runtime.MemoryDir(real), ""), os.RemoveAll(podsDir(real)))
}

// eachAttempt visits every attempt directory of a state directory.
func eachAttempt(dir string, visit func(path string)) error {
	pods, err := os.ReadDir(podsDir(dir))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, p := range pods {
		pod := podDir(dir, runtime.RunID(p.Name()))
		containers, err := os.ReadDir(filepath.Join(pod, "containers"))
		if err := ignoreMissing(err); err != nil {
			return err
		}
		for _, c := range containers {
			numbers, err := attempts(containerDir(pod, c.Name()))
			if err != nil {
				return err
			}
			for _, n := range numbers {
				visit(attemptDir(pod, c.Name(), n))
			}
		}
	}
	return nil
}

// waitOr waits for done, at most limit.
func waitOr(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
