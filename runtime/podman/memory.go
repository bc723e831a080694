//go:build remote

package podman

import (
	"sync"
	"time"

	"holon/runtime"
)

// memory is a cache of what was learnt of containers, by ID. Each full listing
// drops the containers that are gone. The zero value is ready.
type memory struct {
	mu     sync.Mutex
	known  map[string]detail
	failed map[string]string // why a container could not start
}

// detail is what only an inspection says, valid while stamp is.
type detail struct {
	stamp             string
	ip                string
	oom               bool
	started, finished time.Time
	message           string // what the program said of its end
}

func (m *memory) detail(id, stamp string) (detail, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.known[id]
	return d, ok && d.stamp == stamp
}

func (m *memory) setDetail(id string, d detail) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[string]detail)
	}
	m.known[id] = d
}

func (m *memory) startError(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed[id]
}

// setStartError remembers why a container did not start; nil forgets it.
func (m *memory) setStartError(id string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.failed, id)
		return
	}
	if m.failed == nil {
		m.failed = make(map[string]string)
	}
	m.failed[id] = err.Error()
}

// keep drops what is not among views.
func (m *memory) keep(views map[runtime.RunID]*podView) {
	there := make(map[string]bool)
	for _, v := range views {
		if v.infra != nil {
			there[v.infra.ID] = true
		}
		for _, as := range v.attempts {
			for _, a := range as {
				there[a.ID] = true
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.known {
		if !there[id] {
			delete(m.known, id)
		}
	}
	for id := range m.failed {
		if !there[id] {
			delete(m.failed, id)
		}
	}
}
