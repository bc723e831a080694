//go:build remote

package podman

import (
	"context"
	"os"
	"testing"

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
