//go:build remote

package podman

import (
	"context"
	"errors"
	"os"
	"testing"

	"holon/runtime"
	"holon/runtime/runtimetest"
)

// TestImages hands an image on between two services, each with storage of its own.
func TestImages(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "hp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := CleanService(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	other, err := StartService(t.Context(), ServiceConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, "images", "n2")
	cfg.URL, cfg.Logger = other.URL, nil
	b, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	runtimetest.ImageConformance(t, runtimetest.ImageFixture{A: newRuntime(t, "images", "n1"), B: b, Name: testImage, New: "localhost/other:1"})
}

// TestSilence: Podman's words for a registry that cannot be asked, and for one that
// says no.
func TestSilence(t *testing.T) {
	for words, silent := range map[string]bool{
		`short-name "app:9" did not resolve to an alias and no unqualified-search registries are defined in "/etc/containers/registries.conf"`:                                                  true,
		`initializing source docker://localhost/app:9: pinging container registry localhost: Get "https://localhost/v2/": dial tcp 127.0.0.1:443: connect: connection refused`:                  true,
		`initializing source docker://registry.invalid/app:9: pinging container registry registry.invalid: Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host`: true,
		`pinging container registry registry.example: Get "https://registry.example/v2/": net/http: TLS handshake timeout`:                                                                      true,
		`initializing source docker://registry.example/app:9: reading manifest 9 in registry.example/app: manifest unknown`:                                                                     false,
		`initializing source docker://registry.example/app:9: reading manifest 9 in registry.example/app: requested access to the resource is denied`:                                           false,
		`initializing source docker://registry.example/app:9: unable to retrieve auth token: invalid username/password: unauthorized: authentication required`:                                  false,
	} {
		e, ok := errors.AsType[*runtime.ImageError](imageMissing("pull", "app:9", errors.New(words)))
		if !ok || e.NoRegistry != silent || e.Image != "app:9" {
			t.Errorf("%q: %+v", words, e)
		}
	}
}

// TestNoRegistryAnswers asks one that does not listen.
func TestNoRegistryAnswers(t *testing.T) {
	r := newRuntime(t, "silence", "n1")
	_, err := r.PullImage(t.Context(), "127.0.0.1:1/app:1", runtime.Auth{})
	if e, ok := errors.AsType[*runtime.ImageError](err); !ok || !e.NoRegistry || runtime.KindOf(err) != runtime.ImageMissing {
		t.Errorf("%v", err)
	}
}
