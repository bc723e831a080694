package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

type logOptions struct {
	follow, previous, timestamps, prefix, allContainers bool
	container, selector                                 string
	tail                                                int
	since                                               time.Duration
}

// logStreamsMax bounds how many logs are followed at once.
const logStreamsMax = 20

func newLogsCommand(a *app) *cobra.Command {
	var o logOptions
	c := &cobra.Command{
		Use:   "logs POD | KIND/NAME",
		Short: "Print the logs of a pod, whichever node runs it",
		Example: `  holon logs web-6d4cf56db6-x7k2p
  holon logs -f deploy/web              # one of its pods
  holon logs -l app=web --prefix        # all of its pods
  holon logs web-0 -c proxy --tail 20`,
		ValidArgsFunction: a.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (o.selector == "") || len(args) > 2 {
				return usagef("say which pod: POD, KIND/NAME such as deploy/web, or -l SELECTOR")
			}
			if len(args) == 2 { // kubectl's old spelling
				if o.container != "" {
					return usagef("unexpected argument %q", args[1])
				}
				o.container = args[1]
			}
			if o.selector != "" && !cmd.Flags().Changed("tail") {
				o.tail = 10
			}
			return a.logs(cmd.Context(), o, args)
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what comes")
	f.StringVarP(&o.container, "container", "c", "", "which container (default: the first)")
	f.BoolVar(&o.allContainers, "all-containers", false, "all containers of the pod")
	f.BoolVarP(&o.previous, "previous", "p", false, "of the run before the last restart")
	f.IntVar(&o.tail, "tail", -1, "only the last lines; -1: all (10 with -l)")
	f.DurationVar(&o.since, "since", 0, "only what is newer, such as 5m")
	f.BoolVar(&o.timestamps, "timestamps", false, "begin each line with its time")
	f.BoolVar(&o.prefix, "prefix", false, "begin each line with pod and container")
	f.StringVarP(&o.selector, "selector", "l", "", "all pods with these labels")
	return c
}

// logSource is one container's log.
type logSource struct{ namespace, pod, container string }

func (a *app) logs(ctx context.Context, o logOptions, args []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	pods, err := a.logPods(ctx, c, o, args)
	if err != nil {
		return err
	}
	var sources []logSource
	for i := range pods {
		names, err := a.logContainers(&pods[i], o)
		if err != nil {
			return err
		}
		for _, name := range names {
			sources = append(sources, logSource{pods[i].Namespace, pods[i].Name, name})
		}
	}
	if len(sources) > logStreamsMax && o.follow {
		return fmt.Errorf("that would follow %d logs at once, more than %d; narrow the selector", len(sources), logStreamsMax)
	}
	out := &lineWriter{w: a.out}
	if !o.follow {
		for _, s := range sources {
			if err := c.copyLog(ctx, o, s, out); err != nil {
				return err
			}
		}
		return nil
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, s := range sources {
		all.Go(func() error { return c.copyLog(ctx, o, s, out) })
	}
	return all.Wait()
}

func (a *app) logPods(ctx context.Context, c *client, o logOptions, args []string) ([]corev1.Pod, error) {
	if o.selector != "" {
		pods, err := c.podsOf(ctx, o.selector)
		if err == nil && len(pods) == 0 {
			say(a.err, "No resources found in %s namespace.\n", c.namespace)
		}
		return pods, err
	}
	pod, err := a.onePod(ctx, c, args[0])
	if err != nil {
		return nil, err
	}
	return []corev1.Pod{*pod}, nil
}

// onePod finds the pod that POD, pod/POD, or a workload's KIND/NAME means.
func (a *app) onePod(ctx context.Context, c *client, word string) (*corev1.Pod, error) {
	pods := mustBuiltin("pods")
	r, name := pods, word
	if strings.Contains(word, "/") {
		var err error
		if r, name, err = c.oneTarget(ctx, []string{word}); err != nil {
			return nil, err
		}
	}
	if r.groupResource() == pods.groupResource() {
		var pod corev1.Pod
		return &pod, c.get(ctx, pods.path(c.namespace, name), nil, &pod)
	}
	selector, err := c.selectorOf(ctx, r, name)
	if err != nil {
		return nil, err
	}
	found, err := c.podsOf(ctx, selector)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no pods yet; see 'holon why %s'", r.name(name), word)
	}
	best := &found[0]
	for i := range found {
		if podRank(&found[i]) > podRank(best) {
			best = &found[i]
		}
	}
	if len(found) > 1 {
		say(a.err, "Found %d pods, using pod/%s\n", len(found), best.Name)
	}
	return best, nil
}

// podRank prefers pods that are ready, then those that run.
func podRank(p *corev1.Pod) int {
	rank := 0
	if p.Status.Phase == corev1.PodRunning {
		rank++
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			rank++
		}
	}
	return rank
}

func (c *client) podsOf(ctx context.Context, selector string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.get(ctx, mustBuiltin("pods").path(c.namespace, ""), url.Values{"labelSelector": {selector}}, &list)
	return list.Items, err
}

// logContainers says which containers of a pod to print, and which one it chose
// if the user did not.
func (a *app) logContainers(pod *corev1.Pod, o logOptions) ([]string, error) {
	if o.allContainers {
		mains, inits := containerNames(pod)
		return append(inits, mains...), nil
	}
	name, err := a.pickContainer(pod, o.container)
	return []string{name}, err
}

// containerNames lists the containers that somebody means who does not say which, and
// then the init containers, as kubectl does.
func containerNames(pod *corev1.Pod) (mains, inits []string) {
	for _, c := range pod.Spec.Containers {
		mains = append(mains, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	return mains, inits
}

const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

func (a *app) pickContainer(pod *corev1.Pod, wanted string) (string, error) {
	names, inits := containerNames(pod)
	all := append(slices.Clone(names), inits...)
	if slices.Contains(all, wanted) {
		return wanted, nil
	}
	if wanted != "" {
		return "", fmt.Errorf("container %s is not valid for pod %s; it has %s", wanted, pod.Name, strings.Join(all, ", "))
	}
	if len(names) == 0 {
		return "", fmt.Errorf("pod %s has no containers", pod.Name)
	}
	if n := pod.Annotations[defaultContainerAnnotation]; n != "" {
		return n, nil
	}
	if len(all) > 1 {
		for _, init := range inits {
			names = append(names, init+" (init)")
		}
		say(a.err, "Defaulted container %q out of: %s\n", names[0], strings.Join(names, ", "))
	}
	return names[0], nil
}

func (c *client) copyLog(ctx context.Context, o logOptions, s logSource, out *lineWriter) error {
	q := url.Values{"container": {s.container}}
	flag := func(name string, on bool) {
		if on {
			q.Set(name, "true")
		}
	}
	flag("follow", o.follow)
	flag("previous", o.previous)
	flag("timestamps", o.timestamps)
	if o.tail >= 0 {
		q.Set("tailLines", strconv.Itoa(o.tail))
	}
	if o.since > 0 {
		q.Set("sinceSeconds", strconv.FormatInt(int64((o.since+time.Second-1)/time.Second), 10))
	}
	body, err := c.open(ctx, request{path: mustBuiltin("pods").path(s.namespace, s.pod) + "/log", query: q, accept: "*/*"})
	if err != nil {
		return err
	}
	defer body.Close()
	prefix := ""
	if o.prefix {
		prefix = fmt.Sprintf("[pod/%s/%s] ", s.pod, s.container)
	}
	if err := out.copy(prefix, body); err != nil && ctx.Err() == nil {
		return c.explain(err)
	}
	return ctx.Err()
}

// lineWriter lets several logs share an output without mixing their lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) copy(prefix string, r io.Reader) error {
	reader := bufio.NewReader(r)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			l.mu.Lock()
			_, writeErr := io.WriteString(l.w, prefix+line)
			l.mu.Unlock()
			if writeErr != nil {
				return writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// selectorOf reads the label selector of a workload.
func (c *client) selectorOf(ctx context.Context, r resource, name string) (string, error) {
	o, err := c.write(ctx, request{path: r.path(c.namespaceOf(r), name)})
	if err != nil {
		return "", err
	}
	return labelSelector(o, r)
}
