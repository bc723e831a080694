package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holon/runtime"
	"holon/testnet/golden"
)

func goldenSpec() runtime.Spec {
	return runtime.Spec{
		ID: "r1", Namespace: "default", Name: "web-1", UID: "u", Slot: "s/0", Hostname: "web", HostIP: "192.0.2.1", Labels: map[string]string{"a": "b"},
		Containers: []runtime.Container{{
			Name: "app", Command: []string{"run"}, Args: []string{"x"}, Env: []runtime.Env{{Name: "A", Value: "b"}, {Name: "S", Secret: true}, {Name: "IP", PodIP: true}},
			Ports: []runtime.Port{{Name: "http", ContainerPort: 80, HostPort: 8080, Protocol: "TCP"}}, Mounts: []runtime.Mount{{Volume: "v", Path: "/v", ReadOnly: true}},
			CPULimit: 100, CPURequest: 50, MemLimit: 1 << 20,
		}},
		Volumes: []runtime.Volume{{Name: "v", Secret: true}},
	}
}

func TestGoldenFormats(t *testing.T) {
	file := func(name string, value versioned, empty func() versioned) golden.Format {
		return golden.Format{
			Name: name, Text: true,
			Make: func(t *testing.T) []byte {
				*value.version() = filesVersion
				text, err := json.MarshalIndent(value, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				return bytes.Replace(text, []byte("{"), []byte("{\n \"Later\": 1,"), 1) // a field of a later holon
			},
			Read: func(b []byte) (string, error) {
				into := empty()
				err := decodeFile(bytes.NewReader(b), into)
				text, err2 := json.MarshalIndent(into, "", " ")
				return string(text), errors.Join(err, err2)
			},
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	golden.Check(t, file("pod.v1", &podRecord{Spec: goldenSpec(), IP: "192.0.2.7"}, func() versioned { return &podRecord{} }))
	golden.Check(t, file("start.v1", &startOrder{
		Argv: []string{"run", "x"}, Env: []string{"A=b"}, SecretEnv: []string{"S"}, WorkingDir: "/d", PodDir: "/d", PodIP: "192.0.2.7", Private: true,
		Mounts: []mountOrder{{Source: "/s", Target: "/t", Host: "/h", ReadOnly: true}}, LogBytesMax: 1, Notes: []string{"note"},
		Cgroups: containerCgroups{V2: true, Track: "/g"}, Forwards: []forwardOrder{{}}, Listens: []listenOrder{{IP: "192.0.2.7", Port: 80, Protocol: "TCP"}},
	}, func() versioned { return &startOrder{} }))
	golden.Check(t, file("state.v1", &attemptState{
		Phase: exited, Shim: processID{PID: 7, Start: 8}, Main: processID{PID: 9, Start: 10}, StartedAt: at, FinishedAt: at, ExitCode: 137, OOMKilled: true, Message: "m",
	}, func() versioned { return &attemptState{} }))
	golden.Check(t, golden.Format{
		Name: "log.v1", Text: true,
		Make: func(*testing.T) []byte {
			return []byte("2026-01-02T03:04:05.6Z stdout F a line\n2026-01-02T03:04:05.7Z stderr P half \n2026-01-02T03:04:05.8Z stderr F of it\n")
		},
		Read: func(b []byte) (string, error) {
			var out strings.Builder
			r := &logReader{opts: runtime.LogOptions{Tail: -1, Timestamps: true}, out: &out, midline: map[string]bool{}}
			_, err := r.records(bytes.NewReader(b))
			return out.String(), err
		},
	})
}

// Files of a later version are refused in words, those without a version read.
func TestVersionsOfFiles(t *testing.T) {
	for text, want := range map[string]string{`{"Version":2}`: "version 2", `{"Version":1}`: "", `{"Phase":"exited"}`: ""} {
		err := decodeFile(strings.NewReader(text), &attemptState{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzFiles: files that anything may have happened to do no harm.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"Version":1,"Spec":{"ID":"r","Containers":[{"Name":"c","Ports":[{"ContainerPort":80}]}]},"IP":"127.0.0.1"}`))
	f.Add([]byte(`{"Phase":"running","Shim":{"PID":1,"Start":2}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var state attemptState
		var order startOrder
		_ = decodeFile(bytes.NewReader(b), &state)
		_ = decodeFile(bytes.NewReader(b), &order)
		p := &pod{}
		if decodeFile(bytes.NewReader(b), &p.record) == nil {
			_ = p.build("192.0.2.1", true)
		}
		_ = fmt.Sprint(state, order)
	})
}

// FuzzLog: no panic, and nothing is shown that is not in the log.
func FuzzLog(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05.6Z stdout F a line\n"))
	f.Add([]byte("2026-01-02T03:04:05.6Z stdout P\n \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		r := &logReader{opts: runtime.LogOptions{Tail: -1}, out: &out, midline: map[string]bool{}}
		if _, err := r.records(bytes.NewReader(b)); err == nil && out.Len() > len(b) {
			t.Fatalf("%d bytes became %d", len(b), out.Len())
		}
	})
}
