// Package auth reads credentials for registries as Docker writes them, and says which
// of them is for which image, as Kubernetes does. It is pure.
package auth

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"holon/runtime"
)

// Credential is one entry of a Docker configuration.
type Credential struct {
	At string // registry, with or without a path; its host may hold * and ?
	runtime.Auth
}

// entry is what a Docker configuration says of one registry.
type entry struct{ Username, Password, Auth string }

// Parse reads both forms: {"auths": {REGISTRY: ENTRY}}, and the older one
// without auths. Its errors quote nothing.
func Parse(text []byte) (found []Credential, err error) {
	var with struct{ Auths map[string]entry }
	entries := map[string]entry{}
	if json.Unmarshal(text, &with) == nil && with.Auths != nil {
		entries = with.Auths
	} else if json.Unmarshal(text, &entries) != nil {
		return nil, errors.New("it is no Docker configuration")
	}
	for at, e := range entries {
		if e.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(e.Auth)
			user, password, ok := strings.Cut(string(plain), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("auth of %s is not base64 of USER:PASSWORD", at)
			}
			e.Username, e.Password = user, strings.TrimRight(password, "\x00")
		}
		if e.Username != "" {
			found = append(found, Credential{at, runtime.Auth{User: e.Username, Password: e.Password}})
		}
	}
	slices.SortFunc(found, func(a, b Credential) int { return cmp.Compare(a.At, b.At) })
	return found, nil
}

// hubs are the names of the registry of images that name none.
var hubs = []string{"index.docker.io", "docker.io", "registry-1.docker.io"}

// IsFor reports whether a credential is one for an image, by the rules of
// Kubernetes: each part of the host's name matches, the port is the same, and the path
// is the beginning of the image's.
func (c *Credential) IsFor(image string) bool {
	at := strings.TrimPrefix(strings.TrimPrefix(c.At, "https://"), "http://")
	host, dir, _ := strings.Cut(at, "/")
	dir = strings.Trim(dir, "/")
	if dir == "v1" || dir == "v2" { // not of the name
		dir = ""
	}
	registry, name, named := strings.Cut(image, "/")
	if !named || !strings.ContainsAny(registry, ".:") && registry != "localhost" {
		registry, name = hubs[0], image
		if !named {
			name = "library/" + image
		}
	}
	if slices.Contains(hubs, registry) && slices.Contains(hubs, host) {
		registry = host
	}
	return matchesHost(host, registry) && (dir == "" || name == dir || strings.HasPrefix(name, dir) && strings.ContainsRune("/:@", rune(name[len(dir)])))
}

func matchesHost(pattern, host string) bool {
	pattern, port, _ := strings.Cut(pattern, ":")
	host, ownPort, _ := strings.Cut(host, ":")
	parts, own := strings.Split(pattern, "."), strings.Split(host, ".")
	if port != ownPort || len(parts) != len(own) {
		return false
	}
	for i := range parts {
		if ok, err := path.Match(parts[i], own[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
