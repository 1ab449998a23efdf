package verify

// Closely makes a run look at so many index entries and counters closely.
func (c *Config) Closely(n int64) { c.closely = n }
