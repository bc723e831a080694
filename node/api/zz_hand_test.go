package api

import (
	"log/slog"
	"os"
	"testing"
	"time"
)

func TestHand(t *testing.T) {
	f := serve(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	f.backend.addEvent("e1", "Started", "web-0-00")
	os.WriteFile("/tmp/hand.kubeconfig", f.kubeconfig(), 0600)
	for {
		if _, err := os.Stat("/tmp/hand.stop"); err == nil {
			break
		}
		time.Sleep(300 * time.Millisecond)
	}
}
