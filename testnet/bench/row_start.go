package main

import (
	"context"
	"fmt"
	"os"
)

// startTimes measures `holon testnet up`.
func startTimes(ctx context.Context, b *bench) error {
	sizes := map[int]goal{3: {}, 5: {}, 10: atMost("<= 5 s", 5)}
	for range b.rounds {
		for _, n := range []int{3, 5, 10} {
			t, took, err := b.start(ctx, n)
			if err != nil {
				return err
			}
			if err := t.end(); err != nil {
				return err
			}
			b.figure("start", fmt.Sprintf("`testnet up`, %d nodes, until all see all Ready", n), "s", "", sizes[n]).add(took.Seconds(), 0)
		}
	}
	return nil
}

func programSize(_ context.Context, b *bench) error {
	info, err := os.Stat(b.holon)
	if err != nil {
		return err
	}
	b.figure("size", "the program, stripped", "MB", "", atMost("<= 60 MB", 60)).add(float64(info.Size())/1e6, 0)
	return nil
}
