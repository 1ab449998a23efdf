package boltstore

import (
	"bytes"
	"hash/fnv"
	"os"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestReaderAgreesWithBolt compares every bucket of a store, read by this package and by bbolt.
func TestReaderAgreesWithBolt(t *testing.T) {
	for _, keys := range []int{0, 1, 3, 10, 100, 3000} {
		path := newPath(t)
		if err := os.WriteFile(path, sample(t, keys), 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, path, Options{})
		tx, err := s.db.Begin(false)
		if err != nil {
			t.Fatal(err)
		}
		r, root := newReader(s.file, tx, s.pageSize, s.pool)
		for _, name := range []string{dataBucket, metaBucket} {
			ours, ok, err := r.bucket(root, name)
			if err != nil || !ok {
				t.Fatalf("bucket %s: %v, %v", name, ok, err)
			}
			c, theirs := ours.cursor(), tx.Bucket([]byte(name)).Cursor()
			err = c.seek(nil)
			n := 0
			for k, v := theirs.First(); ; k, v = theirs.Next() {
				gotK, gotV, _ := c.entry()
				if err != nil || !bytes.Equal(gotK, k) || !bytes.Equal(gotV, v) {
					t.Fatalf("%d keys, entry %d of %s: %q, %v, want %q", keys, n, name, gotK, err, k)
				}
				if k == nil {
					break
				}
				if v, err := ours.get(k); err != nil || !bytes.Equal(v, gotV) {
					t.Fatalf("get(%q): %v", k, err)
				}
				n++
				err = c.next()
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzReader walks a file of arbitrary bytes. The walk must end, and be the same a second time.
func FuzzReader(f *testing.F) {
	const size = 1024
	path := newPath(f)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: size})
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(dataBucket))
		for i := 0; err == nil && i < 12; i++ {
			err = b.Put([]byte(sampleKey(i)), bytes.Repeat([]byte{1}, 40+i%5*300))
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	var root uint64
	_ = db.View(func(tx *bbolt.Tx) error { root = uint64(tx.Cursor().Bucket().Root()); return nil })
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, root)
	f.Add(data[:len(data)/2], root)
	f.Add([]byte{}, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, root uint64) {
		r := &reader{file: bytes.NewReader(data), pageSize: size, pages: uint64(len(data) / size), pool: newPool(size)}
		if free, err := r.openFreelist(1); err == nil {
			var all []uint64
			whole := free.each(func(id uint64) error { all = append(all, id); return nil })
			for i, id := range all {
				if some, err := free.from(id, 2); whole == nil && (err != nil || len(some) != min(2, len(all)-i) || some[0] != id) {
					t.Fatalf("from(%d) = %v, %v; all are %v", id, some, err, all)
				}
			}
			w := walk{r: r, root: root, free: free}
			_ = w.run(func(time.Duration) error { return nil })
		}
		top := tree{r: r, root: root}
		if data, ok, err := r.bucket(root, dataBucket); err == nil && ok {
			top = data
		}
		// Twice, since what was read must not depend on what else was: the sum tells the walks apart.
		var sums [2]uint64
		for i := range sums {
			c, sum := top.cursor(), fnv.New64a()
			visited := 0
			for err := c.seek(nil); err == nil; err = c.next() {
				k, v, _ := c.entry()
				if k == nil {
					break
				}
				sum.Write(k)
				sum.Write(v[:min(len(v), 16)])
				// Each load adds at most what fits the file.
				if visited++; visited > len(data)/elemSize*int(r.pages+1) {
					t.Fatal("the walk does not end")
				}
			}
			sums[i] = sum.Sum64()
			r.release()
		}
		if sums[0] != sums[1] {
			t.Fatal("two walks differ")
		}
		_, _ = top.get([]byte(sampleKey(7)))
	})
}
