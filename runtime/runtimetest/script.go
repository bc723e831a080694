package runtimetest

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"holon/runtime"
)

// ScriptProgram is a HostConfig.Program for containers whose command is
// /bin/sh -c SCRIPT, with the statements of ParseScript.
func ScriptProgram(spec runtime.Spec, c runtime.Container, attempt int) (Program, error) {
	op := fmt.Sprintf("start container %s/%s", spec.Name, c.Name)
	if len(c.Command) != 3 || c.Command[0] != "/bin/sh" || c.Command[1] != "-c" {
		return Program{}, &runtime.Error{Kind: runtime.BadCommand, Op: op, Err: fmt.Errorf("command %q is not there", c.Command)}
	}
	p, err := ParseScript(c.Command[2])
	if err != nil {
		return Program{}, &runtime.Error{Kind: runtime.BadCommand, Op: op, Err: err}
	}
	for i, l := range p.Output {
		p.Output[i].Text = strings.ReplaceAll(l.Text, uuid, fmt.Sprintf("uuid of %s/%s/%d", spec.ID, c.Name, attempt))
	}
	return p, nil
}

// ParseScript reads the little of the shell that a simulated host runs:
// statements separated by ";" out of
//
//	echo WORDS        echo "$NAME words"       cat /proc/sys/kernel/random/uuid
//	sleep SECONDS     exec sleep SECONDS       exit CODE
//	trap 'STATEMENTS' TERM                     while :; do ANYTHING; done
//
// where while stays for ever, as sleep 1000 does, and keeps a core busy with "do :".
// Every script is a shell with a little memory.
func ParseScript(script string) (Program, error) {
	p := Program{TermCode: 143, Memory: 200 << 10}
	for _, s := range statements(script) {
		word, rest, _ := strings.Cut(s, " ")
		switch {
		case strings.HasPrefix(s, "while :"):
			p.RunFor = Never
			if strings.Contains(s, "do :") {
				p.CPU = 1000
			}
			return p, nil
		case word == "exit":
			code, err := strconv.Atoi(rest)
			if err != nil {
				return p, err
			}
			p.ExitCode = code
			return p, nil
		case word == "sleep" || strings.HasPrefix(s, "exec sleep "):
			seconds, err := strconv.ParseFloat(s[strings.LastIndex(s, " ")+1:], 64)
			if err != nil {
				return p, err
			}
			p.RunFor += time.Duration(seconds * float64(time.Second))
		case word == "echo":
			p.Output = append(p.Output, Line{p.RunFor, unquote(rest)})
		case s == uuid:
			p.Output = append(p.Output, Line{p.RunFor, uuid})
		case word == "trap":
			if err := p.trap(strings.TrimSuffix(rest, " TERM")); err != nil {
				return p, err
			}
		case s != "true":
			return p, fmt.Errorf("a simulated host does not run %q", s)
		}
	}
	return p, nil
}

func (p *Program) trap(quoted string) error {
	handler := unquote(quoted)
	if handler == "" {
		p.IgnoreTerm = true
		return nil
	}
	h, err := ParseScript(handler)
	if err != nil {
		return err
	}
	if h.RunFor == Never {
		return errors.New("a trap that never ends")
	}
	p.TermDelay, p.TermCode, p.TermOutput = h.RunFor, h.ExitCode, h.Output
	return nil
}

var statementRE = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^;'"])+`)

// statements splits at ";" outside quotes; a while loop is one statement.
func statements(script string) []string {
	head, loop, found := strings.Cut(script, "while :")
	if strings.Count(head, "'")%2 == 1 { // the loop is inside a quoted trap
		head, found = script, false
	}
	var out []string
	for _, s := range statementRE.FindAllString(head, -1) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	if found {
		out = append(out, "while :"+loop)
	}
	return out
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// interpolate replaces $NAME in a line by the container's environment.
func interpolate(text string, env []string) string {
	return os.Expand(text, func(name string) string {
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	})
}
