package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/crdt/state"
)

// snapshotInfo is what `snapshot inspect` tells.
type snapshotInfo struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Replica string `json:"replica"`
	UID     string `json:"snapshotUID,omitempty"` // of the Snapshot that it was kept for
	Taken   string `json:"taken"`
	Version string `json:"holonVersion"`
	// Objects are those that users made and that live; Records count everything,
	// deleted objects and holon's own bookkeeping included.
	Objects    int           `json:"objects"`
	Records    uint64        `json:"records"`
	Bytes      uint64        `json:"bytes"`
	FileBytes  int64         `json:"fileBytes"`
	Kinds      []kindSummary `json:"kinds"`
	Unreadable []string      `json:"unreadable,omitempty"` // keys, at most unreadableMax
	Sealed     bool          `json:"sealedKeys"`           // it carries wrapped keys of sealed values
	SHA256     string        `json:"sha256"`               // of the file up to its last 32 bytes, which say the same
	Checksum   string        `json:"checksum"`             // "ok": whatever does not match is an error
}

// kindSummary counts one resource.
type kindSummary struct {
	Resource string `json:"resource"`
	Objects  int    `json:"objects"`
	Deleted  int    `json:"deleted"` // tombstones
	Bytes    uint64 `json:"bytes"`
	Internal bool   `json:"internal,omitempty"` // holon's own bookkeeping
}

// unreadableMax bounds how many records that this version cannot decode are named.
const unreadableMax = 100

func (i *snapshotInfo) words() string {
	return fmt.Sprintf("%s (%s, %s) of cluster %s as %s had it", plural(i.Objects, "object"),
		plural(int(i.Records), "record"), humanBytes(i.FileBytes), orElse(i.Cluster, "unknown"), orElse(i.Node, "an unknown node"))
}

// humanBytes is a size for people.
func humanBytes(n int64) string {
	switch {
	case n < 1<<10:
		return plural(int(n), "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// countingReader counts what passes.
type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}

// readSnapshot reads a snapshot to its end and checks it. visit, if not nil, gets
// each record that this version can decode; what it is given may be believed only
// once readSnapshot has returned nil.
func readSnapshot(ctx context.Context, in io.Reader, visit func(state.Key, *crdt.Record) error, wait *progress) (snapshotInfo, error) {
	count := &countingReader{in: in}
	r, err := snapshot.NewReader(count)
	if err != nil {
		return snapshotInfo{}, err
	}
	h := r.Header()
	info := snapshotInfo{
		Cluster: h.Cluster, Node: h.Node, Replica: fmt.Sprintf("%x", h.Replica[:]), UID: h.UID, Taken: h.Taken, Version: h.Version, Sealed: len(h.Keys) > 0,
	}
	kinds := map[string]*kindSummary{}
	told := time.Now()
	for {
		name, encoded, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return snapshotInfo{}, err
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			wait.say("%d records, %s so far", r.Totals().Records, humanBytes(count.n))
		}
		key := state.Key(name)
		rec, err := crdt.Decode(encoded)
		if err != nil || key.Validate() != nil {
			if len(info.Unreadable) < unreadableMax {
				info.Unreadable = append(info.Unreadable, name)
			}
			continue
		}
		info.Objects += kindOf(kinds, key).add(rec, len(name)+len(encoded))
		if visit != nil {
			if err := visit(key, rec); err != nil {
				return snapshotInfo{}, err
			}
		}
	}
	for _, resource := range slices.Sorted(maps.Keys(kinds)) {
		info.Kinds = append(info.Kinds, *kinds[resource])
	}
	sum := r.Sum()
	info.Records, info.Bytes, info.FileBytes = r.Totals().Records, r.Totals().Bytes, count.n
	info.SHA256, info.Checksum = fmt.Sprintf("%x", sum[:]), "ok"
	return info, nil
}

// tellEvery is the pace at which progress is told.
const tellEvery = 2 * time.Second

func kindOf(kinds map[string]*kindSummary, key state.Key) *kindSummary {
	k := kinds[key.Resource()]
	if k == nil {
		k = &kindSummary{Resource: key.Resource(), Internal: key.Internal()}
		kinds[key.Resource()] = k
	}
	return k
}

// add counts a record and returns how many objects of users are in it.
func (k *kindSummary) add(rec *crdt.Record, size int) int {
	k.Bytes += uint64(size)
	for _, o := range rec.Objects {
		if o.Dead != nil {
			k.Deleted++
		}
	}
	if rec.Live() == nil {
		return 0
	}
	k.Objects++
	if k.Internal || k.Resource == state.Nodes {
		return 0
	}
	return 1
}

func printSnapshot(w io.Writer, i snapshotInfo) {
	say(w, "Cluster:   %s\n", orElse(i.Cluster, "unknown"))
	say(w, "Node:      %s, replica %.8s\n", orElse(i.Node, "unknown"), i.Replica)
	say(w, "Taken:     %s by that node's clock, with %s\n", orElse(i.Taken, "unknown"), orElse(i.Version, "an unknown version"))
	say(w, "Holds:     %s, %s; %s, %s in memory\n", plural(i.Objects, "object"), plural(int(i.Records), "record"),
		humanBytes(i.FileBytes), humanBytes(int64(i.Bytes)))
	if i.Sealed {
		say(w, "Secrets:   sealed; the keys are in it, wrapped\n")
	}
	say(w, "Checksum:  %s, SHA-256 %s\n\n", i.Checksum, i.SHA256)
	var rows [][]string
	for _, k := range i.Kinds {
		what := "yours"
		switch {
		case k.Internal:
			what = "holon's own"
		case k.Resource == state.Nodes:
			what = "the nodes'"
		}
		rows = append(rows, []string{k.Resource, fmt.Sprint(k.Objects), fmt.Sprint(k.Deleted), humanBytes(int64(k.Bytes)), what})
	}
	printTable(w, []string{"KIND", "OBJECTS", "DELETED", "SIZE", "WHOSE"}, rows)
	if len(i.Unreadable) > 0 {
		say(w, "\n%s cannot be read by this version of holon, such as %s\n", plural(len(i.Unreadable), "record"), i.Unreadable[0])
	}
}

// openSnapshot opens a file, or stdin for -.
func (a *app) openSnapshot(file string) (io.Reader, func(), error) {
	if file == "-" {
		return a.in, func() {}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the snapshot: %w", err)
	}
	return f, func() { f.Close() }, nil
}
