package runtime

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The table follows k8s.io/kubernetes third_party/forked/golang/expansion.
func TestExpand(t *testing.T) {
	vars := map[string]string{
		"VAR_A": "A", "VAR_B": "B", "VAR_REF": "$(VAR_A)", "VAR_DOLLAR": "$$", "VAR_EMPTY": "",
	}
	lookup := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	for in, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		"$(VAR_A)":                 "A",
		"___$(VAR_B)___":           "___B___",
		"$(VAR_A)$(VAR_B)":         "AB",
		"$(VAR_REF)":               "$(VAR_A)",
		"$(VAR_DOLLAR)$(VAR_A)":    "$$A",
		"x$(VAR_EMPTY)y":           "xy",
		"$(UNKNOWN)":               "$(UNKNOWN)",
		"$$(VAR_A)":                "$(VAR_A)",
		"$$$(VAR_A)":               "$A",
		"$$$$(VAR_A)":              "$$(VAR_A)",
		"$$":                       "$",
		"$":                        "$",
		"$$$":                      "$$",
		"a$b":                      "a$b",
		"$VAR_A":                   "$VAR_A",
		"${VAR_A}":                 "${VAR_A}",
		"$(VAR_A":                  "$(VAR_A",
		"$(VAR_A $(VAR_B)":         "$(VAR_A $(VAR_B)",
		"$()":                      "$()",
		"$((VAR_A))":               "$((VAR_A))",
		"foo$(VAR_A)bar$$(VAR_B)$": "fooAbar$(VAR_B)$",
	} {
		if got := Expand(in, lookup); got != want {
			t.Errorf("Expand(%q) = %q, want %q", in, got, want)
		}
	}
}

// Quoting every "$" of any text survives expansion, and text without "$(" or
// "$$" is left alone.
func TestExpandProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`([$()A]|[a-z])*`).Draw(t, "s")
		known := func(name string) (string, bool) { return "<" + name + ">", true }
		if got := Expand(strings.ReplaceAll(s, "$", "$$"), known); got != s {
			t.Fatalf("quoted %q came back as %q", s, got)
		}
		unknown := func(string) (string, bool) { return "", false }
		if got := Expand(s, unknown); got != strings.ReplaceAll(s, "$$", "$") && !strings.Contains(s, "$(") {
			t.Fatalf("%q with nothing known became %q", s, got)
		}
		name := rapid.StringMatching(`[A-Z_]{1,5}`).Draw(t, "name")
		quoted := strings.ReplaceAll(s, "$", "$$")
		if got, want := Expand(quoted+"$("+name+")"+quoted, known), s+"<"+name+">"+s; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestResolve(t *testing.T) {
	c := Container{
		Command: []string{"$(BIN)", "--ip=$(IP)"},
		Args:    []string{"$(LATER)", "$$(IP)", "$(NOBODY)"},
		Env: []Env{
			{Name: "BIN", Value: "serve"},
			{Name: "EARLY", Value: "$(LATER)"},
			{Name: "LATER", Value: "$(EARLY)!"},
			{Name: "IP", PodIP: true},
			{Name: "BIN", Value: "$(BIN)r"},
			{Name: "DOUBLE", Value: "$$(BIN)"},
			{Name: "TWICE", Value: "$(DOUBLE)"},
		},
	}
	command, args, env := c.Resolve("10.0.0.7")
	if want := []string{"server", "--ip=10.0.0.7"}; !slices.Equal(command, want) {
		t.Errorf("command %q, want %q", command, want)
	}
	if want := []string{"$(LATER)!", "$(IP)", "$(NOBODY)"}; !slices.Equal(args, want) {
		t.Errorf("args %q, want %q", args, want)
	}
	want := []string{"BIN=server", "EARLY=$(LATER)", "LATER=$(LATER)!", "IP=10.0.0.7", "DOUBLE=$(BIN)", "TWICE=$(BIN)"}
	if !slices.Equal(env, want) {
		t.Errorf("env %q, want %q", env, want)
	}
	if command, args, env := (Container{}).Resolve(""); command != nil || args != nil || env != nil {
		t.Errorf("an empty container resolves to %q %q %q", command, args, env)
	}
}

// A secret's value is nobody's reference, whatever it looks like.
func TestSecretsAreTakenAsTheyAre(t *testing.T) {
	c := Container{Command: []string{"$(S)"}, Env: []Env{
		{Name: "A", Value: "a"}, {Name: "S", Value: "$(A)$$x", Secret: true}, {Name: "B", Value: "$(S)"},
	}}
	command, _, env := c.Resolve("")
	if !slices.Equal(env, []string{"A=a", "S=$(A)$$x", "B=$(A)$$x"}) || !slices.Equal(command, []string{"$(A)$$x"}) {
		t.Errorf("%q %q", command, env)
	}
	if kept := c.WithoutSecrets(); kept.Env[1].Value != "" || kept.Env[0].Value != "a" || c.Env[1].Value == "" {
		t.Errorf("%+v from %+v", kept, c)
	}
}
