package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// testnet is one running testnet; its pods are plain host processes unless -runtime
// says otherwise.
type testnet struct {
	holon, root, dir string
	nodes            []string
	page             http.Client
}

// start brings up n nodes and returns how long that took.
func (b *bench) start(ctx context.Context, n int) (*testnet, time.Duration, error) {
	root, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, 0, err
	}
	t := &testnet{holon: b.holon, root: root, dir: filepath.Join(root, "net")}
	t.page = http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for k := range n {
		t.nodes = append(t.nodes, fmt.Sprintf("n%d", k+1))
	}
	began := time.Now()
	_, err = t.run(ctx, "testnet", "up", "--nodes", fmt.Sprint(n), "--runtime", b.runtime, "--dir", t.dir)
	took := time.Since(began)
	if err != nil {
		return nil, 0, errors.Join(err, t.end())
	}
	return t, took, nil
}

// webImage is the image of the manifest, where pods have one.
const webImage = "localhost/holon-web:demo"

func (b *bench) loadImage(ctx context.Context, t *testnet) error {
	_, err := t.run(ctx, "testnet", "load-image", "--dir", t.dir, webImage, "/bin/web="+filepath.Join(filepath.Dir(b.holon), "web"))
	return err
}

// end takes the testnet down, also when the bench was interrupted or `up` failed.
func (t *testnet) end() error {
	if _, err := os.Stat(filepath.Join(t.dir, "testnet.json")); err == nil {
		if _, err := t.run(context.Background(), "testnet", "down", "--dir", t.dir); err != nil {
			return err // with its files still there, it can be repeated by hand
		}
	}
	return os.RemoveAll(t.root)
}

// run executes holon in a process group of its own: an interrupt at the terminal
// reaches it through ctx, as SIGINT, so that it can leave things tidy.
func (t *testnet) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.holon, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	return output(cmd)
}

// api gets a path from a node through its socket.
func (t *testnet) api(ctx context.Context, node, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	body, err := t.open(ctx, node, path)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(answer)
}

// open begins to read a path of a node.
func (t *testnet) open(ctx context.Context, node, path string) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(t.dir, node, "holon.sock"))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("%s%s: %s: %s", node, path, response.Status, text)
	}
	return response.Body, nil
}

type pod struct {
	Metadata struct{ Name string }
	Spec     struct{ NodeName string }
	Status   struct {
		PodIP      string
		Conditions []struct{ Type, Status string }
	}
}

func (p *pod) ready() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool { return c.Type == "Ready" && c.Status == "True" })
}

func (t *testnet) pods(ctx context.Context, node string) ([]pod, error) {
	var list struct{ Items []pod }
	err := t.api(ctx, node, "/api/v1/namespaces/default/pods", &list)
	return list.Items, err
}

func (t *testnet) scheduler(ctx context.Context, node string) (string, error) {
	var why struct{ Scheduler string }
	err := t.api(ctx, node, "/apis/holon.dev/v1/why/deployments.apps/default/web", &why)
	return why.Scheduler, err
}

// fetch gets the page of a pod; it must be that pod's.
func (t *testnet) fetch(ctx context.Context, p *pod) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":8080/", nil)
	if err != nil {
		return "", err
	}
	response, err := t.page.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && !strings.HasPrefix(string(text), "hello from "+p.Metadata.Name+" ") {
		err = fmt.Errorf("%s answered %q", p.Metadata.Name, text)
	}
	return string(text), err
}

// serving waits until node shows want pods Ready off one node, each of which
// answers; alone, until it shows no others either.
func (t *testnet) serving(ctx context.Context, node string, want int, off string, alone bool) error {
	return await(ctx, func() error {
		pods, err := t.pods(ctx, node)
		if err != nil {
			return err
		}
		count := 0
		for i := range pods {
			p := &pods[i]
			if p.Spec.NodeName == off || !p.ready() {
				continue
			}
			if _, err := t.fetch(ctx, p); err != nil {
				return err
			}
			count++
		}
		if count != want || alone && len(pods) != want {
			return fmt.Errorf("%s sees %d of %d pods serve, want %d", node, count, len(pods), want)
		}
		return nil
	})
}
