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
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

// keepStores measures what keeps the keys safe, on stores of ever more keys, each with the audit log of its making: the time per key and the
// memory should stay the same.
func keepStores(ctx context.Context, o options, out io.Writer) error {
	counts := []int{10_000}
	if !o.short {
		counts = append(counts, 100_000)
	}
	if o.full {
		counts = append(counts, 1_000_000)
	}
	title(out, "Safekeeping",
		"verify: every value opened, indexes, counters and materials compared, each record compared with the audit log, of a store at rest.",
		"backup: of a running server, to an age recipient. restore: with --verify, so the file is read twice; then the restored is verified and",
		"started, with the whole audit log behind it. The peak is all that the process had in memory at once (of the server, which maps its",
		"store, only what is its own); scratch files come on top, on the disk.")
	fmt.Fprintf(out, "%-12s %-18s %9s %12s %10s\n", "keys", "step", "time", "us per key", "peak")
	for _, n := range counts {
		if err := keepOne(ctx, o, n, out); err != nil {
			return fmt.Errorf("%d keys: %w", n, err)
		}
	}
	return nil
}

func keepOne(ctx context.Context, o options, n int, out io.Writer) error {
	root, err := os.MkdirTemp(o.dir, "keep-")
	if err != nil {
		return err
	}
	k := &keeper{options: o, n: n, out: out, root: root}
	dir, err := newDataDir(root, "data")
	if err != nil {
		return err
	}
	restored := filepath.Join(root, "restored")
	begin := time.Now()
	l, err := openLocal(ctx, dir, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, l.store, l.log, benchOwner(), n, time.Now()), l.close()); err != nil {
		return err
	}
	k.row("(made)", time.Since(begin), 0)
	if err := k.verify(ctx, dir, "verify"); err != nil {
		return err
	}
	file := filepath.Join(root, "full.backup")
	identity := filepath.Join(root, "identity.txt")
	if err := k.backup(ctx, dir, file, identity); err != nil {
		return err
	}
	if err := k.command(ctx, "restore --verify", nil, "restore", "--input", file, "--identity", identity, "--data-dir", restored, "--verify"); err != nil {
		return err
	}
	if err := k.verify(ctx, restored, "verify again"); err != nil {
		return err
	}
	var starts []time.Duration
	for range scaleSamples {
		server, err := startKeyturn(ctx, o, restored)
		if err != nil {
			return err
		}
		starts = append(starts, server.startup)
		if err := server.stop(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%-12s %-18s %6.0f ms\n", thousands(n), "start", float64(slices.Min(starts).Microseconds())/1000)
	return os.RemoveAll(root)
}

// keeper runs the steps on a store of n keys.
type keeper struct {
	options
	n    int
	out  io.Writer
	root string
}

func (k *keeper) row(step string, took time.Duration, peak int64) {
	memory := ""
	if peak > 0 {
		memory = fmt.Sprintf("%6d MiB", peak>>20)
	}
	fmt.Fprintf(k.out, "%-12s %-18s %7.1f s %12.1f %10s\n", thousands(k.n), step, took.Seconds(), float64(took.Microseconds())/float64(k.n), memory)
}

// command runs keyturn, to its standard output, and prints its row.
func (k *keeper) command(ctx context.Context, step string, stdout io.Writer, args ...string) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, k.keyturn, args...)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	begin := time.Now()
	peak, err := runWatched(cmd)
	if err != nil {
		return fmt.Errorf("keyturn %s: %w\n%s", args[0], err, &stderr)
	}
	k.row(step, time.Since(begin), peak)
	return nil
}

func (k *keeper) verify(ctx context.Context, dir, step string) error {
	scratch := filepath.Join(k.root, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	var stdout bytes.Buffer
	if err := k.command(ctx, step, &stdout, "verify", "--data-dir", dir, "--scratch", scratch, "--output", "json"); err != nil {
		return fmt.Errorf("%w\n%.2000s", err, &stdout)
	}
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
	if report.Keys != int64(k.n) || report.History.Vouched < 2*int64(k.n) {
		return fmt.Errorf("not everything was looked at: %+v", report)
	}
	return nil
}

// backup asks a server for a backup, to an identity that it makes, and watches the server's memory.
func (k *keeper) backup(ctx context.Context, dir, file, identityFile string) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	if err := os.WriteFile(identityFile, []byte(identity.String()+"\n"), 0o600); err != nil {
		return err
	}
	server, err := startKeyturn(ctx, k.options, dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, k.keyturn, "backup", "--endpoint", server.endpoint, "--recipient", identity.Recipient().String(), "--output", file)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+accessKeyID, "AWS_SECRET_ACCESS_KEY="+secretAccessKey, "AWS_REGION="+region)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	var own int64
	peak, err := runWatching(cmd, func() { own = max(own, ownMemory(server.pid())) })
	took := time.Since(begin)
	if err := errors.Join(err, server.stop()); err != nil {
		return fmt.Errorf("keyturn backup: %w\n%s", err, &stderr)
	}
	k.row("backup", took, peak)
	k.row("  its server", took, own)
	info, err := os.Stat(file)
	if err == nil {
		fmt.Fprintf(k.out, "%-12s %-18s %6d MiB\n", thousands(k.n), "  its file", info.Size()>>20)
	}
	return err
}

// watchEvery is how often the memory of a process is looked at. What the system keeps of it only ever tells the most so far, so little is
// missed.
const watchEvery = 20 * time.Millisecond

// runWatched runs a command and returns the most that it had in memory.
func runWatched(cmd *exec.Cmd) (peak int64, err error) { return runWatching(cmd, func() {}) }

// runWatching also looks at something else as often.
func runWatching(cmd *exec.Cmd, look func()) (peak int64, err error) {
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
			look()
		}
	}
}
