package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestStaleness(t *testing.T) {
	var many []Unheard
	for i := range unheardMax + 3 {
		many = append(many, Unheard{Node: fmt.Sprint("n", i)})
	}
	for want, unheard := range map[string][]Unheard{
		"":                                  nil,
		"n3;s=12":                           {{"n3", 12*time.Second + 700*time.Millisecond}},
		"n3;s=0, n4;s=3600":                 {{"n3", time.Millisecond}, {"n4", time.Hour}},
		staleness(many[:32]) + ", more;n=3": many,
	} {
		if have := staleness(unheard); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}

func TestReadsSayWhoIsOutOfReach(t *testing.T) {
	f := serve(t)
	f.backend.unheard = []Unheard{{"n3", 12 * time.Second}}
	read, write := f.do(http.MethodGet, "/api/v1/namespaces/default/configmaps", ""), f.do(http.MethodPost, "/api/v1/namespaces", "{}")
	if have := read.header.Get(StalenessHeader); have != "n3;s=12" {
		t.Errorf("a read says %q", have)
	}
	if have := write.header.Get(StalenessHeader); have != "" {
		t.Errorf("a write says %q", have)
	}
}
