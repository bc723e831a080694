package node

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// togetherMax is how far apart several nodes may report what counts as one thing.
// It is by their wall clocks, so a node with a wrong date only fails to merge.
const togetherMax = 10 * time.Second

// mergeEvents makes one Event of what several nodes saw: same object, type,
// reason and message, close in time. It is that of the node first by name, from
// the earliest to the latest sight, with the count of whoever saw it most often,
// and reportingInstance lists who saw it. events are sorted by lastTimestamp, and
// stay so; the rings are left as they are.
func mergeEvents(events []map[string]any) []map[string]any {
	var merged []map[string]any
	latest := map[string]int{} // what -> index of the newest of its Events in merged
	for _, e := range events {
		what := sameThing(e)
		i, ok := latest[what]
		if ok && eventTime(e, "lastTimestamp").Sub(eventTime(merged[i], "lastTimestamp")) <= togetherMax && !reported(merged[i], e) {
			merged[i] = mergeEvent(merged[i], e)
			continue
		}
		latest[what] = len(merged)
		merged = append(merged, e)
	}
	slices.SortStableFunc(merged, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["lastTimestamp"]), fmt.Sprint(b["lastTimestamp"]))
	})
	return merged
}

func sameThing(e map[string]any) string {
	about, _ := e["involvedObject"].(map[string]any)
	return fmt.Sprintf("%v %v %v %q %v %q", about["kind"], about["namespace"], about["name"], e["reason"], e["type"], e["message"])
}

func eventTime(e map[string]any, field string) time.Time {
	text, _ := e[field].(string)
	t, _ := time.Parse(time.RFC3339, text)
	return t
}

// reported reports whether an Event holds the word of the one node that made e:
// what a node keeps apart itself stays apart.
func reported(merged, e map[string]any) bool {
	return slices.Contains(reporters(merged), fmt.Sprint(e["reportingInstance"]))
}

func reporters(e map[string]any) []string {
	return strings.Split(fmt.Sprint(e["reportingInstance"]), ",")
}

func mergeEvent(a, b map[string]any) map[string]any {
	first, other := a, b
	if reporters(b)[0] < reporters(a)[0] {
		first, other = b, a
	}
	e := copyOf(first)
	names := append(reporters(a), reporters(b)...)
	slices.Sort(names)
	e["reportingInstance"] = strings.Join(names, ",")
	e["count"] = max(eventCount(a), eventCount(b))
	if eventTime(other, "firstTimestamp").Before(eventTime(first, "firstTimestamp")) {
		e["firstTimestamp"] = other["firstTimestamp"]
	}
	if eventTime(other, "lastTimestamp").After(eventTime(first, "lastTimestamp")) {
		e["lastTimestamp"] = other["lastTimestamp"]
	}
	about, _ := first["involvedObject"].(map[string]any)
	if theirs, _ := other["involvedObject"].(map[string]any); about["uid"] == nil && theirs["uid"] != nil {
		e["involvedObject"] = theirs // its object was shown there already
	}
	return e
}

// eventCount reads a count made here or told by a node.
func eventCount(e map[string]any) int64 {
	switch n := e["count"].(type) {
	case int64:
		return n
	case float64:
		return int64(min(max(n, 1), 1<<31-1))
	}
	return 1
}
