//go:build !remote

package podman

import (
	"testing"

	"holon/runtime"
)

func TestWithoutBuildTagsOneSentenceSaysWhatToDo(t *testing.T) {
	_, err := New(t.Context(), Config{})
	const want = "use Podman: built without Podman support; build with `make build`"
	if err == nil || err.Error() != want || runtime.KindOf(err) != runtime.Unavailable {
		t.Errorf("got %v of kind %v, want %q", err, runtime.KindOf(err), want)
	}
}
