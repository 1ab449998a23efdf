package disktest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	sectorSize = 512  // what a disk writes whole or not at all
	pageSize   = 4096 // what a kernel keeps and writes
)

// inode is a file, or a directory, whose names are the disk's business.
type inode struct {
	dir   bool
	links int

	view   []byte // what is read; behind it are zeros
	size   int64
	blocks map[int64]bool // pages that have room on the disk

	kept     []byte // what would survive
	keptSize int64
	dirty    map[int64]bool // pages that the next sync writes
	history  []change       // since the last sync that succeeded
}

// change is a write, or with data nil a change of the length.
type change struct {
	off  int64
	data []byte
	size int64 // of the file, after it
}

func newInode(dir bool) *inode {
	return &inode{dir: dir, blocks: make(map[int64]bool), dirty: make(map[int64]bool)}
}

// lacks returns how many pages from one offset to another have no room yet.
func (i *inode) lacks(from, to int64) (n int64) {
	for p := from / pageSize; p*pageSize < to; p++ {
		if !i.blocks[p] {
			n++
		}
	}
	return n
}

// claim takes room for what is between two offsets, and returns up to where it got some. room below 0 is any.
func (i *inode) claim(from, to int64, room *int64) int64 {
	for p := from / pageSize; p*pageSize < to; p++ {
		if i.blocks[p] {
			continue
		}
		if *room >= 0 {
			if *room < pageSize {
				return max(from, p*pageSize)
			}
			*room -= pageSize
		}
		i.blocks[p] = true
	}
	return to
}

func (i *inode) write(p []byte, off int64) {
	end := off + int64(len(p))
	i.view = put(i.view, p, off)
	i.size = max(i.size, end)
	for n := off / pageSize; n*pageSize < end; n++ {
		i.dirty[n] = true
	}
	i.history = append(i.history, change{off: off, data: slices.Clone(p), size: i.size})
}

// put writes p into b, which it enlarges.
func put(b, p []byte, off int64) []byte {
	if end := int(off) + len(p); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[off:], p)
	return b
}

// truncate returns how many bytes of room that gave back.
func (i *inode) truncate(size int64) (freed int64) {
	if size < int64(len(i.view)) {
		i.view = i.view[:size]
		i.dirty[size/pageSize] = true
	}
	for p := range i.blocks {
		if p*pageSize >= size && size < i.size {
			delete(i.blocks, p)
			freed += pageSize
		}
	}
	i.size = size
	i.history = append(i.history, change{off: size, size: size})
	return freed
}

// sync makes durable what the kernel knows to be new.
func (i *inode) sync() {
	for p := range i.dirty {
		i.writeBack(p)
	}
	clear(i.dirty)
	i.keepSize()
	i.history = nil
}

func (i *inode) writeBack(p int64) {
	i.kept = put(i.kept, at(i.view, p*pageSize, pageSize), p*pageSize)
}

func (i *inode) keepSize() {
	i.keptSize = i.size
	i.kept = i.kept[:min(int64(len(i.kept)), i.keptSize)]
}

// drop is a sync that failed: of each page nobody knows whether it was written, is still to be, or is forgotten.
func (i *inode) drop(r *rand.Rand) {
	for _, p := range slices.Sorted(maps.Keys(i.dirty)) {
		switch r.IntN(4) {
		case 0:
			i.writeBack(p)
			delete(i.dirty, p)
		case 1:
		default:
			delete(i.dirty, p)
		}
	}
	if r.IntN(2) == 0 {
		i.keepSize()
	} else {
		i.kept = i.kept[:min(int64(len(i.kept)), i.keptSize)]
	}
}

// at returns n bytes of b from off on; what is not there is zero.
func at(b []byte, off, n int64) []byte {
	out := make([]byte, n)
	if off < int64(len(b)) {
		copy(out, b[off:])
	}
	return out
}

// version is what a sector held after a change, by its number in the history.
type version struct {
	change int
	bytes  []byte
}

// versions returns what each sector that the next sync would write has held since the last one, beside what is kept of it.
func (i *inode) versions() map[int64][]version {
	all := make(map[int64][]version)
	last := func(s int64) []byte {
		if v := all[s]; len(v) > 0 {
			return v[len(v)-1].bytes
		}
		return at(i.kept, s*sectorSize, sectorSize)
	}
	for n, c := range i.history {
		if c.data == nil {
			for s := range all { // what was cut off is zero from here on
				if (s+1)*sectorSize > c.size {
					b := slices.Clone(last(s))
					clear(b[max(c.size-s*sectorSize, 0):])
					all[s] = append(all[s], version{n, b})
				}
			}
			continue
		}
		for s := c.off / sectorSize; s*sectorSize < c.off+int64(len(c.data)); s++ {
			if !i.dirty[s*sectorSize/pageSize] {
				continue
			}
			b := slices.Clone(last(s))
			if skip := c.off - s*sectorSize; skip >= 0 {
				copy(b[skip:], c.data)
			} else {
				copy(b, c.data[-skip:])
			}
			all[s] = append(all[s], version{n, b})
		}
	}
	// A page that was forgotten and is written to again goes to the disk whole.
	for p := range i.dirty {
		for s := p * pageSize / sectorSize; s*sectorSize < (p+1)*pageSize; s++ {
			all[s] = append(all[s], version{len(i.history) - 1, at(i.view, s*sectorSize, sectorSize)})
		}
	}
	return all
}

// image draws what a power cut leaves.
func (i *inode) image(r *rand.Rand) (content []byte, size int64) {
	content, size = slices.Clone(i.kept), i.keptSize
	n := len(i.history)
	if n == 0 {
		return content, size
	}
	pick := i.picker(r)
	all := i.versions()
	for _, s := range slices.Sorted(maps.Keys(all)) {
		if v := pick(all[s]); v != nil {
			content = put(content, v.bytes, s*sectorSize)
		}
	}
	sizes := make([]version, n)
	for k := range sizes {
		sizes[k] = version{change: k}
	}
	if v := pick(sizes); v != nil {
		size = i.history[v.change].size
	}
	return content[:min(int64(len(content)), size)], size
}

// picker returns which of the versions of a sector is on the disk; nil for what was there before.
func (i *inode) picker(r *rand.Rand) func([]version) *version {
	n := len(i.history)
	upTo := func(keep func(change int) bool) func([]version) *version {
		return func(list []version) (found *version) {
			for k := range list {
				if keep(list[k].change) {
					found = &list[k]
				}
			}
			return found
		}
	}
	switch r.IntN(5) {
	case 0: // nothing got there
		return func([]version) *version { return nil }
	case 1: // everything did
		return func(list []version) *version { return &list[len(list)-1] }
	case 2: // in order, up to somewhere
		cut := r.IntN(n + 1)
		return upTo(func(change int) bool { return change < cut })
	case 3: // some of the writes, whole
		kept := make([]bool, n)
		for k := range kept {
			kept[k] = r.IntN(2) == 0
		}
		return upTo(func(change int) bool { return kept[change] })
	default: // each sector by itself
		return func(list []version) *version {
			if k := r.IntN(len(list) + 1); k < len(list) {
				return &list[k]
			}
			return nil
		}
	}
}
