package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holon/testnet/live/hosts"
	"holon/testnet/story"
)

const (
	webImage = "localhost/holon-web:demo"
	// webManifest is what `apply` of a story applies: name, replicas.
	webManifest = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: ` + webImage + `
        imagePullPolicy: IfNotPresent
        command: ["web"]
        env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        resources: {requests: {cpu: 10m, memory: 16Mi}}
`
)

// performer plays stories on hosts. All workloads run the program web, so there is
// one at a time.
type performer struct {
	t      *testing.T
	fabric *hosts.Fabric
	kept   []hosts.Replica
}

// asked are the hosts that a command is about.
func (p *performer) asked(c story.Command) []*hosts.Host {
	var all []*hosts.Host
	for _, h := range p.fabric.Hosts {
		if on := c.Nodes("on"); slices.Contains(on, h.Name) || len(on) == 0 && h.Up() && h.Plugged() {
			all = append(all, h)
		}
	}
	return all
}

// holon types a command to the first host that the story's command is about.
func (p *performer) holon(c story.Command, stdin string, args ...string) (string, error) {
	asked := p.asked(c)
	if len(asked) == 0 {
		return "", errors.New("no node is there to be asked")
	}
	return asked[0].Holon(p.t.Context(), stdin, args...)
}

func (p *performer) Do(c story.Command) error {
	switch c.Verb {
	case "nodes":
		count, err := strconv.Atoi(c.Args[0])
		if err != nil || p.fabric != nil && len(p.fabric.Hosts) == count {
			return err
		}
		return p.found(count)
	case "apply":
		replicas, err := strconv.Atoi(c.Options["replicas"])
		if err != nil {
			return err
		}
		_, err = p.holon(c, fmt.Sprintf(webManifest, c.Args[0], replicas), "apply", "-f", "-")
		return err
	case "label":
		_, err := p.holon(c, "", "label", "deploy/"+c.Args[0], c.Args[1], "--overwrite")
		return err
	case "delete":
		_, err := p.holon(c, "", "delete", "deploy", c.Args[0])
		return err
	case "run":
		d, err := time.ParseDuration(c.Args[0])
		time.Sleep(d)
		return err
	case "keep":
		now, err := p.fabric.Replicas("web")
		p.kept = now
		return err
	}
	return p.disturb(c)
}

// disturb breaks or mends something.
func (p *performer) disturb(c story.Command) error {
	ctx, f := p.t.Context(), p.fabric
	switch c.Verb {
	case "cut":
		return f.Partition(ctx, c.Sides()...)
	case "oneway":
		return f.OneWay(ctx, c.Args[0], c.Args[1])
	case "loss":
		percent, err := strconv.Atoi(c.Args[0])
		if err != nil {
			return err
		}
		return f.Loss(ctx, percent, c.Args[1:]...)
	case "heal":
		return f.Heal(ctx)
	case "readdress":
		return f.ChangeAddress(ctx, c.Args...)
	case "crash":
		return p.each(c.Args, func(h *hosts.Host) error { return h.Kill(ctx) })
	case "power":
		return p.each(c.Args, func(h *hosts.Host) error { return h.PowerCut(ctx) })
	case "unplug":
		return p.each(c.Args, func(h *hosts.Host) error { return h.LinkDown(ctx) })
	case "start":
		return p.each(c.Args, func(h *hosts.Host) error { return h.Start(ctx, "") })
	case "podman":
		if c.Args[0] == "down" {
			return p.each(c.Args[1:], func(h *hosts.Host) error { return h.KillPodman(ctx) })
		}
		return p.each(c.Args[1:], func(h *hosts.Host) error { return h.StartPodman(ctx) })
	}
	return errors.New("real hosts do not know this")
}

func (p *performer) each(names []string, do func(h *hosts.Host) error) error {
	var all []*hosts.Host
	for _, name := range names {
		h, err := p.fabric.Host(name)
		if err != nil {
			return err
		}
		all = append(all, h)
	}
	return hosts.Each(all, do)
}

// Until has far more patience than a story asks for: real time is not asserted.
func (p *performer) Until(limit time.Duration, what string, look func() error) error {
	began := time.Now()
	for {
		err := look()
		took := time.Since(began)
		switch {
		case err == nil:
			p.t.Logf("%.1f s until %s", took.Seconds(), what)
			return nil
		case took > limit+patience:
			return fmt.Errorf("not within %v: %w", limit+patience, err)
		}
		time.Sleep(lookEvery)
	}
}

func (p *performer) Scheduler(workload string) (string, error) {
	var w why
	err := p.read(story.Command{}, &w, "why", "deploy/"+workload)
	return w.Scheduler, err
}

// read types a command that prints JSON.
func (p *performer) read(c story.Command, into any, args ...string) error {
	out, err := p.holon(c, "", append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

func (p *performer) Look(c story.Command) error {
	switch c.Args[0] {
	case "equal":
		return p.equal(c)
	case "exact":
		return p.exact(c)
	case "kept":
		return p.lost(c, func(a, b hosts.Replica) bool { return a == b })
	case "again":
		return p.lost(c, func(a, b hosts.Replica) bool { return a.Host == b.Host && a.Pod == b.Pod })
	}
	for _, h := range p.asked(c) {
		at := c
		at.Options = maps.Clone(c.Options)
		at.Options["on"] = h.Name
		if err := p.lookAt(at); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// lost says which of the kept replicas do not run.
func (p *performer) lost(c story.Command, same func(a, b hosts.Replica) bool) error {
	now, err := p.fabric.Replicas("web")
	if err != nil {
		return err
	}
	found := 0
	for _, r := range p.kept {
		if at := c.Options["at"]; slices.Contains(c.Nodes("off"), r.Host) || at != "" && at != r.Host {
			continue
		}
		found++
		if !slices.ContainsFunc(now, func(n hosts.Replica) bool { return same(r, n) }) {
			return fmt.Errorf("%v does not run: %v", r, now)
		}
	}
	if found == 0 {
		return errors.New("nothing of it was kept")
	}
	return nil
}

// lookAt compares what one node says.
func (p *performer) lookAt(c story.Command) error {
	name := c.Args[0]
	if name == "label" {
		name = c.Args[1]
	}
	var web struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct{ Replicas int }
	}
	if err := p.read(c, &web, "get", "deploy", name); err != nil {
		return err
	}
	if c.Args[0] == "label" {
		if label, value, _ := strings.Cut(c.Args[2], "="); web.Metadata.Labels[label] != value {
			return fmt.Errorf("label %s is %q", label, web.Metadata.Labels[label])
		}
		return nil
	}
	if want := c.Options["replicas"]; want != "" && fmt.Sprint(web.Spec.Replicas) != want {
		return fmt.Errorf("%d replicas", web.Spec.Replicas)
	}
	if c.Options["ready"] == "" {
		return nil
	}
	pods, err := p.pods(c, name)
	if err != nil {
		return err
	}
	ready := slices.DeleteFunc(slices.Clone(pods), func(one pod) bool { return !one.ready() || slices.Contains(c.Nodes("off"), one.node()) })
	if fmt.Sprint(len(ready)) != c.Options["ready"] {
		return fmt.Errorf("%d pods are Ready: %v", len(ready), describe(pods))
	}
	return nil
}

func (p *performer) pods(c story.Command, workload string) ([]pod, error) {
	var list struct{ Items []pod }
	err := p.read(c, &list, "get", "pods", "-l", "app="+workload)
	return list.Items, err
}

// exact compares processes with slots: each wanted slot has one, and there are no
// others.
func (p *performer) exact(c story.Command) error {
	var web struct{ Spec struct{ Replicas int } }
	if err := p.read(c, &web, "get", "deploy", c.Args[1]); err != nil {
		return err
	}
	pods, err := p.pods(c, c.Args[1])
	if err != nil {
		return err
	}
	slot := map[string]string{}
	for _, one := range pods {
		slot[one.name()] = one.Metadata.Annotations["holon.dev/slot"]
	}
	now, err := p.fabric.Replicas("web")
	if err != nil {
		return err
	}
	slots := map[string]bool{}
	for _, r := range now {
		slots[slot[r.Pod]] = true
	}
	if len(now) != web.Spec.Replicas || len(slots) != len(now) || slots[""] {
		return fmt.Errorf("want %d slots, each once; processes: %v; pods: %v", web.Spec.Replicas, now, describe(pods))
	}
	return nil
}

// equal compares what nodes have of objects, but for the version, which is each
// node's own.
func (p *performer) equal(c story.Command) error {
	var first, name string
	for _, h := range p.asked(c) {
		text := ""
		for _, kind := range []string{"deployments", "configmaps", "pods"} {
			var list struct {
				Items []struct {
					Metadata   map[string]any
					Spec, Data any
				}
			}
			if err := p.read(story.Command{Options: map[string]string{"on": h.Name}}, &list, "get", kind, "-A"); err != nil {
				return err
			}
			for _, item := range list.Items {
				delete(item.Metadata, "resourceVersion")
				line, err := json.Marshal(item)
				if err != nil {
					return err
				}
				text += string(line) + "\n"
			}
		}
		if name == "" {
			first, name = text, h.Name
		}
		if text != first {
			return fmt.Errorf("%s has\n%s%s has\n%s", name, first, h.Name, text)
		}
	}
	return nil
}

func (p *performer) allReady(want int) error {
	for _, h := range p.fabric.Hosts {
		out, err := h.Holon(p.t.Context(), "", "get", "nodes")
		if err != nil {
			return err
		}
		if strings.Count(out, " Ready ") != want {
			return fmt.Errorf("%s sees\n%s", h.Name, out)
		}
	}
	return nil
}

// restore mends everything and deletes the workload, for the next story.
func (p *performer) restore() error {
	ctx := p.t.Context()
	if err := p.fabric.Heal(ctx); err != nil {
		return err
	}
	err := hosts.Each(p.fabric.Hosts, func(h *hosts.Host) (err error) {
		if !h.Up() {
			err = h.Start(ctx, "")
		}
		if err == nil && !h.PodmanUp() {
			err = h.StartPodman(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := p.Do(story.Command{Verb: "delete", Args: []string{"web"}}); err != nil {
		return err
	}
	err = p.Until(patience, "all is well and nothing runs", func() error {
		left, err := p.fabric.Replicas("web")
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%v run still", left)
		}
		return errors.Join(err, p.allReady(len(p.fabric.Hosts)))
	})
	if err != nil {
		return fmt.Errorf("all well and nothing there: %w", err)
	}
	return nil
}
