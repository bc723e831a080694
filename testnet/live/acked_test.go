package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// api speaks to a daemon's socket, connection by connection: what it reaches is
// always the daemon that runs now.
type api struct{ http.Client }

func newAPI(socket string) *api {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &api{http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dial}}}
}

const configMaps = "http://holon/api/v1/namespaces/default/configmaps"

// send makes or replaces a ConfigMap and says whether that was acknowledged.
func (a *api) send(method, url, name, value string) (acknowledged bool, err error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]string{"k": value},
	})
	if err != nil {
		return false, err
	}
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := a.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode/100 == 2 {
		return true, nil // the status line says it, whatever became of the rest
	}
	return false, fmt.Errorf("%s: %.200s %w", answer.Status, text, err)
}

// values lists data.k of all ConfigMaps by name.
func (a *api) values() (map[string]string, error) {
	answer, err := a.Get(configMaps)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Data     map[string]string
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, item := range list.Items {
		all[item.Metadata.Name] = item.Data["k"]
	}
	return all, nil
}

// ledger is what clients were told: what was acknowledged, and how far each
// counter may have come.
type ledger struct {
	mu      sync.Mutex
	made    []string       // names of acknowledged creations
	counted map[string]int // counter -> greatest acknowledged value
	tried   map[string]int // counter -> greatest value sent
	acks    int
	enough  int // acks until reached is closed
	reached chan struct{}
}

func newLedger() *ledger { return &ledger{counted: map[string]int{}, tried: map[string]int{}} }

// await returns once more acknowledgements came in.
func (l *ledger) await(t testing.TB, more int) {
	t.Helper()
	l.mu.Lock()
	l.enough, l.reached = l.acks+more, make(chan struct{})
	reached := l.reached
	l.mu.Unlock()
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("no %d writes were acknowledged in %v", more, patience)
	}
}

// stalls returns once no write is acknowledged any more.
func (l *ledger) stalls(t testing.TB) {
	t.Helper()
	seen := -1
	eventually(t, "no write is acknowledged", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if seen == l.acks {
			return nil
		}
		seen = l.acks
		return fmt.Errorf("%d writes", seen)
	})
}

func (l *ledger) acknowledge(note func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	note()
	if l.acks++; l.acks == l.enough {
		close(l.reached)
	}
}

// clients lets four of them write until the function that it returns is called.
func (l *ledger) clients(a *api) (end func()) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() { l.write(a, c, stop) })
	}
	return sync.OnceFunc(func() {
		close(stop)
		all.Wait()
	})
}

// write makes ConfigMaps and counts in one of its own until stop is closed.
func (l *ledger) write(a *api, client int, stop <-chan struct{}) {
	counter := fmt.Sprint("counter-", client)
	exists := false
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("c%d-%d", client, n)
		if ok, _ := a.send("POST", configMaps, name, name); ok {
			l.acknowledge(func() { l.made = append(l.made, name) })
		}
		l.mu.Lock()
		l.tried[counter] = n
		l.mu.Unlock()
		method, url := "PUT", configMaps+"/"+counter
		if !exists {
			method, url = "POST", configMaps
		}
		switch ok, err := a.send(method, url, counter, fmt.Sprint(n)); {
		case ok:
			exists = true
			l.acknowledge(func() { l.counted[counter] = n })
		case err != nil && method == "POST":
			exists = true // perhaps: a PUT will tell
		default:
			time.Sleep(5 * time.Millisecond) // nobody listens
		}
	}
}

// check compares what a node shows with what clients had been told before.
func (l *ledger) check(a *api) error {
	l.mu.Lock()
	made, counted := slices.Clone(l.made), maps.Clone(l.counted)
	l.mu.Unlock()
	shown, err := a.values()
	if err != nil {
		return err
	}
	for _, name := range made {
		if shown[name] != name {
			return fmt.Errorf("%s was acknowledged and is %q", name, shown[name])
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for counter, acked := range counted {
		var n int
		if _, err := fmt.Sscan(shown[counter], &n); err != nil || n < acked || n > l.tried[counter] {
			return fmt.Errorf("%s was acknowledged at %d, sent up to %d, and is %q", counter, acked, l.tried[counter], shown[counter])
		}
	}
	return nil
}

// TestKilledWhileClientsWrite kills a node again and again while clients write
// through it, cut off from its peers so that only its own disk can give back what
// it acknowledged; after the heal the others must have it too.
func TestKilledWhileClientsWrite(t *testing.T) {
	for _, what := range []string{"daemon", "node"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rounds := 4
			if os.Getenv("HOLON_TEST_LONG") != "" {
				rounds = 100
			}
			n := up(t, 3, "process")
			n.must("partition", "n1|n2,n3")
			a, l := newAPI(n.at("net", "n1", "holon.sock")), newLedger()
			end := l.clients(a)
			defer end()
			for round := range rounds {
				pid := n.node("n1").PID
				l.await(t, 20+round*37%200)
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // in the instant of an acknowledgement
					t.Fatal(err)
				}
				if what == "node" {
					n.must("kill", "n1") // and all that it runs
				}
				eventually(t, "n1 is gone", func() error {
					if s := n.node("n1"); s.State == "running" {
						return fmt.Errorf("%+v", s)
					}
					return nil
				})
				n.must("start", "n1")
				eventually(t, "n1 answers", func() error {
					_, err := a.values()
					return err
				})
				if err := l.check(a); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			end()
			if words := n.must("logs", "n1"); bytes.Contains([]byte(words), []byte("in doubt")) {
				t.Errorf("a kill is taken for a rollback: %s", words)
			}
			n.must("heal")
			for _, node := range n.names() {
				peer := newAPI(n.at("net", node, "holon.sock"))
				eventually(t, node+" has every acknowledged write", func() error { return l.check(peer) })
			}
			t.Logf("%d kills, %d writes acknowledged", rounds, l.acks)
		})
	}
}
