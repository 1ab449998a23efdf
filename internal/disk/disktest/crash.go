package disktest

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Restart returns the disk as the next process finds it: with all that was written, synced or not. The old one says ErrEnded from
// here on; whoever has files open on it must have closed them.
func (d *Disk) Restart() *Disk {
	d.Stop(Process)
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{
		root: d.root, rand: d.rand, room: d.room, n: d.n, trace: d.trace, top: d.top,
		names: d.names, kept: d.kept, pending: d.pending, handles: make(map[*os.File]*handle),
	}
}

// PowerCut returns the disk as the machine finds it when the power is back, below another empty directory.
func (d *Disk) PowerCut(root string) (*Disk, error) {
	d.Stop(Power)
	d.mu.Lock()
	defer d.mu.Unlock()
	next := New(root, d.rand)
	next.n, next.trace, next.room = d.n, d.trace, d.room
	children := make(map[*inode][]nameSet)
	for at, ino := range d.keptNames() {
		children[at.dir] = append(children[at.dir], nameSet{at, ino})
	}
	made := make(map[*inode]revived) // files that have a name already
	var revive func(old, dir *inode, path string) error
	revive = func(old, dir *inode, path string) error {
		list := children[old]
		slices.SortFunc(list, func(a, b nameSet) int { return strings.Compare(a.base, b.base) })
		for _, c := range list {
			at, path := link{dir, c.base}, filepath.Join(path, c.base)
			if first, ok := made[c.ino]; ok {
				if err := os.Link(first.path, path); err != nil {
					return err
				}
				next.set(at, first.ino)
				continue
			}
			ino := newInode(c.ino.dir)
			next.set(at, ino)
			made[c.ino] = revived{ino, path}
			var err error
			if ino.dir {
				if err = os.Mkdir(path, 0o700); err == nil {
					err = revive(c.ino, ino, path)
				}
			} else {
				err = ino.restore(c.ino, path, d.rand)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return next, revive(d.top, next.top, root)
}

// revived is what has become of an inode, and its first name.
type revived struct {
	ino  *inode
	path string
}

// set gives a file a name that stays.
func (d *Disk) set(at link, ino *inode) {
	ino.links++
	d.names[at], d.kept[at] = ino, ino
}

// restore makes the file that a power cut leaves of another.
func (i *inode) restore(old *inode, path string, r *rand.Rand) error {
	i.kept, i.keptSize = old.image(r)
	i.view, i.size = slices.Clone(i.kept), i.keptSize
	for p := range old.blocks {
		if p*pageSize < i.size {
			i.blocks[p] = true
		}
	}
	if err := os.WriteFile(path, i.kept, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, i.size)
}

// keptNames draws the names that a power cut leaves.
func (d *Disk) keptNames() map[link]*inode {
	names := maps.Clone(d.kept)
	mode := d.rand.IntN(4)
	cut := d.rand.IntN(len(d.pending) + 1)
	for n, c := range d.pending {
		switch mode {
		case 0: // none of them
			continue
		case 1: // all
		case 2: // the first
			if n >= cut {
				continue
			}
		default: // some
			if d.rand.IntN(2) == 0 {
				continue
			}
		}
		c.apply(names)
	}
	return names
}
