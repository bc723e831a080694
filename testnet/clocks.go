package testnet

import "time"

// wallClock is a host's clock: where it stood when the world began, in milliseconds
// since 1970, and how many of them it gains per second.
type wallClock struct{ began, gains int64 }

func clockAt(text string) wallClock {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err) // a constant
	}
	return wallClock{began: t.UnixMilli()}
}

// clocksByTurns are what hosts without and with a battery, and with a broken one, say.
var clocksByTurns = []wallClock{clockAt("1970-01-01T00:00:05Z"), clockAt("2026-01-01T00:00:00Z"), clockAt("2099-12-31T23:59:59Z")}

func (k wallClock) reads(now time.Duration) int64 {
	return k.began + now.Milliseconds() + int64(now.Seconds()*float64(k.gains))
}
