package auth

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holon/runtime"
)

const hush = "correct-horse-battery-staple"

// TestIsFor has the examples of Kubernetes' documentation, and what must not get a
// password.
func TestIsFor(t *testing.T) {
	for _, c := range []struct {
		at, image string
		want      bool
	}{
		{"registry.example", "registry.example/app:1", true},
		{"https://registry.example", "registry.example/app", true},
		{"registry.example/team", "registry.example/team/app", true},
		{"registry.example/team", "registry.example/teamster/app", false},
		{"registry.example/team/app", "registry.example/team/app:1", true},
		{"registry.example/v1/", "registry.example/app", true},
		{"registry.example:5000", "registry.example:5000/app", true},
		{"registry.example", "registry.example:5000/app", false},
		{"registry.example:5000", "registry.example/app", false},
		{"*.registry.example", "a.registry.example/app", true},
		{"*.registry.example", "a.b.registry.example/app", false},
		{"*.*.registry.example", "a.b.registry.example/app", true},
		{"*.registry.example", "registry.example/app", false},
		{"prefix.*.example", "prefix.x.example/app", true},
		{"*-good.example", "prefix-good.example/app", true},
		{"registry.example", "registry.example.evil/app", false},
		{"[", "registry.example/app", false},
		{"https://index.docker.io/v1/", "nginx:1", true},
		{"docker.io", "library/nginx", true},
		{"index.docker.io", "docker.io/library/nginx", true},
		{"https://index.docker.io/v1/", "registry.example/nginx", false},
		{"registry.example", "nginx", false},
		{"localhost", "localhost/app", true},
	} {
		if got := (&Credential{At: c.at}).IsFor(c.image); got != c.want {
			t.Errorf("%q is for %q: %v", c.at, c.image, got)
		}
	}
}

// TestParse: both forms, and words that quote nothing of what is broken.
func TestParse(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	want := []Credential{{"a.example", runtime.Auth{User: "user", Password: "pass:word"}}, {"b.example", runtime.Auth{User: "u", Password: "p"}}}
	entries := fmt.Sprintf(`{"a.example": {"auth": %q}, "b.example": {"username": "u", "password": "p"}, "c.example": {}}`, auth)
	for _, text := range []string{entries, `{"auths": ` + entries + `, "credsStore": "x"}`} {
		if got, err := Parse([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{hush, `{"a.example": {"auth": "` + hush + `"}}`, `["` + hush + `"]`} {
		if got, err := Parse([]byte(text)); err == nil || strings.Contains(err.Error(), hush) {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
}
