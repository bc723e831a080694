package api

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"
)

// client keeps what it is sent.
type client struct {
	nowhere
	sent bytes.Buffer
}

func (c *client) Write(p []byte) (int, error) { return c.sent.Write(p) }

// looker is a watcher with a selector, a form and a past of its own, twice: once it shares
// frames with others, once it does not.
type looker struct {
	url               string
	sel               *selector
	watcher           *Watcher
	together, alone   client
	sharing, lonesome frameWriter
}

const tableAccept = typeJSON + ";as=Table;v=v1;g=meta.k8s.io"

func newLooker(t *rapid.T, c *Cache) *looker {
	accept := rapid.SampledFrom([]string{typeJSON, typeProtobuf, tableAccept, typeJSON + ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}).Draw(t, "accept")
	query := rapid.SampledFrom([]string{"", "&includeObject=None", "&includeObject=Object", "&labelSelector=app%3Dweb", "&fieldSelector=metadata.name%3Da"}).Draw(t, "query")
	r := httptest.NewRequest(http.MethodGet, "/api/v1/configmaps?watch=1"+query, nil)
	r.Header.Set("Accept", accept)
	target, err := parseTarget("/api/v1/configmaps")
	fatal(t, err)
	f, err := negotiate(r, true)
	fatal(t, err)
	l := &looker{url: r.URL.String() + " as " + accept}
	l.sel, err = selectorOf(r, target)
	fatal(t, err)
	l.watcher, err = c.Watch(context.Background(), "configmaps", "", c.RV())
	fatal(t, err)
	rows := rapid.IntRange(0, 1).Draw(t, "rows")
	writer := func(to *client) frameWriter {
		to.header = http.Header{}
		return frameWriter{s: &Server{}, out: timed(to, frameTimeout), r: r, kind: target.kind, format: f, include: includeObject(r), rows: rows}
	}
	l.sharing, l.lonesome = writer(&l.together), writer(&l.alone)
	return l
}

// TestSharedFrames: watchers of one change are each sent what each would be sent alone.
func TestSharedFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCache(1, 1, nil)
		var lookers []*looker
		for range rapid.IntRange(2, 10).Draw(t, "watchers") {
			lookers = append(lookers, newLooker(t, c))
		}
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			o := Object{Key: Key{Resource: "configmaps", Namespace: "n", Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")}}
			o.Source = stored(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + o.Name + `","namespace":"n","uid":"` +
				rapid.SampledFrom([]string{"1", "1", "1", "2"}).Draw(t, "uid") + `","labels":{"app":"` + rapid.SampledFrom([]string{"web", "db"}).Draw(t, "app") + `"}}}`)
			if rapid.IntRange(0, 4).Draw(t, "delete") == 4 {
				fatal(t, c.Apply(nil, []Key{o.Key}))
			} else {
				fatal(t, c.Apply([]Object{o}, nil))
			}
		}
		for _, l := range lookers {
			l.watcher.Stop()
			for change := range l.watcher.C {
				fatal(t, l.sharing.change(l.sel, *change))
				own := *change
				own.frames = nil
				fatal(t, l.lonesome.change(l.sel, own))
			}
			if !bytes.Equal(l.together.sent.Bytes(), l.alone.sent.Bytes()) {
				t.Fatalf("%s was sent\n%q, and alone\n%q", l.url, &l.together.sent, &l.alone.sent)
			}
		}
	})
}

func fatal(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
