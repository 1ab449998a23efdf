package hsm

// Changed is closed when a helper has come or gone since the call.
func (t *Token) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}
