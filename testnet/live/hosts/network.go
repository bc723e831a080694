package hosts

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// faults is what is wrong with the wire. The whole of it becomes one ruleset, so
// that no fault depends on which came before.
type faults struct {
	side    map[string]int // hosts on different sides do not hear each other
	mute    [][2]string    // from, to
	percent int            // of the frames that lossy hosts send or receive
	lossy   []string
}

// ruleset is nft's text for what is wrong. A port of the bridge has the name of the
// host behind it.
func (w faults) ruleset(hosts []string) string {
	// fwd, the obvious name, is a word of nft's own.
	text := "add table bridge wire\ndelete table bridge wire\ntable bridge wire {\n" +
		" chain pass {\n  type filter hook forward priority 0; policy accept;\n"
	for _, a := range hosts {
		for _, b := range hosts {
			if a != b && (w.side[a] != w.side[b] || slices.Contains(w.mute, [2]string{a, b})) {
				text += fmt.Sprintf("  iifname %q oifname %q drop\n", a, b)
			}
		}
	}
	if w.percent > 0 && len(w.lossy) > 0 {
		some := fmt.Sprintf(`{ "%s" }`, strings.Join(w.lossy, `", "`))
		lost := fmt.Sprintf("numgen random mod 100 < %d drop\n", w.percent)
		text += "  iifname " + some + " " + lost + "  iifname != " + some + " oifname " + some + " " + lost
	}
	return text + " }\n}\n"
}

// apply lets the wire have other faults, at once.
func (f *Fabric) apply(ctx context.Context, w faults) error {
	var names []string
	for _, h := range f.Hosts {
		names = append(names, h.Name)
	}
	text := w.ruleset(names)
	if _, err := f.enter(ctx, text, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("faults of the wire: %w\n%s", err, text)
	}
	f.faults = w
	return nil
}

// Partition puts hosts on sides that do not hear each other, without a word to
// anybody. Who is not named is on one more side.
func (f *Fabric) Partition(ctx context.Context, groups ...[]string) error {
	w := f.faults
	w.side = map[string]int{}
	for i, group := range groups {
		if err := f.known(group...); err != nil {
			return err
		}
		for _, name := range group {
			w.side[name] = i + 1
		}
	}
	return f.apply(ctx, w)
}

// known refuses names that are no hosts': rules about them would do nothing.
func (f *Fabric) known(names ...string) error {
	for _, name := range names {
		if _, err := f.Host(name); err != nil {
			return err
		}
	}
	return nil
}

// OneWay takes away what one host sends to another, which it still hears.
func (f *Fabric) OneWay(ctx context.Context, from, to string) error {
	if err := f.known(from, to); err != nil {
		return err
	}
	w := f.faults
	w.mute = append(slices.Clone(w.mute), [2]string{from, to})
	return f.apply(ctx, w)
}

// Loss drops frames that these hosts send or receive, at random; 0 ends it.
func (f *Fabric) Loss(ctx context.Context, percent int, names ...string) error {
	if percent < 0 || percent > 99 {
		return fmt.Errorf("a loss of %d %% is not from 0 to 99: LinkDown loses all", percent)
	}
	if err := f.known(names...); err != nil {
		return err
	}
	w := f.faults
	w.percent, w.lossy = percent, names
	return f.apply(ctx, w)
}

// Heal lets everybody hear everybody, and plugs all cables in.
func (f *Fabric) Heal(ctx context.Context) error {
	for _, h := range f.Hosts {
		if h.cut {
			if err := h.LinkUp(ctx); err != nil {
				return err
			}
		}
	}
	return f.apply(ctx, faults{})
}

// LinkDown pulls the host's cable: silence, and no word to the others.
func (h *Host) LinkDown(ctx context.Context) error { return h.setLink(ctx, true) }

// LinkUp plugs it in again.
func (h *Host) LinkUp(ctx context.Context) error { return h.setLink(ctx, false) }

func (h *Host) setLink(ctx context.Context, cut bool) error {
	h.cut = cut
	if !h.first.running() {
		return nil // the next boot has it so
	}
	_, err := h.fabric.enter(ctx, "", "ip", "link", "set", h.Name, map[bool]string{true: "down", false: "up"}[cut])
	return err
}

// plugIn gives a host that has just booted its end of a new cable.
func (h *Host) plugIn(ctx context.Context) error {
	f := h.fabric
	if _, err := f.enter(ctx, "", "ip", "link", "show", h.Name); err == nil {
		// The kernel takes its time with the other end's namespace.
		if _, err := f.enter(ctx, "", "ip", "link", "del", h.Name); err != nil {
			return err
		}
	}
	for _, line := range []string{
		"ip link add " + h.Name + " type veth peer name eth0 netns " + h.first.id(),
		"ip link set " + h.Name + " master br0",
	} {
		if _, err := f.enter(ctx, "", strings.Fields(line)...); err != nil {
			return err
		}
	}
	if err := h.setLink(ctx, h.cut); err != nil {
		return err
	}
	for _, line := range []string{"ip link set lo up", "ip link set eth0 up"} {
		if _, err := h.Enter(ctx, "", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return h.setAddress(ctx)
}

func (h *Host) setAddress(ctx context.Context) error {
	_, err := h.Enter(ctx, "", "ip", "address", "add", h.Address().String()+"/16", "dev", "eth0")
	return err
}

// Address is in 10.77.0.0/16: the last byte is the host's number, the one before
// says how often it has changed.
func (h *Host) Address() netip.Addr {
	return netip.AddrFrom4([4]byte{10, wireNet, byte(h.moves), byte(h.number)})
}

// ChangeAddress gives hosts, or all, other addresses: at once to those that have
// power, the others have them at their boot.
func (f *Fabric) ChangeAddress(ctx context.Context, names ...string) error {
	if err := f.known(names...); err != nil {
		return err
	}
	for _, h := range f.Hosts {
		if len(names) > 0 && !slices.Contains(names, h.Name) {
			continue
		}
		if h.moves == movesMax {
			return fmt.Errorf("the address of %s has changed %d times: there are no more", h.Name, h.moves)
		}
		h.moves++
		if !h.first.running() {
			continue
		}
		if _, err := h.Enter(ctx, "", "ip", "-4", "address", "flush", "dev", "eth0"); err != nil {
			return err
		}
		if err := h.setAddress(ctx); err != nil {
			return err
		}
	}
	return nil
}
