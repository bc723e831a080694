// Package seal makes the values of Secrets unreadable to who lacks the data key,
// before they enter a record. It only computes: keys and random bytes are
// arguments.
//
// A sealed value is bound to its place (record key, UID, register path): moved
// to another object or path it does not open. The same value in the same place
// under the same key seals to the same bytes, so that writing it again is no
// change; in two places it does not, so that nobody without the key can tell
// that two secrets are equal. What it shows to anybody: the value's length, its
// key's ID, and that a place holds a value that it held before.
package seal
