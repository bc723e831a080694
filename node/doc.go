// Package node is the shell around node/core: one loop that owns a Core and
// performs its Ready, and the goroutines that do the waiting for it.
//
//	mesh ----Frame,Up,Down---+                    +--> store    (Persist, one fsync per batch)
//	runtime -Observed--------+--> inbox --> loop -+--> cache    (Changed, Derived)
//	API -----Asked-----------+     |  Core  |     +--> askers   (Acks)
//	timer ---Woke------------+     +--------+     +--> mesh     (Members, Send)
//	                                              +--> runtime  (Run), answered by Ordered
//	                                              +--> journal  (Facts)
//
// The loop does not wait for the disk: while the committer syncs one batch, Steps
// go on and fill the next. Everything that a batch lets out follows its sync.
// Reads never enter the loop. Byte streams (logs, exec) bypass it.
package node
