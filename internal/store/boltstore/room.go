package boltstore

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// room sees to it that all the transaction is about to write has room on the disk, so that a full disk is found out while nothing
// is written yet: bbolt would find it out in the middle, and then nobody could tell what is on the disk. The error is ErrNoSpace if
// there is no room. Where the system or the file system cannot say, it is found out in the middle, and the engine stops.
func (s *Store) room(tx *bbolt.Tx, group []*request) error {
	used := tx.Size()
	s.allocated = max(s.allocated, used) // what was written has its room
	need := used + s.mayTake(used, group)
	if need <= s.allocated {
		return nil
	}
	// If there is not room for more, perhaps there is for this.
	var err error
	for _, size := range []int64{need + growBytes, need} {
		if err = s.fs.Allocate(s.file, s.allocated, size-s.allocated); err == nil {
			// As bbolt does when it enlarges the file.
			if err := s.fs.File(s.file).Sync(); err != nil {
				return err
			}
			s.allocated = size
			return nil
		}
		if !noSpace(err) {
			break
		}
	}
	switch {
	case noSpace(err):
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	case errors.Is(err, errors.ErrUnsupported):
		s.allocated = math.MaxInt64
		return nil
	}
	return err
}

// mayTake returns how many bytes a transaction adds to the file at most: each write changes a leaf, which may split, and what is
// above it; values come with their keys, twice if a page is enlarged for them; and the list of free pages is written anew.
func (s *Store) mayTake(used int64, group []*request) int64 {
	page := int64(s.pageSize)
	n := 64*page + used/page*8
	for _, r := range group {
		n += 2*int64(r.size()) + 2*page*int64(len(r.batch.Writes))
	}
	return (n + page - 1) / page * page
}

// noSpace reports whether err says that the disk, or the owner's share of it, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
