package node

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"holon/node/core"
)

// Bounds of hooks.
const (
	hookMax   = 10 * time.Minute // for one after a start; one before an end has the grace period
	hookAgain = time.Second      // until the runtime, which does not answer, is asked again
	// graceLeast is what a container has to end in after a hook that took all of its
	// grace period, as with kubelet.
	graceLeast = 2 * time.Second
)

// tellStarted performs the hook of a container that has started, in a goroutine of its
// own: there is one for each container that has one.
func (n *Node) tellStarted(ctx context.Context, h core.Hook) {
	n.spawn(func() {
		limited, cancel := context.WithTimeout(ctx, hookMax)
		defer cancel()
		err := n.performHook(limited, h)
		for errors.Is(err, errNotAsked) && sleep(limited, hookAgain) {
			err = n.performHook(limited, h)
		}
		n.tell(ctx, core.Hooked{Hook: h, OK: err == nil, Output: saidBy(err)})
	})
}

func (n *Node) performHook(ctx context.Context, h core.Hook) error {
	switch do := h.Handler; {
	case do.Exec != nil:
		return n.execIn(ctx, h.Target, do.Exec.Command)
	case do.HTTPGet != nil:
		answer, err := n.askHTTP(ctx, h.Target, do.HTTPGet)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, probeOutputMax))
		return err // any answer will do, as with kubelet
	case do.Sleep != nil:
		if !sleep(ctx, time.Duration(do.Sleep.Seconds)*time.Second) {
			return ctx.Err()
		}
		return nil
	}
	return errors.New("this version of holon does not know the hook's handler")
}

// sleep reports whether it came to its end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// saidBy is what an Event quotes of an error.
func saidBy(err error) string {
	if err == nil {
		return ""
	}
	said := err.Error()
	return strings.ToValidUTF8(said[:min(len(said), probeSaidMax)], "")
}

// end carries out an order that ends something: first all that it names are told, and
// each ends once it has been told and those before it have ended, all within the grace
// period of the order. Then comes what is left.
func (n *Node) end(ctx context.Context, o core.Order) error {
	deadline := time.Now().Add(o.Grace)
	left := func() time.Duration { return max(time.Until(deadline), min(o.Grace, graceLeast)) }
	ended := make([]sync.WaitGroup, len(o.Ends))
	for turn, group := range o.Ends {
		for _, e := range group {
			ended[turn].Go(func() {
				n.tellEnding(ctx, e.PreStop, deadline)
				for before := range ended[:turn] {
					ended[before].Wait()
				}
				// What fails here is seen to by the whole, or by the order that follows.
				_ = n.cfg.Runtime.StopContainer(ctx, o.Run, e.Container, e.Attempt, left())
			})
		}
	}
	for turn := range ended {
		ended[turn].Wait()
	}
	if o.Kind == core.Kill {
		return n.cfg.Runtime.StopContainer(ctx, o.Run, o.Container, o.Attempt, left())
	}
	return n.cfg.Runtime.StopPod(ctx, o.Run, left())
}

// tellEnding performs the hook of a container that is about to end, which it does
// however that goes.
func (n *Node) tellEnding(ctx context.Context, h *core.Hook, deadline time.Time) {
	if h == nil || !time.Now().Before(deadline) {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := n.performHook(ctx, *h); err != nil {
		n.journal(core.Fact{
			Warning: true, Reason: "FailedPreStopHook", About: h.About,
			Message: "preStop hook of container " + h.Container + " failed: " + saidBy(err),
		})
	}
}
