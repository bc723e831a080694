package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnplaced    = 3 // what-if: not everything would run
	exitInterrupted = 130
)

// usageError is the caller's mistake; it ends with exit code 2.
type usageError struct{ msg string }

func (e usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

// runError marks an error that a command's own work returned: whatever is not
// marked comes from cobra's parsing and is therefore wrong usage.
type runError struct{ err error }

func (e runError) Error() string { return e.err.Error() }
func (e runError) Unwrap() error { return e.err }

// remoteExit carries the exit code of a command that exec ran.
type remoteExit struct{ code int }

func (e remoteExit) Error() string {
	return fmt.Sprintf("command terminated with exit code %d", e.code)
}

// errUnplaced ends what-if with exitUnplaced after it has said everything.
var errUnplaced = errors.New("not everything would run")

// errPrinted ends a command with exit code 1 after it has said everything.
var errPrinted = errors.New("failed")

func markRunErrors(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if err := run(c, args); err != nil {
				return runError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		markRunErrors(c)
	}
}

// exitCode says what went wrong on stderr and returns the exit code for it.
func (a *app) exitCode(ctx context.Context, cmd *cobra.Command, err error) int {
	var (
		remote remoteExit
		usage  usageError
		ran    runError
	)
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.As(err, &remote):
		a.complain(remote.Error())
		return remote.code
	case errors.Is(err, errPrinted):
		return exitFailed
	case errors.Is(err, errUnplaced):
		return exitUnplaced
	case errors.As(err, &usage):
		a.complain(withHelpHint(usage.msg, cmd))
		return exitUsage
	case !errors.As(err, &ran):
		a.complain(withHelpHint(unknownRootCommand(cmd, err), cmd))
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	}
	a.complain(sentence(err))
	return exitFailed
}

func (a *app) complain(msg string) {
	say(a.err, "%s %s\n", paint(a.err, red, "holon:"), msg)
}

func withHelpHint(msg string, cmd *cobra.Command) string {
	if strings.Contains(msg, "--help'") {
		return msg
	}
	if strings.HasSuffix(msg, "?") {
		return fmt.Sprintf("%s See '%s --help'", msg, cmd.CommandPath())
	}
	return fmt.Sprintf("%s; see '%s --help'", msg, cmd.CommandPath())
}

// unknownRootCommand rewrites cobra's words for a command that does not exist.
func unknownRootCommand(root *cobra.Command, err error) string {
	var name string
	if _, scan := fmt.Sscanf(err.Error(), "unknown command %q", &name); scan == nil {
		return unknownCommand(root, name).Error()
	}
	return err.Error()
}

func unknownCommand(cmd *cobra.Command, name string) error {
	return usagef("unknown command %q%s", name, didYouMean(name, subcommandNames(cmd)))
}

// flagError gives an unknown flag its nearest neighbour.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return usageError{err.Error()}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	hint := ""
	if name := missing.GetSpecifiedName(); len(name) > 1 {
		hint = didYouMean("--"+name, names)
	}
	return usageError{err.Error() + hint}
}

// didYouMean is `, did you mean "x"?` if something near enough is known.
func didYouMean(word string, known []string) string {
	best, distance := "", len(word)/2+1
	sort.Strings(known)
	for _, k := range known {
		d := editDistance(word, k)
		if len(word) > 2 && strings.HasPrefix(k, word) {
			d = 1
		}
		if d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// editDistance counts the bytes to insert, delete, replace or swap with their
// neighbour that turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func hideFlag(f *pflag.Flag) { f.Hidden = true }

// Argument checks, with words instead of "accepts 1 arg(s), received 0".

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// wantArgs demands arguments and names them in the error when they are missing.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("expected %s", what)
		case most >= 0 && len(args) > most:
			return usagef("unexpected argument %q (expected %s)", args[most], what)
		}
		return nil
	}
}
