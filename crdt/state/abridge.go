package state

import (
	"iter"
	"strings"
)

// A status goes whole to every peer with each change, so what programs and errors say in
// it is bounded together, too.
const (
	MessageMax  = 4096     // bytes of one message, as in Kubernetes
	MessagesMax = 64 << 10 // bytes of all messages of a status
)

// Abridge cuts the longest messages of a status, at a power of two, until all fit. What is
// not UTF-8 would make the status unreadable and becomes question marks.
func (s *NodeStatus) Abridge() {
	for most := MessageMax; ; most /= 2 {
		sum := 0
		for m := range s.messages() {
			*m = strings.ToValidUTF8((*m)[:min(len(*m), most)], "?")
			sum += len(*m)
		}
		if sum <= MessagesMax {
			return
		}
	}
}

func (s *NodeStatus) messages() iter.Seq[*string] {
	return func(yield func(*string) bool) {
		for i := range s.Runs {
			r := &s.Runs[i]
			if !yield(&r.Message) {
				return
			}
			for _, list := range [][]ContainerStatus{r.Init, r.Containers} {
				for k := range list {
					if !yield(&list[k].Message) || !yield(&list[k].Last.Message) {
						return
					}
				}
			}
		}
	}
}
