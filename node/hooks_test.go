package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/node/api"
	"holon/node/core"
	"holon/runtime"
)

// endingRuntime notes in which second it is asked to end what, and with which grace.
// Containers take their time to end, and commands to run.
type endingRuntime struct {
	runtime.Runtime
	takes map[string]time.Duration
	exec  func(ctx context.Context, container string) (int, error)

	began time.Time
	mu    sync.Mutex
	notes []string
}

func (r *endingRuntime) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf("%d: ", int(time.Since(r.began).Seconds()))+fmt.Sprintf(format, args...))
}

func (r *endingRuntime) Exec(ctx context.Context, _ runtime.RunID, container string, o runtime.ExecOptions) (int, error) {
	r.note("%s %s", o.Command[0], container)
	return r.exec(ctx, container)
}

func (r *endingRuntime) StopContainer(_ context.Context, _ runtime.RunID, container string, _ int, grace time.Duration) error {
	r.note("stop %s %v", container, grace)
	time.Sleep(min(r.takes[container], grace))
	return nil
}

func (r *endingRuntime) StopPod(_ context.Context, _ runtime.RunID, grace time.Duration) error {
	r.note("stop pod %v", grace)
	return nil
}

func hook(container string, h corev1.LifecycleHandler) *core.Hook {
	return &core.Hook{Target: core.Target{Container: container}, Handler: &h}
}

var telling = corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"tell"}}}

// TestEndInTurn: all are told at once, each ends when it has been told and those before it
// have ended, and what is left of the grace period shrinks, but not to nothing.
func TestEndInTurn(t *testing.T) {
	fails := func(context.Context, string) (int, error) { return 3, nil }
	for _, c := range []struct {
		name  string
		order core.Order
		exec  func(context.Context, string) (int, error)
		want  []string
		facts int
	}{
		{"nothing to tell", core.Order{Kind: core.Stop, Grace: 9 * time.Second}, nil, []string{"0: stop pod 9s"}, 0},
		{"kill", core.Order{Kind: core.Kill, Container: "a", Grace: 9 * time.Second}, nil, []string{"0: stop a 9s"}, 0},
		{"in turn", core.Order{Kind: core.Stop, Grace: 9 * time.Second, Ends: [][]core.Ending{
			{{Container: "a"}, {Container: "b", PreStop: hook("b", corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 2}})}},
			{{Container: "t", PreStop: hook("t", telling)}}, {{Container: "s"}},
		}}, func(context.Context, string) (int, error) { return 0, nil },
			[]string{"0: stop a 9s", "0: tell t", "2: stop b 7s", "5: stop t 4s", "6: stop s 3s", "8: stop pod 2s"}, 0},
		{"all of the grace", core.Order{Kind: core.Stop, Grace: 5 * time.Second, Ends: [][]core.Ending{
			{{Container: "a", PreStop: hook("a", telling)}},
		}}, func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 137, nil },
			[]string{"0: tell a", "5: stop a 2s", "6: stop pod 2s"}, 1},
		{"no grace at all", core.Order{Kind: core.Stop, Ends: [][]core.Ending{{{Container: "a", PreStop: hook("a", telling)}}}}, fails,
			[]string{"0: stop a 0s", "0: stop pod 0s"}, 0},
		{"a hook that fails", core.Order{Kind: core.Kill, Container: "b", Grace: 9 * time.Second, Ends: [][]core.Ending{
			{{Container: "b", PreStop: hook("b", telling)}},
		}}, fails, []string{"0: stop b 9s", "0: tell b", "3: stop b 6s"}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := &endingRuntime{exec: c.exec, began: time.Now(), takes: map[string]time.Duration{"a": time.Second, "b": 3 * time.Second, "t": time.Second, "s": 2 * time.Second}}
			log := &journalText{}
			n := &Node{cfg: Config{Runtime: rt, Cache: api.NewCache(1, 1, nil), Clock: func() core.Instant { return 1 }}, log: slog.New(slog.NewTextHandler(log, nil))}
			if err := n.end(t.Context(), c.order); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			slices.Sort(rt.notes) // of one second
			if !slices.Equal(rt.notes, c.want) {
				t.Errorf("%s: %q, want %q", c.name, rt.notes, c.want)
			}
			if facts := log.lines("FailedPreStopHook"); len(facts) != c.facts {
				t.Errorf("%s: said %q", c.name, facts)
			}
		})
	}
}

// TestHooks: what each kind of hook does, and what of it is a failure.
func TestHooks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.URL.Path)
	}))
	defer server.Close()
	get := func(port int) corev1.LifecycleHandler {
		return corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/x", Port: intstr.FromInt32(int32(port))}}
	}
	n := probing(patientRuntime{exec: func(_ context.Context, o runtime.ExecOptions) (int, error) {
		if o.Command[0] == "gone" {
			return 0, &runtime.Error{Kind: runtime.Unavailable, Err: errors.New("not there")}
		}
		return len(o.Command) - 1, nil
	}})
	exec := func(command ...string) corev1.LifecycleHandler {
		return corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}
	}
	for name, c := range map[string]struct {
		handler corev1.LifecycleHandler
		said    string // empty: it succeeds
	}{
		"a command":          {exec("true"), ""},
		"a code":             {exec("a", "b"), "code 1"},
		"no runtime":         {exec("gone"), "not asked"},
		"any answer":         {get(portIn(t, server.URL)), ""},
		"no answer":          {get(1), "refused"},
		"sleep":              {corev1.LifecycleHandler{Sleep: &corev1.SleepAction{}}, ""},
		"of a later version": {corev1.LifecycleHandler{}, "does not know"},
	} {
		h := core.Hook{Target: core.Target{IP: "127.0.0.1"}, Handler: &c.handler}
		if err := n.performHook(t.Context(), h); (err == nil) != (c.said == "") || !strings.Contains(saidBy(err), c.said) {
			t.Errorf("%s: %v, want %q", name, err, c.said)
		}
	}
}
