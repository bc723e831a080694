package main

import (
	"context"
	"fmt"
	"time"
)

// spread is P2: ten members in one process. A write of holon counts from the
// request until every member's cache shows it; raw GossipSub from Publish until
// the last member has the message, and it has no disk. So what is compared has its
// databases in memory. With them on disk each write is synced ten times, twice in
// turn, by ten members that share one disk as no cluster does: those figures stand
// beside it without a goal (P1 and P3 are durable), but for the one beside
// go-ds-crdt, which syncs, too.
func spread(ctx context.Context, b *bench) error {
	const members = 10
	for range b.rounds {
		_, onDisk, err := spreadOfHolon(ctx, b, "", members)
		if err != nil {
			return err
		}
		record, ours, err := spreadOfHolon(ctx, b, memoryDir, members)
		if err != nil {
			return err
		}
		theirs := map[float64]series{}
		err = withGossip(ctx, members, record, func(g *gossip) (err error) {
			var ids numbers
			for _, rate := range spreadRates {
				if theirs[rate], err = lossy(ctx, g, &ids, rate, b.spreadLength(), lossPatience); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		var dags series
		err = withDSCRDT(ctx, dscrdtOptions{members: members, sync: true, size: smallValue}, func(d *dscrdt) (err error) {
			var ids numbers
			dags, err = lossy(ctx, d, &ids, 20, b.spreadLength(), lossPatience)
			return err
		})
		if err != nil {
			return err
		}
		for _, rate := range spreadRates {
			b.addQuantiles("P2", fmt.Sprintf("write to visible on all, N=10, %.0f/s", rate), "raw GossipSub", ours[rate], theirs[rate],
				atMost("<= 1.5x", 1.5), atMost("<= 2x", 2))
			b.addQuantiles("P2", fmt.Sprintf("- ten databases synced on one disk, %.0f/s", rate), "raw GossipSub", onDisk[rate], theirs[rate], goal{}, goal{})
		}
		b.figure("P2", "- ten databases synced on one disk, 20/s, p50", "ms", "go-ds-crdt", atMost("<= 0.5x", 0.5)).add(onDisk[20].quantile(0.5), dags.quantile(0.5))
	}
	return nil
}

var spreadRates = []float64{20, 200, 1000}

func (b *bench) spreadLength() time.Duration { return time.Duration(b.scaled(8, 4)) * time.Second }

// spreadOfHolon measures holon and returns its records for raw GossipSub.
func spreadOfHolon(ctx context.Context, b *bench, parent string, members int) (record func(write) []byte, took map[float64]series, err error) {
	took = map[float64]series{}
	err = withPartsIn(ctx, parent, members, smallValue, func(p *parts) (err error) {
		var ids numbers
		if err := prefill(ctx, p, &ids); err != nil {
			return err
		}
		for _, rate := range spreadRates {
			if took[rate], err = steady(ctx, p, &ids, rate, b.spreadLength()); err != nil {
				return err
			}
		}
		record = p.nodes[0].store.recordOf
		return nil
	})
	return record, took, err
}

// lossPatience is how long a peer that may lose writes has for the last of them.
const lossPatience = 10 * time.Second

// lossy is steady for a peer that may lose writes: those count as having taken
// the whole patience.
func lossy(ctx context.Context, c cluster, ids *numbers, rate float64, length, patience time.Duration) (series, error) {
	var took series
	err := watched(ctx, c, func(ctx context.Context, t *tracker) error {
		if err := openLoop(ctx, c, t, ids, someKeys, rate, length); err != nil {
			return err
		}
		if err := t.wait(ctx, patience); err != nil && ctx.Err() != nil {
			return err
		}
		lost := t.lost()
		if took = t.latencies(); lost > 0 {
			say("%s at %.0f/s: %d writes did not arrive everywhere in %v", c.name(), rate, lost, patience)
		}
		for range lost {
			took = append(took, millis(patience))
		}
		return nil
	})
	return took, err
}
