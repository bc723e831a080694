package valid

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestScheduleNext(t *testing.T) {
	for _, c := range []struct{ schedule, zone, after, want string }{
		{"*/15 * * * *", "UTC", "2026-11-29T08:15:00Z", "2026-11-29T08:30:00Z"},
		{"0 9 * * mon-fri", "UTC", "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"},
		{"5/20 * * * *", "UTC", "2026-11-29T08:05:30Z", "2026-11-29T08:25:00Z"},
		{"0 0 13 * 5", "UTC", "2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"},    // the 13th or a Friday
		{"0 0 */2 * SUN", "UTC", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"}, // a step is no star
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"@hourly", "UTC", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"},
		{"@weekly", "UTC", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"},
		{"0 9 * * *", "Europe/Berlin", "2026-11-29T07:00:00Z", "2026-11-29T08:00:00Z"},
		{"0 9 * * *", "Asia/Kathmandu", "2026-11-29T00:00:00Z", "2026-11-29T03:15:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"},      // 02:30 is skipped on the 29th
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},      // and shown twice on the 25th
		{"0 0 * * *", "America/Havana", "2026-03-07T06:00:00Z", "2026-03-09T04:00:00Z"},      // there is no midnight on the 8th
		{"15 0 * * *", "America/Havana", "2026-10-31T12:00:00Z", "2026-11-01T04:15:00Z"},     // 00:15 is shown twice; this is the first
		{"15 0 * * *", "America/Havana", "2026-11-01T04:15:00Z", "2026-11-01T05:15:00Z"},     // and the second
		{"0 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T15:00:00Z"}, // half an hour is skipped
	} {
		s, err := ParseSchedule(c.schedule, mustZone(t, c.zone))
		if err != nil {
			t.Fatalf("%s: %v", c.schedule, err)
		}
		after, _ := time.Parse(time.RFC3339, c.after)
		if got, ok := s.Next(after); !ok || got.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%s in %s after %s: %v, not %s", c.schedule, c.zone, c.after, got.UTC(), c.want)
		}
	}
	never, err := ParseSchedule("0 0 30 2 *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := never.Next(time.Unix(0, 0)); ok {
		t.Errorf("the 30th of February is %v", got)
	}
}

func TestScheduleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"": "fields", "* * * *": "fields", "* * * * * *": "fields", "60 * * * *": "0 to 59", "* 24 * * *": "0 to 23", "* * 0 * *": "1 to 31",
		"* * * 13 *": "1 to 12", "* * * * 7": "0 to 6", "*/0 * * * *": "no step", "5-1 * * * *": "ends before", "a * * * *": "0 to 59",
		"-5 * * * *": "0 to 59", "1, * * * *": "0 to 59", "* * * mon *": "1 to 12", "@every 5m": "no fixed time", "@often": "@hourly",
		"CRON_TZ=UTC * * * * *": "timeZone", "+1 * * * *": "0 to 59", "*/99999999999999999999 * * * *": "no step",
	} {
		if _, err := ParseSchedule(text, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestZone(t *testing.T) {
	for _, name := range []string{"Local", "Europe", "Europe/Atlantis", "../etc/passwd", "/etc/localtime", "europe/berlin "} {
		if zone, err := Zone(name); err == nil {
			t.Errorf("%q is %v", name, zone)
		}
	}
}

// drawSchedule draws a schedule whose times are near each other.
func drawSchedule(t *rapid.T) *Schedule {
	part := func(label string, min, max int) string {
		a, b := rapid.IntRange(min, max).Draw(t, label), rapid.IntRange(min, max).Draw(t, label+"'")
		return rapid.SampledFrom([]string{
			"*", "*", fmt.Sprint(a), fmt.Sprintf("%d,%d", a, b), fmt.Sprintf("%d-%d", min, b), fmt.Sprintf("*/%d", 1+a/2), fmt.Sprintf("%d/%d", a, 1+b),
		}).Draw(t, label+" spelled")
	}
	text := strings.Join([]string{part("minute", 0, 59), part("hour", 0, 23), part("day", 1, 31), rapid.SampledFrom([]string{"*", "*", "3,10,11"}).Draw(t, "month"), part("weekday", 0, 6)}, " ")
	zone, err := Zone(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchedule(text, zone)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// matches is what the five fields mean, minute by minute.
func (s *Schedule) matches(t time.Time) bool {
	t = t.In(s.zone)
	return in(s.minute, t.Minute()) && in(s.hour, t.Hour()) && in(s.month, int(t.Month())) && s.onDay(t)
}

// TestScheduleIsWhatItsFieldsSay: Next skips nothing and invents nothing, also where
// clocks are put back or forward, and Last finds what Next does.
func TestScheduleIsWhatItsFieldsSay(t *testing.T) {
	changes := []time.Time{ // of summer time, somewhere
		time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	}
	const hours = 72
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchedule(t)
		since := rapid.SampledFrom(changes).Draw(t, "change").Add(time.Duration(rapid.IntRange(-hours*60, 0).Draw(t, "minutes")) * time.Minute)
		now := since.Add(hours * time.Hour)
		var last time.Time
		at := since
		for m := since.Add(time.Minute); !m.After(now); m = m.Add(time.Minute) {
			if !s.matches(m) {
				continue
			}
			if next, ok := s.Next(at); !ok || !next.Equal(m) {
				t.Fatalf("after %v comes %v, not %v (%v)", at.In(s.zone), next, m.In(s.zone), ok)
			}
			last, at = m, m
		}
		if got, ok := s.Last(since, now); ok != !last.IsZero() || ok && !got.Equal(last) {
			t.Fatalf("the last is %v, not %v (%v)", got, last, ok)
		}
	})
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("*/5 1-3,7 ? jan-mar mon")
	f.Add("@daily")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text, time.UTC)
		if err != nil {
			return
		}
		if next, ok := s.Next(time.Unix(0, 0)); ok && !s.matches(next) {
			t.Errorf("%q is due at %v", text, next)
		}
	})
}
