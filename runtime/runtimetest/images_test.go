package runtimetest

import (
	"strings"
	"testing"
)

func TestSimulatedImages(t *testing.T) {
	a, b := NewImageStore(), NewImageStore()
	a.Add("app:1", []byte(strings.Repeat("some bytes ", 5000)))
	ImageConformance(t, ImageFixture{A: a, B: b, Name: "app:1", New: "other:1"})
}
