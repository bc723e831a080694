package state

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
)

const cronText = `{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"schedule":"*/5 * * * *","timeZone":"Europe/Berlin","jobTemplate":{
	"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}},"spec":{"backoffLimit":2,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}`

func storedCron(t testing.TB) *CronJob {
	t.Helper()
	c, err := DecodeCronJob(MakeKey(CronJobs, "default", "tick"), (&writer{replica: crdt.ReplicaID{1}}).stored(t, crdt.UID{7}, cronText))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestJobOfACronJob: it is the template, says for which time it was made, and belongs to
// its CronJob, wherever it is made.
func TestJobOfACronJob(t *testing.T) {
	c := storedCron(t)
	due := time.Date(2026, 7, 1, 12, 5, 0, 0, time.UTC)
	uid := crdt.UID{10}
	key, values, err := c.JobAt(due)
	if err != nil {
		t.Fatal(err)
	}
	if want := Key("jobs.batch/default/tick-29715125"); key != want {
		t.Errorf("it is %s, not %s", key, want)
	}
	if at, ok := c.DueOf("tick-29715125"); !ok || !at.Equal(due) {
		t.Errorf("its name says %v", at)
	}
	for _, name := range []string{"tick-029715125", "tick-", "tick-x", "tock-29715125", "tick-29715125x"} {
		if at, ok := c.DueOf(name); ok {
			t.Errorf("%s says %v", name, at)
		}
	}
	rec, err := (*crdt.Record)(nil).Set(uid, (&writer{replica: crdt.ReplicaID{2}}).next(), values)
	if err != nil {
		t.Fatal(err)
	}
	w, err := DecodeWorkload(key, rec)
	if err != nil {
		t.Fatal(err)
	}
	if w.Job.Limit != 2 || w.Generation != 1 || w.Created != "2026-07-01T12:05:00Z" || w.Job.Owner == nil || *w.Job.Owner != c.Owner() {
		t.Errorf("the Job is %+v", w.Job)
	}
	golden(t, "faces/job-of-cronjob.json", indented(t, WithMeta(key, uid.String(), w.Object)))
	face := CronJobFace(c, []JobRef{RefOf(w)}, "2026-07-01T12:00:09Z")
	golden(t, "faces/cronjob.json", indented(t, face))
}

// TestJobsOfTwoSidesAreOne: the Jobs that two sides make of the same CronJob for the same
// time have the same slots, nothing of them is in conflict, and what one has come to
// counts. Of different templates they have nothing in common but the name.
func TestJobsOfTwoSidesAreOne(t *testing.T) {
	c := storedCron(t)
	rapid.Check(t, func(t *rapid.T) {
		due := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "minute")/60*60, 0)
		edited := *c
		if rapid.Bool().Draw(t, "edited") {
			edited.template = maps.Clone(c.template)
			edited.template["backoffLimit"] = int64(3)
		}
		made := func(c *CronJob, replica byte, done bool) (Key, *crdt.Record) {
			key, values, err := c.JobAt(due)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				values[AttemptPath(0, RunID(fmt.Sprint("run", replica)))] = EncodeRegister(Attempt{OK: true, Node: "n"})
			}
			rec, err := (*crdt.Record)(nil).Set(crdt.UID{replica}, (&writer{replica: crdt.ReplicaID{replica}}).next(), values)
			if err != nil {
				t.Fatal(err)
			}
			return key, rec
		}
		key, one := made(c, 2, rapid.Bool().Draw(t, "one is done"))
		again, other := made(&edited, 3, true)
		joined := crdt.Join(one, other)
		w, err := DecodeWorkload(key, joined)
		if err != nil || key != again {
			t.Fatalf("%s and %s: %v", key, again, err)
		}
		results := Results(joined.Objects[crdt.UID{3}], joined.Live())
		if edited.template["backoffLimit"] != c.template["backoffLimit"] {
			if len(Conflicts(key, joined)) != 1 || len(results) > 0 {
				t.Fatalf("in conflict are %v, results are %v", Conflicts(key, joined), results)
			}
			return
		}
		if len(Conflicts(key, joined)) > 0 || w.Job.State != JobComplete || len(results) != 1 {
			t.Fatalf("in conflict are %v, the Job is %+v, results are %v", Conflicts(key, joined), w.Job, results)
		}
	})
}

// TestCronNamed: only a controller of the kind counts.
func TestCronNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"CronJob","name":"c","uid":"u","controller":true}]}}`: "c",
		`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"CronJob","name":"c","uid":"u"}]}}`:                   "",
		`{"metadata":{"ownerReferences":[{"apiVersion":"x/v1","kind":"CronJob","name":"c","uid":"u","controller":true}]}}`:     "",
		`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"c","uid":"u","controller":true}]}}`:     "",
		`{}`: "", `{"metadata":{"ownerReferences":7}}`: "",
	} {
		value, err := parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		values, err := FlattenAs(Jobs, value.(map[string]any))
		if err != nil {
			t.Fatal(err)
		}
		if name, _ := CronNamed(values); name != want {
			t.Errorf("%s names %q", text, name)
		}
	}
}
