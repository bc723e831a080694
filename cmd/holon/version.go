package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker: -X main.version=...
var version = ""

type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

func readVersion() versionInfo {
	v := versionInfo{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

func (v versionInfo) String() string {
	s := fmt.Sprintf("holon %s (%s)", v.Version, v.Go)
	if v.Commit != "" {
		s += " " + v.Commit
	}
	return s
}
