package runtime

import "strings"

// Expand replaces each $(NAME) in s by what lookup says of NAME, as Kubernetes
// does: "$$" is a single "$" that begins no reference, and a reference that
// lookup does not know, like anything else after a "$", stays as it is.
// Replacements are not expanded again.
func Expand(s string, lookup func(name string) (value string, known bool)) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if rest, escaped := strings.CutPrefix(after, "$"); escaped {
			b.WriteByte('$')
			s = rest
			continue
		}
		s = after
		if strings.HasPrefix(after, "(") {
			if name, rest, closed := strings.Cut(after[1:], ")"); closed {
				value, known := lookup(name)
				if !known {
					value = "$(" + name + ")"
				}
				b.WriteString(value)
				s = rest
				continue
			}
		}
		b.WriteByte('$')
	}
}

// Resolve returns what a container runs once its pod's address is known:
// command and args with their references replaced, and its environment as
// unique NAME=value pairs. A variable may refer to those before it in Env;
// command and args to all. Of two variables with one name the later wins.
func (c Container) Resolve(podIP string) (command, args, env []string) {
	values := make(map[string]string, len(c.Env))
	lookup := func(name string) (string, bool) {
		v, known := values[name]
		return v, known
	}
	names := make([]string, 0, len(c.Env))
	for _, e := range c.Env {
		value := podIP
		switch {
		case e.Secret:
			value = e.Value
		case !e.PodIP:
			value = Expand(e.Value, lookup)
		}
		if _, again := values[e.Name]; !again {
			names = append(names, e.Name)
		}
		values[e.Name] = value
	}
	for _, name := range names {
		env = append(env, name+"="+values[name])
	}
	expandAll := func(in []string) (out []string) {
		for _, s := range in {
			out = append(out, Expand(s, lookup))
		}
		return out
	}
	return expandAll(c.Command), expandAll(c.Args), env
}
