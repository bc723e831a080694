package api

import (
	"fmt"
	"net/http"
	"strings"
)

// StalenessHeader says, of an answer to a read, whose writes it may lack: the members
// that are out of reach and for how many seconds, as a list of RFC 9651, such as
// n3;s=12, n4;s=12. Without it everybody is in reach, and what was written elsewhere a
// moment ago is on its way.
const StalenessHeader = "Holon-Staleness"

// unheardMax bounds how many members are named; then how many more there are.
const unheardMax = 32

func staleness(unheard []Unheard) string {
	var list []string
	for _, u := range unheard[:min(len(unheard), unheardMax)] {
		list = append(list, fmt.Sprintf("%s;s=%d", u.Node, int(u.For.Seconds())))
	}
	if more := len(unheard) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("more;n=%d", more))
	}
	return strings.Join(list, ", ")
}

// noteStaleness adds the header to the answer of a read.
func (s *Server) noteStaleness(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		return
	}
	if text := staleness(s.config.Backend.Unheard()); text != "" {
		w.Header().Set(StalenessHeader, text)
	}
}
