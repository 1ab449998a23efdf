// Package disktest is a disk for tests that fails, fills up and loses power: a disk.FS whose files are real ones, so that they
// can be read and mapped, and which knows of each byte and name whether it would survive.
//
// The model is the weakest that a store has to live with. What was written is durable once its file was synced, and a name
// once its directory was. Of the rest a power cut leaves any part: each sector of 512 bytes in any of the states that it had
// since the last sync, any of the lengths that the file had, any of the names; at times all, none or a beginning of it, as
// most disks do. What a process that dies has written stays readable. A sync that fails may have written anything, and may
// have made the kernel forget what it was to write: it is read as if nothing had happened, until the power is gone.
package disktest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/keyturn/keyturn/internal/disk"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations that change a disk, or could not do so without.
const (
	Open     Kind = "open" // of a file that is there
	Create   Kind = "create"
	Mkdir    Kind = "mkdir"
	Link     Kind = "link"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	SyncDir  Kind = "syncdir"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
	Allocate Kind = "allocate"
	Map      Kind = "map"
)

// Op is one operation, before it happens. N counts from 1.
type Op struct {
	N    int
	Kind Kind
	Name string // in the disk's root
}

// End says what ends with an operation.
type End int

// What may end: nothing, the process, or the machine.
const (
	Nothing End = iota
	Process
	Power
)

// Fault is what becomes of an operation. The zero Fault: it succeeds.
type Fault struct {
	Err  error   // what it says
	Keep float64 // how much of a write gets in before it fails, from 0 to 1
	Done bool    // it happened all the same
	Drop bool    // of a sync that fails: the kernel forgets what it was to write, or some of it
	End  End     // it is the last one; what it does may be done or not
	Slow int     // how often others get their turn before it returns
}

// ErrEnded is what every operation says after the end of process or machine.
var ErrEnded = errors.New("disktest: the process is no more")

// Disk implements disk.FS.
type Disk struct {
	root string

	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	decide  func(Op) Fault
	n       int
	trace   uint64
	ended   End
	room    int64  // bytes that are free; below 0: any number
	top     *inode // the root
	names   map[link]*inode
	kept    map[link]*inode // names that would survive
	pending []nameChange    // what is not in kept
	handles map[*os.File]*handle
}

var _ disk.FS = (*Disk)(nil)

// handle is an open file.
type handle struct {
	ino    *inode
	append bool
	pos    int64
}

// link is where a name stands.
type link struct {
	dir  *inode
	base string
}

// nameChange is what one operation did to names. It is durable once dir is synced.
type nameChange struct {
	dir  *inode
	sets []nameSet
}

type nameSet struct {
	link
	ino *inode // nil: the name is gone
}

// New returns an empty disk whose files are below the existing, empty directory root. r decides what a fault leaves.
func New(root string, r *rand.Rand) *Disk {
	return &Disk{
		root: root, rand: r, room: -1, top: newInode(true),
		names: make(map[link]*inode), kept: make(map[link]*inode), handles: make(map[*os.File]*handle),
	}
}

// Root is where the files are.
func (d *Disk) Root() string { return d.root }

// Decide sets what becomes of the operations from here on; nil: they succeed. It is called with the disk locked.
func (d *Disk) Decide(f func(Op) Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide = f
}

// SetRoom sets how many bytes are free; below 0, any number.
func (d *Disk) SetRoom(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

// Ended returns what has ended.
func (d *Disk) Ended() End {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// Stop ends the process or the machine between two operations.
func (d *Disk) Stop(end End) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == Nothing {
		d.ended = end
	}
}

// Trace returns how many operations there were, and a hash of which and with what result: two runs that did the same have the
// same.
func (d *Disk) Trace() (n int, hash uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, d.trace
}

// do asks for the operation's fate, and runs fn unless that is against it. fn gets what part of a write is let in, and is run
// with the disk locked.
func (d *Disk) do(kind Kind, name string, fn func(keep float64) error) error {
	d.mu.Lock()
	if d.ended != Nothing {
		d.mu.Unlock()
		return ErrEnded
	}
	name = d.rel(name)
	d.n++
	var f Fault
	if d.decide != nil {
		f = d.decide(Op{N: d.n, Kind: kind, Name: name})
	}
	if f.End != Nothing {
		d.ended, f.Err, f.Done, f.Keep = f.End, ErrEnded, d.rand.IntN(2) == 0, d.rand.Float64()
		if kind == Sync || kind == SyncDir {
			f.Done = false // what it would have written is as good as any other part
		}
	}
	var err error
	switch {
	case f.Err == nil || f.Done:
		err = fn(1)
	case kind == Write:
		err = fn(f.Keep)
	}
	if f.Err != nil {
		err = f.Err
	}
	if f.Drop && kind == Sync {
		if ino := d.inode(name); ino != nil {
			ino.drop(d.rand)
		}
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s %s %t", d.trace, kind, name, err == nil)
	d.trace = h.Sum64()
	d.mu.Unlock()
	for range f.Slow {
		runtime.Gosched()
	}
	return err
}

// rel returns a name as it is in the root. Names come from the code under test: one outside is a bug of the test.
func (d *Disk) rel(name string) string {
	rel, err := filepath.Rel(d.root, name)
	if err != nil || !filepath.IsLocal(rel) {
		panic(fmt.Sprintf("disktest: %s is not below %s", name, d.root))
	}
	return rel
}

// inode returns what has a name in the root, nil if nothing has.
func (d *Disk) inode(rel string) *inode {
	ino := d.top
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		if part != "." && ino != nil {
			ino = d.names[link{ino, part}]
		}
	}
	return ino
}

// link returns where a name stands, whether something has it or not.
func (d *Disk) link(name string) link {
	rel := d.rel(name)
	return link{d.inode(filepath.Dir(rel)), filepath.Base(rel)}
}

// change notes what happened to names, of which the first is in the directory that has to be synced, and does it.
func (d *Disk) change(sets ...nameSet) {
	d.pending = append(d.pending, nameChange{sets[0].dir, sets})
	for _, s := range sets {
		if old := d.names[s.link]; old != nil {
			old.links--
			d.release(old)
		}
		if s.ino == nil {
			delete(d.names, s.link)
			continue
		}
		s.ino.links++
		d.names[s.link] = s.ino
	}
}

// release gives the room of a file back that has no name any more.
func (d *Disk) release(ino *inode) {
	if ino.links == 0 && d.room >= 0 {
		d.room += int64(len(ino.blocks)) * pageSize
	}
}

// OpenFile implements disk.FS.
func (d *Disk) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	kind := Open
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
		kind = Create
	}
	var f *os.File
	err := d.do(kind, name, func(float64) (err error) {
		f, err = d.open(name, flag, perm)
		return err
	})
	return d.opened(f, err, "open", name)
}

// opened gives a file out, or takes it back where the operation failed after all.
func (d *Disk) opened(f *os.File, err error, op, name string) (*os.File, error) {
	if err == nil {
		return f, nil
	}
	if f != nil {
		d.forget(f)
		_ = f.Close()
	}
	return nil, pathError(op, name, err)
}

func pathError(op, name string, err error) error {
	if pe := (*fs.PathError)(nil); err == nil || errors.As(err, &pe) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (d *Disk) open(name string, flag int, perm fs.FileMode) (*os.File, error) {
	// The kernel's own O_APPEND would forbid WriteAt.
	f, err := os.OpenFile(name, flag&^os.O_APPEND, perm)
	if err != nil {
		return nil, err
	}
	at := d.link(name)
	ino := d.names[at]
	if ino == nil {
		ino = newInode(false)
		d.change(nameSet{at, ino})
	} else if flag&os.O_TRUNC != 0 {
		d.truncate(ino, 0)
	}
	d.handles[f] = &handle{ino: ino, append: flag&os.O_APPEND != 0}
	owners.Store(f, d)
	return f, nil
}

// CreateTemp implements disk.FS.
func (d *Disk) CreateTemp(dir, pattern string) (*os.File, error) {
	var f *os.File
	err := d.do(Create, filepath.Join(dir, pattern), func(float64) error {
		for n := 0; ; n++ {
			name := filepath.Join(dir, fmt.Sprintf("%s%d", pattern[:len(pattern)-1], n))
			var err error
			f, err = d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
			if !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	})
	return d.opened(f, err, "createtemp", dir)
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string, perm fs.FileMode) error {
	return pathError("mkdir", name, d.do(Mkdir, name, func(float64) error {
		if err := os.Mkdir(name, perm); err != nil {
			return err
		}
		d.change(nameSet{d.link(name), newInode(true)})
		return nil
	}))
}

// Link implements disk.FS.
func (d *Disk) Link(oldname, newname string) error {
	return pathError("link", newname, d.do(Link, newname, func(float64) error {
		if err := os.Link(oldname, newname); err != nil {
			return err
		}
		d.change(nameSet{d.link(newname), d.names[d.link(oldname)]})
		return nil
	}))
}

// Rename implements disk.FS.
func (d *Disk) Rename(oldname, newname string) error {
	return pathError("rename", newname, d.do(Rename, newname, func(float64) error {
		if err := os.Rename(oldname, newname); err != nil {
			return err
		}
		from := d.link(oldname)
		d.change(nameSet{d.link(newname), d.names[from]}, nameSet{from, nil})
		return nil
	}))
}

// RenameNew implements disk.FS.
func (d *Disk) RenameNew(oldname, newname string) error {
	return pathError("rename", newname, d.do(Rename, newname, func(float64) error {
		if _, err := os.Lstat(newname); err == nil {
			return fs.ErrExist
		}
		if err := os.Rename(oldname, newname); err != nil {
			return err
		}
		from := d.link(oldname)
		d.change(nameSet{d.link(newname), d.names[from]}, nameSet{from, nil})
		return nil
	}))
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	return pathError("remove", name, d.do(Remove, name, func(float64) error {
		if err := os.Remove(name); err != nil {
			return err
		}
		d.change(nameSet{d.link(name), nil})
		return nil
	}))
}

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(dir string) error {
	return pathError("syncdir", dir, d.do(SyncDir, dir, func(float64) error {
		ino := d.inode(d.rel(dir))
		rest := d.pending[:0]
		for _, c := range d.pending {
			if c.dir == ino {
				c.apply(d.kept)
			} else {
				rest = append(rest, c)
			}
		}
		d.pending = rest
		return nil
	}))
}

func (c nameChange) apply(names map[link]*inode) {
	for _, s := range c.sets {
		if s.ino == nil {
			delete(names, s.link)
		} else {
			names[s.link] = s.ino
		}
	}
}

// noSpace is what a full disk says.
var noSpace error = syscall.ENOSPC
