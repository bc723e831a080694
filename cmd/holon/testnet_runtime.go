package main

import (
	"context"
)

func (t *testnet) chooseRuntime(_ context.Context, o upOptions, _ *progress) error {
	t.state.Runtime = o.runtime
	if o.runtime == "auto" {
		t.state.Runtime = "process"
	}
	t.state.Podman = o.podman
	return nil
}

func (t *testnet) ensureService(context.Context) error { return nil }
func (t *testnet) endService(context.Context) error    { return nil }

func (t *testnet) powerCut(context.Context, *testnetNode) error         { return nil }
func (t *testnet) freezePods(context.Context, *testnetNode, bool) error { return nil }
