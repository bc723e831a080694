// Package crdttest tests what claims to merge: the lattice laws as one reusable
// property test, and histories of records, as several replicas could have made
// them, beside a plain reference model of what they must mean.
package crdttest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Laws checks that join is commutative, associative and idempotent over values
// that gen draws independently of each other. For values that only make sense
// within one history (a record: one dot, one write) use LawsWithin.
//
// join must not change its arguments.
func Laws[T any](t *testing.T, gen *rapid.Generator[T], join func(a, b T) T, equal func(a, b T) bool) {
	t.Helper()
	three := rapid.Custom(func(t *rapid.T) []T {
		return []T{gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")}
	})
	rapid.Check(t, func(t *rapid.T) {
		v := three.Draw(t, "values")
		if err := Violation(v[0], v[1], v[2], join, equal); err != nil {
			t.Fatal(err)
		}
	})
}

// LawsWithin is Laws over triples of values from one history: gen draws all
// values that occurred in it, at least one.
func LawsWithin[T any](t *testing.T, gen *rapid.Generator[[]T], join func(a, b T) T, equal func(a, b T) bool) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		values := gen.Draw(t, "history")
		pick := rapid.SampledFrom(values)
		for range TriplesPerHistory {
			a, b, c := pick.Draw(t, "a"), pick.Draw(t, "b"), pick.Draw(t, "c")
			if err := Violation(a, b, c, join, equal); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TriplesPerHistory is how often LawsWithin picks from one history: histories
// cost more than joins.
const TriplesPerHistory = 20

// Violation returns which law the three values break, nil if none.
func Violation[T any](a, b, c T, join func(a, b T) T, equal func(a, b T) bool) error {
	check := func(law string, left, right T) error {
		if equal(left, right) {
			return nil
		}
		return fmt.Errorf("%s:\n left %+v\nright %+v\n with a = %+v\n      b = %+v\n      c = %+v", law, left, right, a, b, c)
	}
	for _, v := range []T{a, b, c} {
		if err := check("not idempotent: a⊔a ≠ a", join(v, v), v); err != nil {
			return err
		}
	}
	if err := check("not commutative: a⊔b ≠ b⊔a", join(a, b), join(b, a)); err != nil {
		return err
	}
	if err := check("not associative: (a⊔b)⊔c ≠ a⊔(b⊔c)", join(join(a, b), c), join(a, join(b, c))); err != nil {
		return err
	}
	// Follows from the three for one and the same join, and finds a join that
	// forgets: what is joined in stays in.
	return check("not inflationary: (a⊔b)⊔a ≠ a⊔b", join(join(a, b), a), join(a, b))
}
