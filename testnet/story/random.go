package story

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	randomNodes   = 5
	randomFaults  = 12
	randomPauseMS = 2500 // at most, after each fault
)

// Random makes up a story: faults and edits in any order, then all is mended and
// everything has to be as if nothing had been. One seed is one story.
func Random(seed uint64) (Story, error) {
	g := generator{rng: rand.New(rand.NewPCG(seed, 0x57041e5)), up: map[string]bool{}, podman: map[string]bool{}}
	g.say("nodes %d", randomNodes)
	for i := range randomNodes {
		name := fmt.Sprintf("n%d", i+1)
		g.names = append(g.names, name)
		g.up[name], g.podman[name] = true, true
	}
	g.say("apply web replicas=%d", 3+g.rng.IntN(4))
	g.say("expect exact web within=20s")
	for i := range randomFaults {
		g.fault(i)
		g.say("run %dms", g.rng.IntN(randomPauseMS))
	}
	g.mend()
	for _, expectation := range []string{"equal", "exact web", "equal"} { // what is mended may write
		g.say("expect %s within=120s", expectation)
	}
	return Parse(fmt.Sprintf("random %d", seed), strings.Join(g.lines, "\n"))
}

// generator knows as much of the cluster as is needed to say what makes sense.
type generator struct {
	rng        *rand.Rand
	lines      []string
	names      []string
	up, podman map[string]bool
}

func (g *generator) say(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

// those lists nodes of which something is so.
func (g *generator) those(is map[string]bool, so bool) []string {
	return slices.DeleteFunc(slices.Clone(g.names), func(name string) bool { return is[name] != so })
}

// some draws a few of them; none if there are none.
func (g *generator) some(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	g.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+g.rng.IntN(min(2, len(names)))]
}

// set does something to nodes, if there are any it can be done to.
func (g *generator) set(is map[string]bool, names []string, so bool, verb string) {
	for _, name := range names {
		is[name] = so
	}
	if len(names) > 0 {
		g.say("%s %s", verb, strings.Join(names, " "))
	}
}

func (g *generator) fault(number int) {
	any := func() []string { return g.some(slices.Clone(g.names)) }
	switch g.rng.IntN(12) {
	case 0, 1:
		order := g.rng.Perm(randomNodes)
		cut := 1 + g.rng.IntN(randomNodes-1)
		side := func(of []int) (names []string) {
			for _, i := range of {
				names = append(names, g.names[i])
			}
			return names
		}
		g.say("cut %s | %s", strings.Join(side(order[:cut]), " "), strings.Join(side(order[cut:]), " "))
	case 2:
		order := g.rng.Perm(randomNodes)
		g.say("oneway %s %s", g.names[order[0]], g.names[order[1]])
	case 3:
		g.say("loss %d %s", 10+g.rng.IntN(25), strings.Join(any(), " "))
	case 4:
		g.say("unplug %s", any()[0])
	case 5:
		g.say("heal")
	case 6:
		g.set(g.up, g.some(g.those(g.up, true)), false, "crash")
	case 7:
		cut := g.some(g.those(g.up, true))
		g.set(g.up, cut, false, "power")
		for _, name := range cut { // a boot starts the runtime, too
			g.podman[name] = true
		}
	case 8:
		g.set(g.up, g.some(g.those(g.up, false)), true, "start")
	case 9:
		if g.rng.IntN(2) == 0 {
			g.set(g.podman, g.some(g.those(g.podman, false)), true, "podman up")
		} else {
			g.set(g.podman, g.some(g.those(g.up, true)), false, "podman down")
		}
	case 10:
		g.say("readdress %s", strings.Join(any(), " "))
	default:
		if up := g.those(g.up, true); len(up) > 0 {
			on := up[g.rng.IntN(len(up))]
			if g.rng.IntN(2) == 0 {
				g.say("apply web replicas=%d on=%s", 2+g.rng.IntN(5), on)
			} else {
				g.say("label web edit=e%d on=%s", number, on)
			}
		}
	}
}

func (g *generator) mend() {
	g.say("heal")
	g.set(g.up, g.those(g.up, false), true, "start")
	g.set(g.podman, g.those(g.podman, false), true, "podman up")
}
