package story

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Performer is a world that a story is played in.
type Performer interface {
	// Do performs a command that is no expectation.
	Do(c Command) error
	// Look says in what way an expectation does not hold now; nil: it does.
	Look(c Command) error
	// Until looks until look returns nil, as long as the limit says in this
	// world's time; what says what for.
	Until(limit time.Duration, what string, look func() error) error
	// Scheduler names the node that schedules a workload.
	Scheduler(workload string) (string, error)
}

// Play plays a story to its end, or to what went wrong.
func Play(s Story, p Performer) error {
	names := map[string]string{} // what let has named
	for _, c := range s.Commands {
		err := c.fill(names)
		if err == nil && c.Verb == "let" {
			names[c.Args[0]], err = p.Scheduler(c.Args[2])
		} else if err == nil {
			err = Perform(c, p)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", s.Name, c.Line, c, err)
		}
	}
	return nil
}

// Perform performs one command, which names nothing that let has named.
func Perform(c Command, p Performer) error {
	switch {
	case c.Verb != "expect":
		return p.Do(c)
	case c.Within > 0:
		return p.Until(c.Within, c.what(), func() error { return p.Look(c) })
	}
	return p.Look(c)
}

// what is a command without its limit.
func (c Command) what() string {
	c.Within = 0
	return c.String()
}

// fill puts names in the places of what stands for them.
func (c *Command) fill(names map[string]string) (err error) {
	name := func(word string) string {
		v, ok := strings.CutPrefix(word, "$")
		if !ok {
			return word
		}
		if names[v] == "" {
			err = fmt.Errorf("nothing is called %s yet", v)
		}
		return names[v]
	}
	c.Args, c.Options = slices.Clone(c.Args), maps.Clone(c.Options)
	for i, a := range c.Args {
		c.Args[i] = name(a)
	}
	for option, value := range c.Options {
		c.Options[option] = name(value)
	}
	return err
}
