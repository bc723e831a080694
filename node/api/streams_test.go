package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// expect reads the next events of a watch.
func expect(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	for _, text := range want {
		select {
		case e := <-w.ResultChan():
			got := string(e.Type)
			if m, ok := e.Object.(metav1.Object); ok {
				got += " " + m.GetName()
			}
			if got != text {
				t.Fatalf("event %q, want %q", got, text)
			}
		case <-t.Context().Done():
			t.Fatal("no event")
		}
	}
}

func TestWatch(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	_, err := maps.Create(f.ctx, configMap("a", nil), create)
	check(t, err)
	l, err := maps.List(f.ctx, list)
	check(t, err)
	fromStart, err := maps.Watch(f.ctx, list)
	check(t, err)
	defer fromStart.Stop()
	fromList, err := maps.Watch(f.ctx, metav1.ListOptions{ResourceVersion: l.ResourceVersion, LabelSelector: "app"})
	check(t, err)
	defer fromList.Stop()
	expect(t, fromStart, "ADDED a")
	expect(t, fromStart, "ADDED kube-root-ca.crt")
	b, err := maps.Create(f.ctx, configMap("b", nil), create)
	check(t, err)
	expect(t, fromStart, "ADDED b")
	expect(t, fromList, "ADDED b")
	b.Labels = nil
	_, err = maps.Update(f.ctx, b, update)
	check(t, err)
	expect(t, fromStart, "MODIFIED b")
	expect(t, fromList, "DELETED b") // it no longer matches
	check(t, maps.Delete(f.ctx, "b", del))
	expect(t, fromStart, "DELETED b")
	check(t, maps.Delete(f.ctx, "a", del))
	expect(t, fromList, "DELETED a") // and nothing of b
}

func TestWatchRefusals(t *testing.T) {
	f := serve(t)
	_, err := f.kube.CoreV1().Pods("").Watch(f.ctx, metav1.ListOptions{ResourceVersion: fmt.Sprint(f.cache.RV() ^ 8)})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("foreign resourceVersion: %v", err)
	}
	f.do("GET", "/api/v1/pods?watch=1&sendInitialEvents=true", "").want(t, 422, "NotOlderThan")
	f.do("GET", "/api/v1/pods?watch=1&timeoutSeconds=x", "").want(t, 422, "timeoutSeconds")
	f.do("GET", "/api/v1/pods?watch=1&timeoutSeconds=1", "").want(t, 200)
}

// What a client that asks for the present state first waits for is one bookmark
// after it.
func TestInitialEventsEndWithABookmark(t *testing.T) {
	f := serve(t)
	maps := f.kube.CoreV1().ConfigMaps("default")
	for _, name := range []string{"a", "b"} {
		_, err := maps.Create(f.ctx, configMap(name, nil), metav1.CreateOptions{})
		check(t, err)
	}
	yes := true
	w, err := maps.Watch(f.ctx, metav1.ListOptions{
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	check(t, err)
	defer w.Stop()
	expect(t, w, "ADDED a")
	expect(t, w, "ADDED b")
	expect(t, w, "ADDED kube-root-ca.crt")
	end := (<-w.ResultChan()).Object.(*corev1.ConfigMap)
	if end.Annotations[metav1.InitialEventsAnnotationKey] != "true" || end.ResourceVersion != formatRV(f.cache.RV()) {
		t.Errorf("the bookmark: %+v", end.ObjectMeta)
	}
	_, err = maps.Create(f.ctx, configMap("c", nil), metav1.CreateOptions{})
	check(t, err)
	expect(t, w, "ADDED c")
}

func TestASlowClientGetsTheErrorEvent(t *testing.T) {
	f := serve(t)
	r, err := http.NewRequestWithContext(f.ctx, "GET", f.url+"/api/v1/configmaps?watch=1&resourceVersion="+fmt.Sprint(f.cache.RV()), nil)
	check(t, err)
	resp, err := f.http.Do(r)
	check(t, err)
	defer resp.Body.Close()
	big := strings.Repeat("x", 20<<10)
	for i := 0; f.cache.watching(ConfigMaps) > 0; i++ { // until the queue and the sockets' buffers are full
		o := thing("default", "c", "1", fmt.Sprint(i, big))
		o.Resource = ConfigMaps
		check(t, f.cache.Apply([]Object{o}, nil))
	}
	last := ""
	scanner := bufio.NewScanner(resp.Body)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		last = scanner.Text()
	}
	if !strings.Contains(last, `"type":"ERROR"`) || !strings.Contains(last, `"code":410`) {
		t.Errorf("last frame: %.200s", last)
	}
}

func (c *Cache) watching(resource string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watchers[resource])
}

func TestBookmark(t *testing.T) {
	var out bytes.Buffer
	w := recorder{header: http.Header{}, out: &out}
	k := kindNamed("pods")
	for shape, want := range map[shape]string{
		asObject: `{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":null,"resourceVersion":"77"}}}`,
		asTable:  `"kind":"Table"`, asMetadata: `"kind":"PartialObjectMetadata"`,
	} {
		frames := &frameWriter{out: timed(w, frameTimeout), kind: k, format: format{shape: shape}}
		if err := frames.bookmark(77, false); err != nil && !errors.Is(err, http.ErrNotSupported) {
			t.Error(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
		out.Reset()
	}
}

type recorder struct {
	header http.Header
	out    io.Writer
}

func (r recorder) Header() http.Header         { return r.header }
func (r recorder) WriteHeader(int)             {}
func (r recorder) Write(p []byte) (int, error) { return r.out.Write(p) }

// An informer of today's client-go asks for a streamed list first and must fall back.
func TestInformer(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 3), create)
	check(t, err)
	factory := informers.NewSharedInformerFactory(f.kube, 0)
	pods := factory.Core().V1().Pods().Informer()
	deleted := make(chan string, 100)
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(o any) { deleted <- o.(*corev1.Pod).Name }})
	check(t, err)
	ctx, cancel := context.WithCancel(f.ctx)
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) || len(pods.GetStore().List()) != 3 {
		t.Fatalf("synced with %d pods", len(pods.GetStore().List()))
	}
	check(t, f.kube.CoreV1().Pods("default").Delete(f.ctx, "web-0-10", del))
	if name := <-deleted; name != "web-0-10" {
		t.Errorf("deleted %s", name)
	}
}

func TestEventsAreGatheredWhenAsked(t *testing.T) {
	f := serve(t)
	f.backend.addEvent("e1", "Started", "web")
	f.backend.addEvent("e2", "Stopped", "other")
	f.backend.missing = []string{"n3"}
	a := f.do("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dweb", "").want(t, 200, `"Started"`, "no answer from n3")
	if strings.Contains(a.body, "Stopped") {
		t.Errorf("selector: %s", a.body)
	}
	w, err := f.kube.CoreV1().Events("default").Watch(f.ctx, list)
	check(t, err)
	defer w.Stop()
	expect(t, w, "ADDED e1", "ADDED e2")
	f.backend.addEvent("e3", "Moved", "web")
	expect(t, w, "ADDED e3")
}

func TestLogs(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	const path = "/api/v1/namespaces/default/pods/web-0-00/log"
	f.do("GET", path, "").want(t, 200, "web-0-00 main line 0 previous=false\nweb-0-00 main line 1")
	if a := f.do("GET", path+"?tailLines=1&previous=true", "").want(t, 200); a.body != "web-0-00 main line 2 previous=true\n" {
		t.Errorf("tail: %q", a.body)
	}
	if a := f.do("GET", path+"?limitBytes=10", "").want(t, 200); a.body != "web-0-00 m" {
		t.Errorf("limit: %q", a.body)
	}
	f.do("GET", path+"?container=x", "").want(t, 400, "container x is not valid for pod web-0-00")
	f.do("GET", path+"?tailLines=-1", "").want(t, 400, "tailLines")
	f.do("GET", path+"?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "").want(t, 400, "at most one")
	f.do("GET", path+"?sinceTime=2026-01-01T00:00:00Z", "").want(t, 200)
	f.do("GET", path+"?sinceTime=yesterday", "").want(t, 400, "sinceTime")
	f.do("GET", "/api/v1/namespaces/default/pods/none/log", "").want(t, 404)
	f.backend.fail = fmt.Errorf("%w since 12 s", ErrUnreachable)
	f.do("GET", path, "").want(t, 503, "is on node n1", "since 12 s")
}

func TestLogsFollow(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	stream, err := f.kube.CoreV1().Pods("default").GetLogs("web-0-00", &corev1.PodLogOptions{Follow: true}).Stream(f.ctx)
	check(t, err)
	lines := bufio.NewScanner(stream)
	for i := range 3 { // they come while the log goes on
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf("line %d", i)) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
	}
	check(t, stream.Close())
}

// executors are the ways of clients to run a command.
func executors(t *testing.T, f *fixture, o *corev1.PodExecOptions) map[string]remotecommand.Executor {
	o.Stdout, o.Stderr = true, !o.TTY
	return executorsOf(t, f, "exec", o)
}

func executorsOf(t *testing.T, f *fixture, subresource string, o runtime.Object) map[string]remotecommand.Executor {
	t.Helper()
	r := f.kube.CoreV1().RESTClient().Get().Resource("pods").Namespace("default").Name("web-0-00").SubResource(subresource).
		VersionedParams(o, clientscheme.ParameterCodec)
	ws, err := remotecommand.NewWebSocketExecutor(f.config, "GET", r.URL().String())
	check(t, err)
	v4, err := remotecommand.NewWebSocketExecutorForProtocols(f.config, "GET", r.URL().String(), "v4.channel.k8s.io")
	check(t, err)
	spdy, err := remotecommand.NewSPDYExecutor(f.config, "POST", r.URL())
	check(t, err)
	return map[string]remotecommand.Executor{"websocket v5": ws, "websocket v4": v4, "spdy": spdy}
}

func TestExec(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	run := func(name string, e remotecommand.Executor, stdin io.Reader) (stdout, stderr string, err error) {
		var out, errs bytes.Buffer
		err = e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errs})
		return out.String(), errs.String(), err
	}
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"echo", "a b", "c"}}) {
		if out, _, err := run(name, e, nil); out != "a b c\n" || err != nil {
			t.Errorf("%s: echo: %q %v", name, out, err)
		}
	}
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"whoami"}}) {
		if out, _, err := run(name, e, nil); err != nil || out != AdminUser+"\n" {
			t.Errorf("%s: the node is told that %q asks, %v", name, out, err)
		}
	}
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"err", "oops"}}) {
		if out, errs, err := run(name, e, nil); out != "" || errs != "oops\n" || err != nil {
			t.Errorf("%s: err: %q %q %v", name, out, errs, err)
		}
	}
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"exit", "42"}}) {
		_, _, err := run(name, e, nil)
		var code clientexec.CodeExitError
		if !errors.As(err, &code) || code.Code != 42 {
			t.Errorf("%s: exit: %v", name, err)
		}
	}
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"cat"}, Stdin: true}) {
		if name == "websocket v4" {
			continue // has no way to say that standard input has ended
		}
		text := strings.Repeat("line\n", 20000)
		if out, _, err := run(name, e, strings.NewReader(text)); out != text || err != nil {
			t.Errorf("%s: cat: %d bytes, %v", name, len(out), err)
		}
	}
}

type oneSize chan remotecommand.TerminalSize

func (s oneSize) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

func TestExecWithTerminal(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"size"}, TTY: true}) {
		sizes := make(oneSize, 1)
		sizes <- remotecommand.TerminalSize{Width: 80, Height: 25}
		var out bytes.Buffer
		err := e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdout: &out, Tty: true, TerminalSizeQueue: sizes})
		close(sizes)
		if out.String() != "80x25 tty=true\n" || err != nil {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
}

func TestExecEndsWithItsClient(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"wait"}}) {
		ctx, cancel := context.WithTimeout(f.ctx, 100*time.Millisecond)
		if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}); err == nil {
			t.Errorf("%s: ended by itself", name)
		}
		cancel()
	}
	// Closing the server waits for its requests: it would hang in serve's cleanup if the commands went on.
}

func TestExecRefusals(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	const path = "/api/v1/namespaces/default/pods/web-0-00/exec"
	f.do("POST", path+"?stdout=1", "").want(t, 400, "must specify a command")
	f.do("POST", path+"?command=ls", "").want(t, 400, "at least 1 of stdin, stdout, stderr")
	f.do("POST", path+"?command=ls&stdout=1", "").want(t, 400, "connection upgrade")
	f.do("POST", path+"?command=ls&stdout=1&container=x", "").want(t, 400, "not valid for pod")
	f.do("PUT", path+"?command=ls&stdout=1", "").want(t, 405)
	f.backend.fail = fmt.Errorf("%w since 3 s", ErrUnreachable)
	for name, e := range executors(t, f, &corev1.PodExecOptions{Command: []string{"echo"}}) {
		err := e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "is on node n1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttach(t *testing.T) {
	f := serve(t)
	d := deployment("web", 1)
	d.Spec.Template.Spec.Containers[0].Stdin = true
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, d, create)
	check(t, err)
	who := "default/web-0-00/" + d.Spec.Template.Spec.Containers[0].Name + " for " + AdminUser + "\n"
	for name, e := range executorsOf(t, f, "attach", &corev1.PodAttachOptions{Stdin: true, Stdout: true, Stderr: true}) {
		if name == "websocket v4" {
			continue // has no way to say that standard input has ended
		}
		var out bytes.Buffer
		text := strings.Repeat("line\n", 20000)
		err := e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &out, Stderr: io.Discard})
		if out.String() != who+text || err != nil {
			t.Errorf("%s: %d bytes, %v", name, out.Len(), err)
		}
	}
	for name, e := range executorsOf(t, f, "attach", &corev1.PodAttachOptions{Stdout: true, TTY: true}) {
		sizes := make(oneSize, 1)
		sizes <- remotecommand.TerminalSize{Width: 80, Height: 25}
		var out bytes.Buffer
		err := e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdout: &out, Tty: true, TerminalSizeQueue: sizes})
		close(sizes)
		if out.String() != "80x25" || err != nil {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
	for name, e := range executorsOf(t, f, "attach", &corev1.PodAttachOptions{Stdout: true}) {
		ctx, cancel := context.WithCancel(f.ctx)
		out := &hangUp{cancel: cancel}
		if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out}); err == nil {
			t.Errorf("%s: ended by itself", name)
		}
	}
	// The cleanup of serve would hang if anybody stayed attached.
}

// hangUp ends a session once something was said.
type hangUp struct{ cancel func() }

func (h *hangUp) Write(p []byte) (int, error) {
	h.cancel()
	return len(p), nil
}

func TestAttachRefusals(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	const path = "/api/v1/namespaces/default/pods/web-0-00/attach"
	f.do("POST", path, "").want(t, 400, "at least 1 of stdin, stdout, stderr")
	f.do("POST", path+"?stdout=1", "").want(t, 400, "attach needs a connection upgrade")
	f.do("POST", path+"?stdin=1", "").want(t, 400, "without standard input", "use exec")
	f.do("PUT", path+"?stdout=1", "").want(t, 405)
	f.backend.fail = fmt.Errorf("%w since 3 s", ErrUnreachable)
	for name, e := range executorsOf(t, f, "attach", &corev1.PodAttachOptions{Stdout: true}) {
		err := e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "is on node n1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTables(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 2), create)
	check(t, err)
	_, err = f.kube.CoreV1().ConfigMaps("default").Create(f.ctx, configMap("c", map[string]string{"a": "b"}), create)
	check(t, err)
	f.backend.addEvent("e1", "Started", "web")
	const accept = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	for path, want := range map[string][2]string{
		"/api/v1/namespaces":                           {"Name Status Age", "default Active"},
		"/api/v1/nodes":                                {"Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime", "n1 Ready <none>"},
		"/api/v1/namespaces/default/pods":              {"Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", "web-0-00 1/1 Running 0"},
		"/api/v1/namespaces/default/configmaps":        {"Name Data Age", "c 1"},
		"/api/v1/namespaces/default/events":            {"Last Seen Type Reason Object Subobject Source Message First Seen Count Name", "<unknown> Normal Started pod/web"},
		"/apis/apps/v1/namespaces/default/deployments": {"Name Ready Up-to-date Available Age Containers Images Selector", "web 2/2 2 2"},
		"/apis/apps/v1/namespaces/default/replicasets": {"Name Desired Current Ready Age Containers Images Selector", "web-0 2 2 2"},
	} {
		table := metav1.Table{}
		check(t, json.Unmarshal([]byte(f.do("GET", path, "", accept).want(t, 200).body), &table))
		var columns []string
		for _, c := range table.ColumnDefinitions {
			columns = append(columns, c.Name)
		}
		cells := strings.TrimSuffix(fmt.Sprintln(table.Rows[0].Cells...), "\n")
		if strings.Join(columns, " ") != want[0] || !strings.HasPrefix(cells, want[1]) || len(table.Rows[0].Cells) != len(columns) {
			t.Errorf("%s:\n%v\n%s", path, columns, cells)
		}
		object := metav1.PartialObjectMetadata{}
		check(t, json.Unmarshal(table.Rows[0].Object.Raw, &object))
		if object.Kind != "PartialObjectMetadata" || object.ResourceVersion == "" || table.ResourceVersion == "" {
			t.Errorf("%s: %s", path, table.Rows[0].Object.Raw)
		}
	}
	one := f.do("GET", "/api/v1/namespaces/default/configmaps/c?includeObject=None", "", accept).want(t, 200, `"object":null`)
	if !strings.Contains(one.body, `"kind":"Table"`) {
		t.Error(one.body)
	}
	frames := f.do("GET", "/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=1", "", accept).want(t, 200)
	if strings.Count(frames.body, "Nominated Node") != 1 || strings.Count(frames.body, `"kind":"Table"`) != 2 {
		t.Errorf("watched table: %s", frames.body)
	}
}

func TestPodStatusColumn(t *testing.T) {
	now := metav1.Now()
	waiting := corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
	done := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}
	failed := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}}
	running := corev1.ContainerStatus{Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for want, p := range map[string]corev1.Pod{
		"Pending":          {Status: corev1.PodStatus{Phase: "Pending"}},
		"NodeUnreachable":  {Status: corev1.PodStatus{Phase: "Running", Reason: "NodeUnreachable", ContainerStatuses: []corev1.ContainerStatus{running}}},
		"CrashLoopBackOff": {Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{waiting}}},
		"ExitCode:3":       {Status: corev1.PodStatus{Phase: "Failed", ContainerStatuses: []corev1.ContainerStatus{failed}}},
		"NotReady":         {Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{done, running}}},
		"Completed":        {Status: corev1.PodStatus{Phase: "Succeeded", ContainerStatuses: []corev1.ContainerStatus{done}}},
		"Terminating":      {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: corev1.PodStatus{Phase: "Running"}},
	} {
		if got := tellPod(&p).reason; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestPodStatusOfInits: as kubectl's own printer has it.
func TestPodStatusOfInits(t *testing.T) {
	always, yes := corev1.ContainerRestartPolicyAlways, true
	plain, sidecar := corev1.Container{}, corev1.Container{RestartPolicy: &always}
	status := func(s corev1.ContainerState, restarts int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: s, RestartCount: restarts}
	}
	begins := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	crashes := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
	}
	started := corev1.ContainerStatus{State: runs, Started: &yes, Ready: true, RestartCount: 4}
	ready := corev1.ContainerStatus{State: runs, Ready: true, RestartCount: 1}
	for _, c := range []struct {
		want  string // status, ready containers, restarts
		inits []corev1.Container
		have  []corev1.ContainerStatus
		main  corev1.ContainerStatus
		over  bool // it is initialized
	}{
		{"Init:0/2 0/1 0", []corev1.Container{plain, plain}, []corev1.ContainerStatus{status(runs, 0), status(begins, 0)}, status(begins, 0), false},
		{"Init:1/2 0/1 2", []corev1.Container{plain, plain}, []corev1.ContainerStatus{status(ended(0, "Completed"), 2), status(begins, 0)}, status(begins, 0), false},
		{"Init:Error 0/1 0", []corev1.Container{plain}, []corev1.ContainerStatus{status(ended(1, "Error"), 0)}, status(begins, 0), false},
		{"Init:ExitCode:3 0/1 0", []corev1.Container{plain}, []corev1.ContainerStatus{status(ended(3, ""), 0)}, status(begins, 0), false},
		{"Init:CrashLoopBackOff 0/1 5", []corev1.Container{plain}, []corev1.ContainerStatus{status(crashes, 5)}, status(begins, 0), false},
		{"Init:1/2 1/2 4", []corev1.Container{sidecar, plain}, []corev1.ContainerStatus{started, status(runs, 0)}, status(begins, 0), false},
		{"PodInitializing 1/2 4", []corev1.Container{sidecar, plain}, []corev1.ContainerStatus{started, status(ended(0, "Completed"), 7)}, status(begins, 0), true},
		{"Running 2/2 5", []corev1.Container{sidecar, plain}, []corev1.ContainerStatus{started, status(ended(0, "Completed"), 7)}, ready, true},
		{"Running 1/2 4", []corev1.Container{sidecar}, []corev1.ContainerStatus{status(crashes, 3)}, ready, true},
	} {
		p := corev1.Pod{Spec: corev1.PodSpec{InitContainers: c.inits, Containers: []corev1.Container{{}}}}
		p.Status = corev1.PodStatus{Phase: "Pending", InitContainerStatuses: c.have, ContainerStatuses: []corev1.ContainerStatus{c.main}}
		if c.over {
			p.Status.Phase = "Running"
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}}
		}
		row := podRow(&p)
		if got := fmt.Sprint(row[2], " ", row[1], " ", row[3]); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	f := serve(t)
	groups, resources, err := f.kube.Discovery().ServerGroupsAndResources()
	check(t, err)
	if own := groups[:13]; own[0].Name != "" || own[11].Name != holonGroup || own[12].Name != metricsv1beta1.GroupName { // those of refused kinds only come last
		t.Errorf("groups: %v", groups)
	}
	names := map[string]bool{}
	for _, l := range resources {
		for _, r := range l.APIResources {
			names[r.Name] = len(r.Verbs) > 0
			if r.Kind == "" {
				t.Errorf("%s: %+v", l.GroupVersion, r)
			}
		}
	}
	for _, want := range []string{"pods", "pods/log", "pods/exec", "pods/attach", "nodes", "namespaces", "events", "configmaps", "deployments", "deployments/scale", "replicasets", "pods/eviction", "poddisruptionbudgets", "priorityclasses", "roles", "clusterrolebindings", "revocations", "credentials"} {
		if !names[want] {
			t.Errorf("%s is not discovered", want)
		}
	}
	v, err := f.kube.Discovery().ServerVersion()
	check(t, err)
	if v.Minor != "35" {
		t.Errorf("version %+v", v)
	}
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		f.do("GET", path, "").want(t, 200, "ok")
	}
	f.do("GET", "/openapi/v3", "").want(t, 200, `"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1"}`)
	f.do("GET", "/openapi/v3/apis/apps/v1", "").want(t, 200, "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "fieldValidation")
	f.do("GET", "/api/v1/namespaces/default?pretty", "").want(t, 200, "\n  \"kind\": \"Namespace\"")
	f.do("GET", "/api/v1/namespaces/default", "", "Accept: application/yaml").want(t, 200, "kind: Namespace\n")
	f.do("GET", "/api/v1/namespaces", "", "Accept: application/yaml").want(t, 200, "kind: NamespaceList\n")
	f.do("GET", "/api/v1/namespaces", "", "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").
		want(t, 200, `"kind":"PartialObjectMetadataList"`)
}

func TestHolonGroup(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	f.do("GET", holonPath+"status", "").want(t, 200, `"cluster":"test"`)
	f.do("GET", holonPath+"why/deployments.apps/default/web", "").want(t, 200, `"scheduler":"n2"`)
	f.do("GET", holonPath+"why/deploy/default/web", "").want(t, 200)
	f.do("GET", holonPath+"why/nodes/-/n1", "").want(t, 200, `"kind":"nodes"`)
	f.do("GET", holonPath+"why/pods/default/none", "").want(t, 404, `pods \"none\" not found`)
	f.do("GET", holonPath+"why/secrets/default/none", "").want(t, 404)
	f.do("GET", holonPath+"tokens", "").want(t, 200, `{"items":[]}`)
	f.do("POST", holonPath+"tokens", `{"uses":2,"ttlSeconds":60}`).want(t, 201, `"token":"secret-t0"`, `"usesLeft":2`, `"expires":"1m0s"`)
	f.do("POST", holonPath+"tokens", "").want(t, 201, `"usesLeft":1`, `"expires":"24h0m0s"`)
	f.do("POST", holonPath+"tokens", `{"uses":-1}`).want(t, 400, "must be greater than 0")
	f.do("DELETE", holonPath+"tokens/t0", "").want(t, 200, "Success")
	f.do("DELETE", holonPath+"tokens/t9", "").want(t, 404)
	f.do("GET", holonPath+"tokens", "").want(t, 200, `"revoked":true`)
	drained := f.do("POST", holonPath+"drain", "").want(t, 200).body
	if drained != `{"progress":"pod a stopped"}`+"\n"+`{"progress":"pod b stopped"}`+"\n"+`{"done":true}`+"\n" {
		t.Errorf("drain: %s", drained)
	}
	f.do("POST", holonPath+"leave", "").want(t, 200, `{"error":"node is unreachable"}`)
	f.do("GET", holonPath+"leave", "").want(t, 404)
}

func TestReviewAdds(t *testing.T) {
	f := serve(t, func(c *Config) {
		c.Review = func(resource string, value map[string]any) []string {
			return []string{resource + ": image is ignored here"}
		}
	})
	f.do("POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"x"}}`).want(t, 201, "configmaps: image is ignored here")
}
