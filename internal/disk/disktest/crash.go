package disktest

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Restart returns the disk as the next process finds it: with all that was written, synced or not. The old one says ErrEnded from
// here on; whoever has files open on it must have closed them.
func (d *Disk) Restart() *Disk {
	d.Stop(Process)
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{
		root: d.root, rand: d.rand, room: d.room, n: d.n, trace: d.trace,
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
	names := d.keptNames()
	made := make(map[*inode]string) // files that have a name already
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := names[name]
		path := filepath.Join(root, name)
		if dir := filepath.Dir(name); dir != "." && next.names[dir] == nil {
			continue // the name is in a directory that is gone
		}
		if first, ok := made[old]; ok {
			if err := os.Link(filepath.Join(root, first), path); err != nil {
				return nil, err
			}
			next.set(name, next.names[first])
			continue
		}
		ino := newInode(old.dir)
		if old.dir {
			if err := os.Mkdir(path, 0o700); err != nil {
				return nil, err
			}
		} else if err := ino.restore(old, path, d.rand); err != nil {
			return nil, err
		}
		made[old] = name
		next.set(name, ino)
	}
	return next, nil
}

// set gives a file a name that stays.
func (d *Disk) set(name string, ino *inode) {
	ino.links++
	d.names[name], d.kept[name] = ino, ino
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
func (d *Disk) keptNames() map[string]*inode {
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
