package main

import (
	"strings"
	"testing"
)

// said is a writer that hands on what is written.
type said chan string

func (s said) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func TestALongStepOfTheStartIsNamed(t *testing.T) {
	words := make(said, 1)
	d := &daemon{words: words}
	var got string
	err := d.patiently("waiting for godot", func() error {
		select {
		case got = <-words:
		case <-t.Context().Done():
		}
		return nil
	})
	if err != nil || !strings.Contains(got, "waiting for godot") {
		t.Errorf("a step that takes long says %q, %v", got, err)
	}
}
