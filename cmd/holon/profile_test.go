package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A node shows its insides only if its environment asked for that.
func TestProfileIsGuarded(t *testing.T) {
	for path, asked := range map[string]int{
		"/profile/heap": http.StatusOK, "/profile/nonsense": http.StatusNotFound,
		"/profile/cpu": http.StatusBadRequest, "/profile/cpu?seconds=61": http.StatusBadRequest,
	} {
		for profiled, want := range map[bool]int{true: asked, false: http.StatusNotFound} {
			d := &daemon{profiled: profiled}
			w := httptest.NewRecorder()
			d.testControl(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("%s, may be profiled %v: %d, want %d", path, profiled, w.Code, want)
			}
		}
	}
}
