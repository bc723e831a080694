// Package scheduler decides: who acts for a workload (Order) and where its slots
// live (Place). Both are deterministic functions of a view, so that two nodes
// with the same view write the same bytes, and every placement comes with its
// reasons.
//
// Place is sticky: a slot whose home can serve is never decided again. It moves
// a home only in a view that holds more than half of the counted members; in any
// other view the same cause names a stand-in, which evaporates at heal. (Simulated
// before it was built: letting the highest term win from any view moved 63.8 % of
// a majority's slots at heal.)
package scheduler
