package valid

func deref[T any](p *T) (zero T) {
	if p != nil {
		return *p
	}
	return zero
}
