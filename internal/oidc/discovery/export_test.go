package discovery

// Remembered is, for tests, the number of issuers that something is known of.
func (k *Keys) Remembered() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.issuers)
}
