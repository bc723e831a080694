package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// stored is a Source that is made anew for each reader, as those of a node are.
type stored []byte

func (s stored) Value(Key) (value map[string]any) {
	if err := json.Unmarshal(s, &value); err != nil {
		panic(err)
	}
	return value
}

// nowhere is a client that takes everything at once.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) Flush()                      {}

// BenchmarkFanOut is what one change costs a node with so many watchers, besides their
// connections.
func BenchmarkFanOut(b *testing.B) {
	for _, accept := range []string{typeJSON, typeProtobuf, tableAccept} {
		b.Run(strings.NewReplacer("/", "-", ";", ",").Replace(accept), func(b *testing.B) {
			const watchers = 1000
			kind := kindOf("", "v1", "configmaps")
			r := httptest.NewRequest(http.MethodGet, "/api/v1/configmaps?watch=1", nil)
			r.Header.Set("Accept", accept)
			f, err := negotiate(r, true)
			check(b, err)
			c := NewCache(1, 1, nil)
			writers := make([]*frameWriter, watchers)
			queues := make([]*Watcher, watchers)
			for i := range writers {
				writers[i] = &frameWriter{s: &Server{}, out: timed(nowhere{http.Header{}}, frameTimeout), r: r, kind: kind, format: f, include: includeObject(r), rows: 1}
				queues[i], err = c.Watch(b.Context(), "configmaps", "", c.RV())
				check(b, err)
			}
			all := &selector{kind: kind, labels: labels.Everything(), fields: fields.Everything()}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				source := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"n","uid":"u","labels":{"a":"b"}},"data":{"i":"%d","v":%q}}`, i, strings.Repeat("x", 1000))
				check(b, c.Apply([]Object{{Key: Key{Resource: "configmaps", Namespace: "n", Name: "c"}, Source: stored(source)}}, nil))
				for j, w := range writers {
					check(b, w.change(all, *<-queues[j].C))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/watchers, "us/watcher")
		})
	}
}
