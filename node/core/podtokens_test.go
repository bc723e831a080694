package core

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// withTokens is a node that knows the time, a ServiceAccount robot, and the spec of a pod
// whose volume t has a token for each life in seconds.
func withTokens(t fataler, account string, lives ...int64) (*crowd, object) {
	x := newCrowd(t, 1, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 4})
	x.tellTime(firstWall)
	x.put(state.MakeKey(state.ServiceAccounts, "default", "robot"), crdt.UID{8}, object{})
	sources := []any{object{"configMap": object{"name": state.RootCA, "optional": true}}}
	for i, life := range lives {
		sources = append(sources, object{"serviceAccountToken": object{"path": string(rune('a' + i)), "audience": "vault", "expirationSeconds": life}})
	}
	return x, object{"serviceAccountName": account, "containers": []any{object{"name": "app", "image": "app"}}, "volumes": []any{
		object{"name": "t", "projected": object{"sources": sources}},
	}}
}

func (x *crowd) tellTime(wall int64) {
	host := x.host
	host.Wall = wall
	x.step(HostChanged{Host: host})
}

// TestATokenIsNamedAndNotMade: the order says what token belongs into which file, in a
// volume in memory, and holds none.
func TestATokenIsNamedAndNotMade(t *testing.T) {
	x, spec := withTokens(t, "robot", 600)
	x.cfg.RootCA = "the CA"
	o := x.orderFor(spec)
	if o.Spec == nil || len(o.Sealed) != 1 {
		t.Fatalf("it orders %+v", o)
	}
	use, v := o.Sealed[0], o.Spec.Volumes[0]
	want := AccountToken{Account: "robot", Audience: "vault", Life: 10 * time.Minute}
	if !use.InFile || use.Volume != 0 || use.File != 1 || use.Token == nil || *use.Token != want || !v.Secret {
		t.Errorf("it wants %+v in %+v", use, v)
	}
	if got := strings.Join(shown(v), "\n"); got != "ca.crt 644 \"the CA\"\na 644 \"\"" {
		t.Errorf("files are\n%s", got)
	}
}

// TestAStoredRootCAIsShown in place of the one that each namespace is given.
func TestAStoredRootCAIsShown(t *testing.T) {
	x, spec := withTokens(t, "robot")
	x.cfg.RootCA = "the CA"
	x.put(state.MakeKey(state.ConfigMaps, "default", state.RootCA), crdt.UID{7}, object{"data": object{"ca.crt": "another"}})
	if got := shown(x.orderFor(spec).Spec.Volumes[0])[0]; got != `ca.crt 644 "another"` {
		t.Errorf("it shows %s", got)
	}
}

// TestAPodWaitsForWhatItsTokenNeeds, says what that is, and starts once it is there.
func TestAPodWaitsForWhatItsTokenNeeds(t *testing.T) {
	for _, c := range []struct {
		wall          int64
		account, says string
		wait          time.Duration // after it is there; 0: somebody tells
		help          func(*crowd)
	}{
		{firstWall, "nobody", `volume t: serviceaccount "nobody" not found`, 0, func(x *crowd) {
			x.put(state.MakeKey(state.ServiceAccounts, "default", "nobody"), crdt.UID{6}, object{})
		}},
		{firstWall - time.Hour.Milliseconds(), "", "volume t: no token can be made as long as no node in reach knows what time it is", orderRetryMax, func(x *crowd) {
			x.tellTime(firstWall)
		}},
	} {
		x, spec := withTokens(t, c.account, 600)
		x.tellTime(c.wall)
		if o := x.orderFor(spec); o.Spec != nil {
			t.Errorf("%s: it is ordered all the same", c.says)
		}
		for _, r := range x.runner.runs {
			if r.reason != "CreateContainerConfigError" || r.message != c.says {
				t.Errorf("it says %s: %s, want %s", r.reason, r.message, c.says)
			}
		}
		c.help(x)
		x.now += c.wait
		if orders := x.step(Woke{}); len(orders) != 1 || orders[0].Kind != Ensure {
			t.Errorf("%s: once that is over it orders %+v", c.says, orders)
		}
	}
}

// due is when the tokens of the only pod are made anew.
func (x *crowd) due() Instant {
	for _, r := range x.runner.runs {
		return r.renewAt
	}
	return 0
}

// TestTokensAreMadeAnewBeforeTheyEnd: when four fifths of the shortest life are over, or a
// day, and not before; one after the other, for as long as the pod runs.
func TestTokensAreMadeAnewBeforeTheyEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lives := rapid.SliceOfN(rapid.Int64Range(600, 1<<32), 1, 3).Draw(t, "lives")
		shortest := time.Duration(1<<32) * time.Second
		for _, life := range lives {
			shortest = min(shortest, time.Duration(life)*time.Second)
		}
		age := min(shortest/5*4, 24*time.Hour)
		x, spec := withTokens(t, "robot", lives...)
		o := x.orderFor(spec)
		made := x.now
		x.running(o)
		for range 3 {
			x.now = made + age - time.Second
			if early := x.step(Woke{}); len(early) > 0 {
				t.Fatalf("%v before it is due: %+v", made+age-x.now, early)
			}
			x.now = made + age
			orders := x.step(Woke{})
			if len(orders) != 1 || orders[0].Kind != Update || len(orders[0].Sealed) != len(lives) {
				t.Fatalf("when it is due: %+v", orders)
			}
			made = x.now
			x.step(Ordered{Order: orders[0]})
			for _, bad := range x.AuditPlan() {
				t.Fatal(bad)
			}
		}
	})
}

// TestATokenThatCannotBeMadeAnewIsTriedAgain, whatever is in the way, long before it ends.
func TestATokenThatCannotBeMadeAnewIsTriedAgain(t *testing.T) {
	x, spec := withTokens(t, "robot", 600)
	x.running(x.orderFor(spec))
	x.now = x.due()
	orders := x.step(Woke{})
	x.step(Ordered{Order: orders[0], Err: &runtime.Error{Kind: runtime.Unavailable, Op: "update", Err: errors.New("no key")}})
	x.now += orderRetryMax
	if orders = x.step(Woke{}); len(orders) != 1 || orders[0].Kind != Update {
		t.Fatalf("after the shell has failed: %+v", orders)
	}
	x.step(Ordered{Order: orders[0]})
	x.tellTime(0)
	x.now = x.due()
	if orders = x.step(Woke{}); len(orders) > 0 {
		t.Fatalf("without a time it orders %+v", orders)
	}
	x.tellTime(firstWall)
	x.now += orderRetryMax
	if orders = x.step(Woke{}); len(orders) != 1 || orders[0].Kind != Update {
		t.Errorf("once the time is known again: %+v", orders)
	}
}

// TestTokensFollowTheirAccount: another one of its name is another, so the token that the pod
// has opens nothing. And a pod that is found after a boot has a token of unknown age.
func TestTokensFollowTheirAccount(t *testing.T) {
	x, spec := withTokens(t, "robot", 600)
	o := x.orderFor(spec)
	x.running(o)
	x.put(state.MakeKey(state.ServiceAccounts, "default", "robot"), crdt.UID{8}, object{"imagePullSecrets": []any{object{"name": "s"}}})
	orders := x.step(Woke{})
	if len(orders) != 1 || orders[0].Kind != Update {
		t.Fatalf("a change of the account makes %+v", orders)
	}
	x.step(Ordered{Order: orders[0]})
	for _, r := range x.runner.runs { // what a boot begins with
		x.runner.drop(r)
	}
	x.runner.starting, x.runner.unsureAll, x.runner.dirty = 0, true, true
	orders = x.step(Observed{Pods: x.pods(o)})
	for range 5 {
		orders = append(orders, x.step(Woke{})...)
	}
	if len(orders) != 1 || orders[0].Kind != Update || x.due() == 0 {
		t.Errorf("a pod that is found makes %+v, and the next is due at %v", orders, x.due())
	}
}
