package swim

// rng is splitmix64 (Steele, Lea, Flood 2014). It is written out because its
// sequence is part of the promise "same seed and events, same output", and
// because a machine in a large simulation should cost eight bytes here.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n); n must be positive. The bias of the
// remainder is below 2^-50 for every n in use.
func (r *rng) below(n int) int { return int(r.next() % uint64(n)) }
