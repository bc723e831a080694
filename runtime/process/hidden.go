package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// splitSecrets parts variables in two: those that a file may hold, and the values
// of Secrets. Of two variables with one name the later wins, as in Resolve.
func splitSecrets(c runtime.Container, env []string) (open, secrets []string) {
	secret := map[string]bool{}
	for _, e := range c.Env {
		secret[e.Name] = e.Secret
	}
	for _, variable := range env {
		if name, _, _ := strings.Cut(variable, "="); secret[name] {
			secrets = append(secrets, variable)
		} else {
			open = append(open, variable)
		}
	}
	return open, secrets
}

// hiddenFile is a file without a name, in memory: how variables get to a shim
// that may be on no disk and no command line.
func hiddenFile(variables []string) (*os.File, error) {
	fd, err := unix.MemfdCreate("holon", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hand secrets over in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "hidden")
	err = json.NewEncoder(f).Encode(variables)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("hand secrets over in memory: %w", err)
	}
	return f, nil
}

func readHidden(f *os.File) (variables []string, err error) {
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, startFileBytesMax)).Decode(&variables); err != nil {
		return nil, fmt.Errorf("take secrets over: %w", err)
	}
	return variables, nil
}

// secretsOf reads named variables from the environment that a program was started
// with, for a command that joins it. A program may have overwritten it: then the
// command goes without.
func secretsOf(main processID, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", main.PID))
	if err != nil || !main.alive() { // read first: it was a living main's
		return nil
	}
	var out []string
	for variable := range bytes.SplitSeq(data, []byte{0}) {
		if name, _, ok := strings.Cut(string(variable), "="); ok && slices.Contains(names, name) {
			out = append(out, string(variable))
		}
	}
	return out
}
