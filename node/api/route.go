package api

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// target is the object or collection that a request is about.
type target struct {
	kind            *kind
	namespace, name string
	sub             string
}

func (t *target) key() Key {
	return Key{Resource: t.kind.key(), Namespace: t.namespace, Name: t.name}
}

// parseTarget reads a path below /api/v1 or /apis/GROUP/VERSION:
//
//	[namespaces/NS/]PLURAL[/NAME[/SUB]]
func parseTarget(path string) (*target, error) {
	gv, segments := splitPath(path)
	group, version := gv.Group, gv.Version
	t := &target{}
	inNamespace := false
	if len(segments) >= 3 && segments[0] == "namespaces" && kindOf(group, version, segments[2]) != nil {
		t.namespace, segments, inNamespace = segments[1], segments[2:], true
	}
	if len(segments) == 0 || len(segments) > 3 {
		return nil, notServed()
	}
	t.kind = kindOf(group, version, segments[0])
	if t.kind == nil || inNamespace != t.kind.namespaced && (inNamespace || len(segments) > 1) {
		return nil, notServed()
	}
	if len(segments) > 1 {
		t.name = segments[1]
	}
	if len(segments) > 2 {
		t.sub = segments[2]
	}
	return t, nil
}

// splitPath takes a path apart behind its group and version. Nothing is left of one of
// another form.
func splitPath(path string) (gv schema.GroupVersion, rest []string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(segments) >= 2 && segments[0] == "api":
		return schema.GroupVersion{Version: segments[1]}, segments[2:]
	case len(segments) >= 3 && segments[0] == "apis":
		return schema.GroupVersion{Group: segments[1], Version: segments[2]}, segments[3:]
	}
	return gv, nil
}

// serveObjects answers everything about objects.
func (s *Server) serveObjects(w http.ResponseWriter, r *http.Request) error {
	if f := refusalOf(r.URL.Path); f != nil {
		return f.answer(r.Method)
	}
	t, err := parseTarget(r.URL.Path)
	if err != nil {
		return err
	}
	if t.sub != "" {
		return s.serveSubresource(w, r, t)
	}
	verb := verbOf(r, t)
	if verb == "" || !t.kind.can(verb) {
		return notAllowed(t, or(verb, r.Method), t.kind.refuses[strings.TrimSuffix(verb, "collection")])
	}
	switch verb {
	case "get":
		return s.get(w, r, t)
	case "list":
		return s.list(w, r, t)
	case "watch":
		return s.watch(w, r, t)
	case "create":
		if t.kind.review != nil {
			return s.answerReview(w, r, t)
		}
		return s.create(w, r, t)
	case "update":
		return s.update(w, r, t)
	case "patch":
		return s.patch(w, r, t)
	case "delete":
		return s.delete(w, r, t)
	default:
		return s.deleteCollection(w, r, t)
	}
}

func verbOf(r *http.Request, t *target) string {
	one := t.name != ""
	switch {
	case r.Method == http.MethodGet && one:
		return "get"
	case r.Method == http.MethodGet && isTrue(r, "watch"):
		return "watch"
	case r.Method == http.MethodGet:
		return "list"
	case r.Method == http.MethodPost && !one && (t.namespace != "" || !t.kind.namespaced):
		return "create"
	case r.Method == http.MethodPut && one:
		return "update"
	case r.Method == http.MethodPatch && one:
		return "patch"
	case r.Method == http.MethodDelete && one:
		return "delete"
	case r.Method == http.MethodDelete && (t.namespace != "" || !t.kind.namespaced):
		return "deletecollection"
	}
	return ""
}

func (s *Server) serveSubresource(w http.ResponseWriter, r *http.Request, t *target) error {
	switch t.kind.key() + "/" + t.sub {
	case Pods + "/log":
		if r.Method != http.MethodGet {
			return notAllowed(t, r.Method, "")
		}
		return s.logs(w, r, t)
	case Pods + "/exec", Pods + "/attach":
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			return notAllowed(t, r.Method, "")
		}
		return s.exec(w, r, t)
	case Pods + "/portforward":
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			return notAllowed(t, r.Method, "")
		}
		return s.portForward(w, r, t)
	case Pods + "/eviction":
		return s.evict(w, r, t)
	case Snapshots + "/data":
		if r.Method != http.MethodGet {
			return notAllowed(t, r.Method, "")
		}
		return s.snapshotData(w, r, t)
	case ServiceAccounts + "/token":
		return s.createAccountToken(w, r, t)
	case Deployments + "/scale", StatefulSets + "/scale":
		return s.scale(w, r, t)
	case Pods + "/ephemeralcontainers":
		return notServedAs("holon has no ephemeral containers: a pod has those that it was made with; kubectl debug --copy-to makes a pod like it with another one more, kubectl exec runs a command in one of its own")
	}
	return notServed()
}

func isTrue(r *http.Request, parameter string) bool {
	v := r.URL.Query()[parameter]
	return len(v) > 0 && (v[0] == "" || v[0] == "true" || v[0] == "1")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
