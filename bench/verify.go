package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// verifyStores measures keyturn verify on stores of ever more keys, each with the audit log of its making: the time per key and the memory
// should stay the same.
func verifyStores(ctx context.Context, o options, out io.Writer) error {
	counts := []int{10_000}
	if !o.short {
		counts = append(counts, 100_000)
	}
	if o.full {
		counts = append(counts, 1_000_000)
	}
	title(out, "Verify",
		"keyturn verify --data-dir on a store at rest: every value opened, indexes, counters and materials compared, each record compared",
		"with the audit log. The peak is all that the process had in memory at once; scratch files come on top, on the disk.")
	fmt.Fprintf(out, "%-12s %10s %10s %9s %12s %10s %9s\n", "keys", "entries", "log lines", "time", "us per key", "peak", "made in")
	for _, n := range counts {
		if err := verifyOne(ctx, o, n, out); err != nil {
			return fmt.Errorf("%d keys: %w", n, err)
		}
	}
	return nil
}

func verifyOne(ctx context.Context, o options, n int, out io.Writer) error {
	dir, err := newDataDir(o.dir, fmt.Sprintf("verify-%d", n))
	if err != nil {
		return err
	}
	begin := time.Now()
	l, err := openLocal(ctx, dir, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, l.store, l.log, benchOwner(), n, time.Now()), l.close()); err != nil {
		return err
	}
	made := time.Since(begin)
	scratch := filepath.Join(o.dir, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, o.keyturn, "verify", "--data-dir", dir, "--scratch", scratch, "--output", "json")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin = time.Now()
	peak, err := runWatched(cmd)
	if err != nil {
		return fmt.Errorf("keyturn verify: %w\n%s%.2000s", err, &stderr, &stdout)
	}
	took := time.Since(begin)
	var report struct {
		Entries int64 `json:"entries"`
		Keys    int64 `json:"keys"`
		History struct {
			Lines   uint64 `json:"lines"`
			Vouched int64  `json:"vouched"`
		} `json:"history"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return err
	}
	if report.Keys != int64(n) || report.History.Vouched < 2*int64(n) {
		return fmt.Errorf("not everything was looked at: %+v", report)
	}
	fmt.Fprintf(out, "%-12s %10d %10d %7.1f s %12.1f %6d MiB %7.1f s\n", thousands(n), report.Entries, report.History.Lines, took.Seconds(),
		float64(took.Microseconds())/float64(n), peak>>20, made.Seconds())
	return os.RemoveAll(dir)
}

// watchEvery is how often the memory of a process is looked at. It only ever tells the most so far, so little is missed.
const watchEvery = 20 * time.Millisecond

// runWatched runs a command and returns the most that it had in memory.
func runWatched(cmd *exec.Cmd) (peak int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return peak, err
		case <-ticker.C:
			peak = max(peak, peakMemory(cmd.Process.Pid))
		}
	}
}
