package store

import (
	"context"
	"time"
)

// Scrubber is an engine that leaves copies of what was overwritten or deleted behind, and can overwrite those.
type Scrubber interface {
	// Scrub returns once nothing that was deleted or overwritten before the call stands in the engine's files any more: NIST SP 800-88's
	// Clear, of files. Reads and commits go on meanwhile; what they leave behind may stay. It waits for the snapshots that were
	// open when it came to write, since what those show must stay. One runs at a time: another is ErrScrubbing.
	Scrub(ctx context.Context, o ScrubOptions) (Scrubbed, error)
}

// ScrubOptions are what a caller of Scrub may want. The zero value is as fast as the disk.
type ScrubOptions struct {
	// Rest is called after each piece of work with the time that it took, and returns when the next may begin. An error ends the scrub.
	Rest func(ctx context.Context, took time.Duration) error
	// Progress is told now and then how much has been done, of about how much. Units are the engine's.
	Progress func(done, total int64)
}

// Scrubbed is what a Scrub found and did. All are bytes.
type Scrubbed struct {
	File        int64 // the size of the files
	Free        int64 // of it, what was not in use
	Overwritten int64 // of that, what was not zero already
}
