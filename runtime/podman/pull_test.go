//go:build remote

package podman

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holon/runtime"
)

// TestACredentialIsInOneHeader: Podman gets it with the pull, and in no address, which
// would be in its log.
func TestACredentialIsInOneHeader(t *testing.T) {
	var pulls []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Libpod-API-Version", "5.0.0")
		if strings.Contains(r.URL.String(), "word") {
			t.Errorf("the password is in %s", r.URL)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/images/pull"):
			text, err := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
			if err != nil {
				t.Error(err)
			}
			var auth struct{ Username, Password string }
			if len(text) > 0 && json.Unmarshal(text, &auth) != nil {
				t.Errorf("the header is %q", text)
			}
			pulls = append(pulls, auth.Username+":"+auth.Password)
			_, _ = w.Write([]byte(`{"id": "0123"}`))
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			_, _ = w.Write([]byte(`[]`))
		case strings.HasSuffix(r.URL.Path, "/json"):
			_, _ = w.Write([]byte(`{"Id": "0123", "Size": 7}`))
		}
	}))
	defer service.Close()
	r := &Runtime{link: newLink("tcp://" + strings.TrimPrefix(service.URL, "http://")), cfg: Config{PullTimeout: time.Minute}}
	defer r.link.close()
	for _, auth := range []runtime.Auth{{User: "user", Password: "pass:word"}, {}} {
		if found, err := r.PullImage(t.Context(), "registry.example/app:1", auth); err != nil || found.ID != "0123" || found.Size != 7 {
			t.Errorf("pulled %+v, %v", found, err)
		}
	}
	if len(pulls) != 2 || pulls[0] != "user:pass:word" || pulls[1] != ":" {
		t.Errorf("pulled with %q", pulls)
	}
}
