package testnet

import "testing"

// TestPinnedHistories plays again what once broke a rule. A change of the world
// makes other histories of these seeds; each bug has a story of its own as well
// where one could be told.
func TestPinnedHistories(t *testing.T) {
	for _, pin := range []struct {
		seed uint64
		kind string
		why  string
	}{
		{12, "", "a newcomer that had heard of one other newcomer shut out everybody else"},
		{13, "", "a cut-off node counted suspects towards its majority and moved homes"},
		{18, "", "a bare pod that moved was shown as pending for good"},
		{23, "", "a new template came before the older one's record: wanted runs were stopped"},
		{42, "", "the loser of a name came back with slots that could not be made again"},
		{125, "", "a node that joined again through one that lagged behind did not bear its name"},
		{183, "", "runs were admitted at boot before it was known what runs already"},
		{2091, "dead-sleep", "the former run of an update was an orphan because its template was late"},
		{1799, "", "a node that only a burnt one had let in stayed alone"},
		{5852, "", "what waits for a paused node is news to it when it goes on"},
		{6747, "", "everybody who counted burnt, and the last one had let in the next"},
		{7928, "", "what a node had said before its disk was rolled back kept others from comparing stores with it"},
		{9231, "", "a newcomer agreed with a database that was rolled back, and was purged as another record"},
		{134, "sets-split", "a run that was let in, not ordered yet, and had to wait for word of others was stopped as if it were there"},
		{1043, "lossy", "a newcomer that knew only itself took itself for a majority"},
	} {
		t.Run(pin.why, func(t *testing.T) {
			t.Parallel()
			_, bad := Play(historyOf(pin.seed, pin.kind))
			for _, b := range bad {
				t.Errorf("seed %d %s: %s", pin.seed, pin.kind, b)
			}
		})
	}
}
