package valid

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Schedule is when a CronJob is due: five fields as Kubernetes reads them, in one time
// zone. A set of numbers is one bit for each.
//
// Times that a zone's clocks skip are skipped, and those that they show twice are due
// twice, as in Kubernetes.
type Schedule struct {
	minute, hour, day, month, weekday uint64
	anyDay, anyWeekday                bool // "*": then the other one alone decides
	zone                              *time.Location
}

// fieldOf is one of the five fields.
type fieldOf struct {
	name     string
	min, max int
	names    []string // of min and those after it
}

var scheduleFields = [5]fieldOf{
	{"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var scheduleNames = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// ParseSchedule reads a schedule for a time zone.
func ParseSchedule(text string, zone *time.Location) (*Schedule, error) {
	switch named, ok := scheduleNames[text]; {
	case ok:
		text = named
	case strings.HasPrefix(text, "@every"):
		return nil, errors.New(`@every counts from no fixed time, so that two sides of a split would not agree; write it as in "*/5 * * * *"`)
	case strings.HasPrefix(text, "@"):
		return nil, fmt.Errorf("unknown name %q; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly", text)
	case strings.Contains(text, "TZ"):
		return nil, errors.New("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
	}
	fields := strings.Fields(text)
	if len(fields) != len(scheduleFields) {
		return nil, fmt.Errorf("%d fields, not the five of minute, hour, day of month, month and day of week", len(fields))
	}
	s := &Schedule{zone: zone}
	for i, into := range []*uint64{&s.minute, &s.hour, &s.day, &s.month, &s.weekday} {
		var err error
		if *into, err = scheduleFields[i].parse(fields[i]); err != nil {
			return nil, fmt.Errorf("%s %q: %w", scheduleFields[i].name, fields[i], err)
		}
	}
	s.anyDay, s.anyWeekday = hasStar(fields[2]), hasStar(fields[4])
	return s, nil
}

// hasStar reports whether a field leaves the choice of days to the other one. "*/2" does
// not.
func hasStar(text string) bool {
	return slices.ContainsFunc(strings.Split(text, ","), func(part string) bool {
		return part == "*" || part == "?" || part == "*/1" || part == "?/1"
	})
}

// parse reads a list of numbers, ranges and steps.
func (f *fieldOf) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, by, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(by); err != nil || step < 1 {
				return 0, fmt.Errorf("%q is no step", by)
			}
		}
		first, last, err := f.span(span, stepped)
		if err != nil {
			return 0, err
		}
		for n := first; n <= last; n += min(step, f.max+1) {
			set |= 1 << n
		}
	}
	return set, nil
}

// span reads "*", "a-b" or "a"; the latter goes on to the end where a step follows.
func (f *fieldOf) span(text string, stepped bool) (first, last int, err error) {
	if text == "*" || text == "?" {
		return f.min, f.max, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if first, err = f.number(from); err != nil {
		return 0, 0, err
	}
	switch last = first; {
	case isRange:
		if last, err = f.number(to); err != nil {
			return 0, 0, err
		}
	case stepped:
		last = f.max
	}
	if first > last {
		return 0, 0, fmt.Errorf("%q ends before it begins", text)
	}
	return first, last, nil
}

func (f *fieldOf) number(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || int(n) < f.min || int(n) > f.max {
		return 0, fmt.Errorf("%q is not in %d to %d", text, f.min, f.max)
	}
	return int(n), nil
}

func in(set uint64, n int) bool { return set&(1<<n) != 0 }

// In is t by the clocks of the schedule's zone.
func (s *Schedule) In(t time.Time) time.Time { return t.In(s.zone) }

// yearsMax is how far ahead the next time is looked for: the 29th of February may be
// eight years away.
const yearsMax = 8

// Next is the first time after t that is due; false if there is none.
func (s *Schedule) Next(t time.Time) (time.Time, bool) {
	t = t.In(s.zone).Truncate(time.Minute).Add(time.Minute)
	for end := t.Year() + yearsMax; t.Year() <= end; {
		switch {
		case !in(s.month, int(t.Month())):
			t = later(t, dayBegins(t.Year(), t.Month()+1, 1, s.zone))
		case !s.onDay(t):
			t = later(t, dayBegins(t.Year(), t.Month(), t.Day()+1, s.zone))
		case !in(s.hour, t.Hour()):
			t = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute)
		case !in(s.minute, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}

func (s *Schedule) onDay(t time.Time) bool {
	day, weekday := in(s.day, t.Day()), in(s.weekday, int(t.Weekday()))
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

// dayBegins is the first of a day's midnights, or near it where clocks skip it.
func dayBegins(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if before := t.Add(-time.Hour); before.Day() == t.Day() {
		return before
	}
	return t
}

// later is next, or else an hour after t: where clocks skip midnight, the day may seem
// to begin in the one before.
func later(t, next time.Time) time.Time {
	if next.After(t) {
		return next
	}
	return t.Add(time.Hour)
}

// Last is the last time after since, and not after now, that was due; false if there is
// none. What it costs grows with the logarithm of the time between.
func (s *Schedule) Last(since, now time.Time) (due time.Time, ok bool) {
	over := func(minutes int) bool {
		next, ok := s.Next(since.Add(time.Duration(minutes) * time.Minute))
		return !ok || next.After(now)
	}
	n := sort.Search(int(max(now.Sub(since)/time.Minute, 0))+1, over)
	if n == 0 {
		return time.Time{}, false
	}
	return s.Next(since.Add(time.Duration(n-1) * time.Minute))
}
