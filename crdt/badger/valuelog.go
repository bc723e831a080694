package badger

import (
	"reflect"
	"unsafe"

	dgraph "github.com/dgraph-io/badger/v4"
)

// valueLogSync switches whether Badger syncs its value log with each commit.
//
// With SyncWrites on, Badger syncs the value log and then the write-ahead log,
// also when nothing went into the former; the kernel then still tells the disk
// to flush its cache, so every commit waits twice. BenchmarkCommit has the price:
// without that, small batches take little more than half of the time. SyncWrites off
// for both, with a sync of our own afterwards, was considered: then the kernel
// may write the pointer of a large value before the value, and a power cut
// between them loses the value that it replaces.
//
// Badger has no option for it, but keeps the option twice, and this is the value
// log's own. If a later version does not have the field, the value is nil, and
// everything is as slow as it was; TestValueLogSyncIsFound says so.
type valueLogSync struct{ field *bool }

func findValueLogSync(db *dgraph.DB) valueLogSync {
	field := reflect.ValueOf(db).Elem()
	for _, name := range []string{"vlog", "opt", "SyncWrites"} {
		if field = field.FieldByName(name); !field.IsValid() {
			return valueLogSync{}
		}
	}
	if field.Kind() != reflect.Bool || !field.CanAddr() {
		return valueLogSync{}
	}
	return valueLogSync{(*bool)(unsafe.Pointer(field.UnsafeAddr()))}
}

// set is for whoever knows that Badger writes nothing now.
func (v valueLogSync) set(on bool) {
	if v.field != nil {
		*v.field = on
	}
}
