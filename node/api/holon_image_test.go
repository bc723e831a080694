package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// upload sends an archive, and a checksum behind it.
func (f *fixture) upload(t *testing.T, client *http.Client, archive, sum string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(f.ctx, http.MethodPost, f.url+holonPath+"images", struct{ io.Reader }{strings.NewReader(archive)})
	check(t, err)
	r.Trailer = http.Header{ImageSum: {sum}}
	resp, err := client.Do(r)
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(text)
}

func TestImages(t *testing.T) {
	f := serve(t)
	f.do("GET", holonPath+"images", "").want(t, 200, `"app:1"`, `"silent":["n2"]`)
	f.do("GET", holonPath+"images?node=nobody", "").want(t, 404)
	f.doWith(f.anonymous(), "GET", holonPath+"images", "").want(t, 401)
	f.doWith(f.anonymous(), "POST", holonPath+"images/copy", `{"name":"app:1"}`).want(t, 401)
	f.do("POST", holonPath+"images/copy", `{"name":"app:1","nodes":["n2"]}`).want(t, 200, "app:1 to n2", `"done":true`)
	f.do("POST", holonPath+"images/copy", `{}`).want(t, 400, "names no image")
	for _, test := range []struct {
		archive, sum string
		code         int
		words        string
	}{
		{"hello", "5", 200, `{"images":[{"id":"hello"`},
		{"hello", "4", 400, "5 bytes, and 4 were sent"},
		{"hello", "", 400, "5 bytes"},
		{"large", "5", 507, "the disk of this node is too full: it takes 80 MB"},
		{"bad", "3", 200, `{"error":"no archive"}`},
	} {
		if code, text := f.upload(t, f.http, test.archive, test.sum); code != test.code || !strings.Contains(text, test.words) {
			t.Errorf("upload of %+v: %d %s", test, code, text)
		}
	}
	if code, _ := f.upload(t, f.anonymous(), "hello", "5"); code != 401 {
		t.Errorf("a stranger's upload is answered with %d", code)
	}
}
