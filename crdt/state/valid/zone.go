package valid

import (
	"archive/zip"
	"bytes"
	_ "embed" // zoneinfo.zip
	"fmt"
	"io"
	"strings"
	"time"
)

// zones are the time zones of IANA as Go's distribution has them. A host's own would be
// read from its disk, and two hosts may have two editions.
//
//go:generate cp $GOROOT/lib/time/zoneinfo.zip zoneinfo.zip
//go:embed zoneinfo.zip
var zones []byte

// zoneBytesMax bounds one zone; the largest has about 4 KB.
const zoneBytesMax = 1 << 20

// Zone is a time zone by its name, as in Europe/Berlin.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("%q is not the same everywhere", name)
	}
	archive, err := zip.NewReader(bytes.NewReader(zones), int64(len(zones)))
	if err != nil {
		return nil, err
	}
	file, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, zoneBytesMax))
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %s", name) // a directory
	}
	return time.LoadLocationFromTZData(name, data)
}
