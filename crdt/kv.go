package crdt

// KV is one pair of a durable batch. A nil Value deletes Key; an empty one is
// a value like any other.
type KV struct {
	Key   string
	Value []byte
}
