// Package swim tells which members of a cluster are alive, as a value that is
// stepped: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips,
// Currey 2017). A Machine has no clock, no socket, no goroutine. Its owner
// hands it events together with the time and performs the Output it returns:
// persist Incarnation, then send Send, then act on Changes, then call Tick at
// Wake. A Machine belongs to one goroutine.
//
// # What it decides and what not
//
// A member that stays silent becomes unreachable. It remains a member: nobody
// is removed here. Only the member itself can announce that it left, and only
// the owner (Join, Forget) says who is a member at all. Packets from and claims
// about anybody else are ignored and counted.
//
// # Probing
//
// Every ProbeInterval a machine pings the next few members of its own shuffled
// ring. No ack within ProbeTimeout: it pings once more and asks IndirectProbes
// other members to ping for it. No sign of life at ProbeInterval after the ping:
// it accuses the member. The ring keeps its order, so that a pair is never
// without a probe for longer than one round; a reshuffle per round would double
// that bound. Rounds last four intervals in clusters of up to 17.
//
// # Accusation and verdict
//
// An accusation makes a member suspect and travels with its accuser's identity;
// each accuser counts once. Whoever learns of it probes the suspect too, so
// that independent confirmations come quickly and shorten the suspicion from
// SuspicionMax to SuspicionMin. Each machine lets its own suspicion run out
// before it says unreachable: a foreign verdict is only one more accusation.
// Hence a heal cannot flash members unreachable that are well here, and a wrong
// verdict does not spread faster than its refutation.
//
// Direct evidence (a packet, other traffic, an ack through a helper) that comes
// after the accusation ends the suspicion at once. An accusation that arrives
// less than one ProbeInterval after direct evidence speaks of a silence that
// began before that evidence, so it is only passed on to the accused, who
// refutes it for all by raising its incarnation.
//
// # Own health
//
// False accusations, helpers that are alive but sent no nack in time,
// accusations against oneself and late ticks raise the health score; acks in
// time lower it. Timeouts, intervals and
// suspicions stretch by (1 + score); but a suspicion that as many healthier
// members share as it can have confirmations runs at their pace. Above
// HealthAccuseMax a machine keeps its accusations to itself, and other machines
// would not count them.
//
// # Messages
//
//	message   source     target     meaning
//	ping      prober     member     are you there? answer with this seq
//	ack       member     prober     I am; seq of the ping
//	ping-req  prober     helper     ping that target for me, answer within wait
//	vouch     helper     prober     the target answered me; seq of the ping-req
//	nack      helper     prober     no answer from the target, but I am here
//	gossip    any        any        nothing but the claims
//
// # Layout
//
// All numbers are unsigned varints except where a byte is said; an id is a
// length (1..IDBytesMax) and that many bytes. A packet ends with its last claim.
//
//	packet  = version(byte, 1) kind(byte) sender body count *claim
//	sender  = status(byte: 0 alive, 3 left) incarnation epoch hold health(byte)
//	body    = ping: seq | ack: seq | ping-req: seq wait id | nack: seq
//	        | vouch: seq id incarnation epoch hold | gossip: nothing
//	claim   = state(byte) id incarnation epoch rest
//	rest    = alive: hold | suspect, unreachable: accuser-id health(byte) | left: nothing
//
// hold and wait are milliseconds; hold is what is left of an announced restart.
// Claims take at most PiggybackBytesMax of a packet. Claims are not signed yet:
// authentication is the transport's, which names the true sender.
package swim
