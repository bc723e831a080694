// Package story reads stories of what is done to a cluster and what must hold
// then. The same stories are played in the seeded world and on real hosts, so they
// say what both can check, and nothing of how long it took or who did it.
//
// A story has a command on each line; # begins a comment. Nodes are n1, n2...
//
//	nodes 5                           a cluster, or as many nodes of one, all well
//	apply web replicas=6 [on=n2]      create or change a Deployment
//	label web team=blue [on=n2]       set a label of it
//	delete web [on=n2]
//	cut n1 n2 n3 | n4 n5              sides that do not hear each other
//	oneway n1 n2                      n2 does not hear n1
//	loss 20 n1 n2                     percent of what these send or receive is lost
//	unplug n1                         silence: nobody is told
//	heal                              all of that is over
//	crash n1 n2                       daemons are killed; containers go on
//	power n1 n2                       all in these hosts ends at once
//	start n1 n2                       daemons, hosts with all they need
//	podman down n1, podman up n1      the runtime of a host
//	readdress [n1 n2]                 these nodes, or all, get other addresses
//	run 5s                            let time pass
//	let v scheduler web               $v is the node that schedules web now
//	keep web                          remember what runs, and where
//	expect ...                        what holds, or will within=10s
//
// Expectations. Without on= they are asked of every node that runs and is plugged
// in. The limit of within= is of virtual time in the seeded world, which asserts it;
// on real hosts there is a minute more, and what it took is printed.
//
//	expect web ready=6 [off=n1] [on=n2,n3]  so many pods are Ready, not counting those of n1
//	expect web replicas=6 [on=n2]     the field has that value
//	expect label web team=blue [on=n2]
//	expect equal                      these nodes hold the same objects
//	expect exact web                  on the hosts themselves, each slot runs once
//	expect kept web [off=n1]          all that keep remembered runs, never restarted
//	expect again web [at=n3]          all that keep remembered runs where it ran, maybe again
package story

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Command is one line of a story.
type Command struct {
	Line    int
	Verb    string
	Args    []string
	Options map[string]string
	Within  time.Duration
}

func (c Command) String() string {
	words := append([]string{c.Verb}, c.Args...)
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		words = append(words, name+"="+c.Options[name])
	}
	if c.Within > 0 {
		words = append(words, "within="+c.Within.String())
	}
	return strings.Join(words, " ")
}

// Nodes is a list of names that is given as an option.
func (c Command) Nodes(option string) []string {
	return strings.FieldsFunc(c.Options[option], func(r rune) bool { return r == ',' })
}

// Sides is what cut names.
func (c Command) Sides() [][]string {
	sides := [][]string{nil}
	for _, a := range c.Args {
		if a == "|" {
			sides = append(sides, nil)
			continue
		}
		sides[len(sides)-1] = append(sides[len(sides)-1], a)
	}
	return sides
}

// Story is a story.
type Story struct {
	Name     string
	Long     bool // on real hosts it is played only when there is time
	Commands []Command
}

// String is the story as it is written.
func (s Story) String() string {
	lines := make([]string, len(s.Commands))
	for i, c := range s.Commands {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n") + "\n"
}

// grammar says what may stand behind a verb; an expectation's are behind what it
// is about.
var grammar = map[string]struct {
	least, most int // arguments
	options     []string
}{
	"nodes": {1, 1, nil},
	"apply": {1, 1, []string{"replicas", "on"}}, "label": {2, 2, []string{"on"}}, "delete": {1, 1, []string{"on"}},
	"cut": {3, argsMax, nil}, "oneway": {2, 2, nil}, "loss": {2, argsMax, nil}, "heal": {0, 0, nil}, "unplug": {1, argsMax, nil},
	"crash": {1, argsMax, nil}, "power": {1, argsMax, nil}, "start": {1, argsMax, nil},
	"podman": {2, argsMax, nil}, "readdress": {0, argsMax, nil}, "run": {1, 1, nil},
	"let": {3, 3, nil}, "keep": {1, 1, nil},
	"expect": {1, 1, []string{"ready", "replicas", "off", "on", "within"}}, "expect label": {3, 3, []string{"on", "within"}},
	"expect equal": {1, 1, []string{"within"}}, "expect exact": {2, 2, []string{"within"}},
	"expect kept": {2, 2, []string{"off", "within"}}, "expect again": {2, 2, []string{"at", "within"}},
}

const argsMax = 20

// Parse reads a story.
func Parse(name, text string) (Story, error) {
	s := Story{Name: name}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		c, err := ParseLine(line)
		if err != nil {
			return Story{}, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		c.Line = i + 1
		s.Commands = append(s.Commands, c)
	}
	if len(s.Commands) == 0 || s.Commands[0].Verb != "nodes" {
		return Story{}, fmt.Errorf("%s: a story begins with 'nodes N'", name)
	}
	return s, nil
}

// ParseLine reads one command.
func ParseLine(line string) (Command, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return Command{}, errors.New("an empty line is no command")
	}
	c := Command{Verb: words[0], Options: map[string]string{}}
	rule, known := grammar[c.Verb]
	if c.Verb == "expect" && len(words) > 1 {
		if special, ok := grammar["expect "+words[1]]; ok {
			rule = special
		}
	}
	if !known {
		return c, fmt.Errorf("unknown command %q", c.Verb)
	}
	for _, w := range words[1:] {
		name, value, has := strings.Cut(w, "=")
		if !has || !slices.Contains(rule.options, name) {
			c.Args = append(c.Args, w)
			continue
		}
		if _, twice := c.Options[name]; twice || value == "" {
			return c, fmt.Errorf("%s: %q is there twice or empty", c.Verb, name)
		}
		c.Options[name] = value
	}
	if n := len(c.Args); n < rule.least || n > rule.most {
		return c, fmt.Errorf("%s: %d arguments, want %d to %d; options are %v", strings.Join(words, " "), n, rule.least, rule.most, rule.options)
	}
	if text, ok := c.Options["within"]; ok {
		var err error
		if c.Within, err = time.ParseDuration(text); err != nil {
			return c, err
		}
		delete(c.Options, "within")
	}
	return c, c.sense()
}

// sense refuses what would be a command that does nothing, or a check of nothing.
func (c Command) sense() error {
	switch {
	case c.Verb == "apply" && c.Options["replicas"] == "",
		c.Verb == "expect" && len(c.Args) == 1 && c.Args[0] != "equal" && (c.Options["ready"] == "") == (c.Options["replicas"] == ""),
		c.Verb == "let" && c.Args[1] != "scheduler",
		c.Verb == "podman" && c.Args[0] != "down" && c.Args[0] != "up",
		c.Verb == "cut" && !slices.Contains(c.Args, "|"):
		return fmt.Errorf("%s: this says nothing; see the package's comment", c)
	}
	return nil
}

// Those in stories/long are the long ones.
//
//go:embed stories
var files embed.FS

// All reads the stories that every world plays.
func All() ([]Story, error) {
	short, err1 := fs.Glob(files, "stories/*.txt")
	long, err2 := fs.Glob(files, "stories/long/*.txt")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var all []Story
	for _, name := range append(short, long...) {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s, err := Parse(strings.TrimSuffix(path.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		s.Long = slices.Contains(long, name)
		all = append(all, s)
	}
	return all, nil
}
