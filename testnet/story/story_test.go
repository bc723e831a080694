package story

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What no performer could do anything sensible with is refused, with its place.
func TestParseRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"explode n1":                       "unknown command",
		"apply web":                        "says nothing",
		"apply web replicas=":              "twice or empty",
		"apply web replicas=1 replicas=2":  "twice or empty",
		"apply web speed=9":                "2 arguments",
		"cut n1 n2 n3":                     "says nothing",
		"oneway n1":                        "1 arguments",
		"heal n1":                          "1 arguments",
		"podman off n1":                    "says nothing",
		"let v first web":                  "says nothing",
		"expect web":                       "says nothing",
		"expect web ready=1 replicas=1":    "says nothing",
		"expect web ready=1 within=soon":   "invalid duration",
		"expect exact":                     "1 arguments",
		"expect exact web on=n1":           "3 arguments",
		"expect equal web":                 "2 arguments",
		"expect":                           "0 arguments",
		"run":                              "0 arguments",
		"expect label web team=blue off=n": "4 arguments",
	} {
		_, err := Parse("bad", "nodes 3\n# fine\n"+line)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "bad:3: ") {
			t.Errorf("%q: %v, want %q at bad:3", line, err, says)
		}
	}
	for _, text := range []string{"", "# nothing", "heal\nnodes 3"} {
		if _, err := Parse("bad", text); err == nil || !strings.Contains(err.Error(), "begins with") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is written as a command is read as the same command.
func TestWrittenAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		verbs := slices.DeleteFunc(slices.Sorted(maps.Keys(grammar)), func(v string) bool { return strings.HasPrefix(v, "expect ") || v == "expect" })
		verb := rapid.SampledFrom(verbs).Draw(t, "verb")
		rule, words := grammar[verb], []string{verb}
		for i := range rapid.IntRange(rule.least, min(rule.most, rule.least+3)).Draw(t, "arguments") {
			words = append(words, rapid.StringMatching("[a-z][a-z0-9]{0,4}").Draw(t, fmt.Sprint("argument ", i)))
		}
		for _, option := range rule.options {
			words = append(words, option+"="+rapid.StringMatching("[a-z0-9,]{1,5}").Draw(t, option))
		}
		line := strings.Join(words, " ")
		c, err := ParseLine(line)
		if err != nil {
			return // it says nothing
		}
		again, err := ParseLine(c.String())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%q is read as %#v, and what that writes as %#v (%v)", line, c, again, err)
		}
	})
}

// Every story asks for something after all that it does, and both kinds are there.
func TestStoriesExpect(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	long := 0
	for _, s := range all {
		if last := s.Commands[len(s.Commands)-1]; last.Verb != "expect" {
			t.Errorf("%s ends with %q: nobody looks what came of it", s.Name, last)
		}
		if s.Long {
			long++
		}
	}
	if long == 0 || long == len(all) {
		t.Errorf("%d of %d stories are long", long, len(all))
	}
}

// A made-up story is the same whenever its seed is, another one else, and is read as
// it is written.
func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		s, err := Random(seed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Random(seed)
		if err != nil || s.String() != again.String() {
			t.Errorf("seed %d is two stories: %v\n%s\n%s", seed, err, s, again)
		}
		if read, err := Parse("read", s.String()); err != nil || read.String() != s.String() {
			t.Errorf("seed %d is written as what is read otherwise: %v\n%s", seed, err, s)
		}
		if seen[s.String()] {
			t.Errorf("seed %d is the story of another seed", seed)
		}
		seen[s.String()] = true
	}
}

// script is a performer that writes down what it is told, and believes some of it.
type script struct {
	told []string
	lies string
}

func (p *script) Do(c Command) error {
	p.told = append(p.told, c.String())
	return nil
}

func (p *script) Look(c Command) error {
	p.told = append(p.told, "look "+c.String())
	if strings.Contains(c.String(), "exact") {
		return errors.New(p.lies)
	}
	return nil
}

func (p *script) Until(limit time.Duration, _ string, look func() error) error {
	p.told = append(p.told, "until "+limit.String())
	return look()
}

func (p *script) Scheduler(workload string) (string, error) { return "n3", nil }

// Names are put in their places, waits are waits, and the first expectation that
// does not hold ends the story, with its line.
func TestPlay(t *testing.T) {
	s, err := Parse("told", `nodes 3
let v scheduler web
cut n1 | $v # the rest is alone
expect web ready=2 on=n1,n2 off=$v within=3s
expect equal

expect exact web
heal
`)
	if err != nil {
		t.Fatal(err)
	}
	p := &script{lies: "two of them"}
	err = Play(s, p)
	if want := "told:7: expect exact web: two of them"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	want := []string{"nodes 3", "cut n1 | n3", "until 3s", "look expect web off=n3 on=n1,n2 ready=2 within=3s", "look expect equal", "look expect exact web"}
	if !slices.Equal(p.told, want) {
		t.Errorf("told %q, want %q", p.told, want)
	}
	if _, err := Parse("x", "nodes 1\nrun $v"); err != nil {
		t.Fatal(err)
	}
	s, _ = Parse("x", "nodes 1\npower $nobody")
	if err := Play(s, &script{}); err == nil || !strings.Contains(err.Error(), "nothing is called nobody") {
		t.Errorf("an unknown name: %v", err)
	}
}
