package audit

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// countedFile counts the writes that reach the kernel.
type countedFile struct {
	file
	writes *atomic.Int64
}

func (f countedFile) Write(p []byte) (int, error) {
	f.writes.Add(1)
	return f.file.Write(p)
}

// BenchmarkAppend is the log's cost per request: parallel appends of a Decrypt record, and how many of them one write
// call serves. BenchmarkWrite is what it is measured against.
func BenchmarkAppend(b *testing.B) {
	var writes atomic.Int64
	fs := osFiles()
	fs.open = func(name string, flag int) (file, error) {
		f, err := osFiles().open(name, flag)
		return countedFile{f, &writes}, err
	}
	l, err := Open(b.TempDir(), Options{NodeID: "n", ReserveBytes: -1, files: fs})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	record := sample().AppendJSON(nil)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Append(record); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(writes.Load()), "appends/write")
}

// BenchmarkWrite writes the same record with one bare write call each.
func BenchmarkWrite(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := sample().AppendJSON(nil)
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
	}
}
