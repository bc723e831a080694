package runtime

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error.
type Kind string

// The kinds of error. Retry says which are worth trying again unchanged.
const (
	ImageMissing   Kind = "ImageMissing"      // the image is not here and cannot be had now
	ImageNeverPull Kind = "ErrImageNeverPull" // no node has it, and its policy is Never
	BadImageName   Kind = "InvalidImageName"
	Pulling        Kind = "Pulling"     // the image is on its way: no failure, order again soon
	NoDiskSpace    Kind = "NoDiskSpace" // the image would leave the node too little disk
	NameTaken      Kind = "NameTaken"   // a foreign container holds our name; never removed by us
	PortTaken      Kind = "PortTaken"   // a host port or address is in use
	Unavailable    Kind = "Unavailable" // the runtime itself does not answer
	BadSpec        Kind = "BadSpec"     // this pod can never run here: bad mount, no name
	BadCommand     Kind = "BadCommand"  // the container was made, and its command or working directory is not there
	BadConfig      Kind = "BadConfig"   // what the pod's objects say keeps it from being made: runAsNonRoot and a root image
	BadMount       Kind = "Mount"       // a path of the host is not there, or is something else
	NotFound       Kind = "NotFound"    // no such pod, container or attempt
	OutOfMemory    Kind = "OutOfMemory" // the host has no room
	Failed         Kind = "Failed"      // anything else
)

// Error is a failure of a runtime in words that an operator understands: what
// failed, why, and what to do next.
type Error struct {
	Kind Kind
	Op   string // what was tried: "create container web/app"
	Err  error  // the cause
	Next string // the next step for the operator; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %v", e.Op, e.Err)
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of err, or Failed if err is not an *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

// Retry reports whether the same order may succeed later without anybody
// changing it.
func (k Kind) Retry() bool {
	switch k {
	case BadSpec, BadCommand, BadConfig, BadImageName:
		return false
	}
	return true
}
