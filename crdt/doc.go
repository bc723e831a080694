// Package crdt holds the replicated record: dots, stamps, registers, objects,
// and the join that is their only way to change; and the context, the set of
// dots a replica has. Everything here is a pure value: identity, time and
// durability belong to the caller.
//
// # Invariants
//
// Written with ctx for a replica's context, K for a key, state(K) for its
// record, and vec(K) for the dots {(r, state(K).Vector[r])}:
//
//	I1  for all K: vec(K) ⊆ ctx               (may lapse by I5; see Context)
//	I2  d ∈ ctx  ⇒  the state contains write(d)
//	I3  purged ⇒ under floor ⊓ contiguous(ctx) (see Floor)
//	I4  a dot is issued at most once           (see Dot, HighWater)
//	I5  ctx' ⊆ ctx may replace ctx at any time; ctx' ⊋ ctx only by I2
//
// "Contains write(d)" means that joining write(d) in again changes nothing, or
// that what it wrote to was deleted.
//
// Correctness never depends on delivery: Join of whole records is commutative,
// associative and idempotent, and a record is cumulative: who has the last
// write of a replica to a record has all its earlier writes to it too. Dots and
// contexts only decide what to send.
package crdt
