package testnet

import (
	"time"

	"holon/node/core"
)

// fault breaks something, or lets something broken recover.
func (w *World) fault() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	k := w.rng.IntN(100)
	if w.shape.Blackouts && k >= 40 {
		k = 40 + k%40
	}
	switch {
	case k < 18:
		w.net.partition()
	case k < 24:
		w.net.oneWay()
	case k < 40:
		w.net.heal()
	case k < 52:
		w.crash(n, false)
	case k < 64:
		w.crash(n, true)
	case k < 80:
		w.recover()
	case k < 86:
		w.pause(n)
	case k < 93:
		w.killContainer(n)
	case k < 95:
		w.runtimeDown(n)
	case k < 96:
		w.restart(n)
	case k < 97:
		w.rollBack(n, true)
	case k < 98:
		w.rollBack(n, false)
	default:
		w.loseDisk(n)
	}
	if w.rng.IntN(3) == 0 {
		w.copyDisk(w.nodes[w.rng.IntN(len(w.nodes))])
	}
}

// admittedLately is how long whoever has admitted somebody keeps its disk: a join
// that is lost with the only disk that holds it has to be repeated by the user.
const admittedLately = 10 * time.Second

// crash ends a daemon; with power also its containers. What its disk had not
// synced is gone.
func (w *World) crash(n *Node, power bool) {
	if !n.up {
		return
	}
	w.reach.note()
	w.did("crash %s, power cut: %v", n.name, power)
	n.up, n.paused, n.backlog = false, false, nil
	n.boot++
	if power {
		w.Counts.PowerCuts++
		n.powerCuts++
		clear(n.running)
		n.host.Crash(w.now)
	} else {
		w.Counts.Crashes++
		n.host.CrashDaemon(w.now)
	}
	for _, other := range w.nodes {
		if other != n {
			w.net.cut(n, other)
		}
	}
	w.ledger.Survived(n.name, n.disk.record)
}

// tears draws whether a node crashes once it has dropped what peers had deleted,
// before it does what follows from that.
func (w *World) tears(dropped bool) bool {
	return dropped && w.shape.Tears > 0 && w.rng.IntN(w.shape.Tears) == 0
}

// restart ends a daemon that has said so and comes back soon.
func (w *World) restart(n *Node) {
	if !n.up || n.paused {
		return
	}
	w.Counts.Restartings++
	n.ask(core.Restarting{For: 30 * time.Second}, func(core.Ack) {})
	boot := n.boot
	w.after(50*time.Millisecond, func() {
		if n.boot == boot && n.up {
			w.crash(n, false)
			w.after(time.Second+time.Duration(w.rng.Int64N(int64(2*time.Second))), func() {
				if n.boot == boot+1 && !n.up && !n.rejoining {
					n.start()
				}
			})
		}
	})
}

func (w *World) recover() {
	for _, n := range w.nodes {
		if !n.up && !n.rejoining {
			n.start()
			return
		}
	}
}

// pause stops a daemon for a while, as SIGSTOP does.
func (w *World) pause(n *Node) {
	if !n.up || n.paused {
		return
	}
	w.Counts.Pauses++
	w.reach.note()
	w.did("pause %s", n.name)
	n.paused, n.pausedAt = true, w.now
	boot := n.boot
	w.after(time.Duration(w.rng.Int64N(int64(8*time.Second))), func() {
		if n.boot == boot && n.paused {
			n.resume()
		}
	})
}

func (n *Node) resume() {
	n.w.reach.note()
	n.w.reach.slept(n, n.w.now-n.pausedAt)
	n.w.did("resume %s", n.name)
	n.paused = false
	late := n.backlog
	n.backlog = nil
	for _, do := range late {
		do()
	}
}

func (w *World) killContainer(n *Node) {
	for _, p := range n.host.Statuses(w.now) {
		for _, c := range p.Containers {
			if n.host.Kill(w.now, p.ID, c.Name) {
				w.did("kill %s of %s on %s", c.Name, p.Name, n.name)
				w.Counts.Kills++
				return
			}
		}
	}
}

func (w *World) runtimeDown(n *Node) {
	if !n.up || n.down != "" {
		return
	}
	w.Counts.RuntimeDowns++
	n.setRuntime("the runtime does not answer")
	w.after(time.Duration(w.rng.Int64N(int64(w.shape.Outage))), func() { n.setRuntime("") })
}

func (n *Node) setRuntime(down string) {
	n.w.did("runtime of %s down: %v", n.name, down != "")
	n.down = down
	n.host.SetDown(down != "")
	n.guarded(n.boot, n.tellHost)
}

// loseDisk burns a disk; the node joins again under its name.
func (w *World) loseDisk(n *Node) {
	if n.index == 0 || n.rejoining || w.cfg.Nodes < 3 || w.now-n.admittedAt < admittedLately {
		return
	}
	w.burn(n)
}

func (w *World) burn(n *Node) {
	w.crash(n, true)
	n.host.Crash(w.now) // also if only the daemon was down
	n.host.Burn()
	n.powerCuts++
	w.did("%s loses its disk", n.name)
	w.Counts.DiskLosts++
	w.ledger.DiskLost(n.name)
	n.rejoining = true
	w.rejoin(n)
}
