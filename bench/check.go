package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// checkRun is one run of keyturn check.
type checkRun struct {
	took  time.Duration
	calls int   // that the server answered
	peak  int64 // bytes of memory; 0 where the system does not tell
}

// checkKeys measures keyturn check: the same calls many at once and one after the other, on stores of different sizes.
func checkKeys(ctx context.Context, o options, out io.Writer) error {
	counts := []int{1_000, 10_000}
	if o.short {
		counts = []int{1_000}
	}
	title(out, "Check",
		"keyturn check against a keyturn dev on the same machine that verifies signatures: every check of every key, JSON to a file. First as it",
		"is, then with --concurrency 1, which makes the same calls one after the other. Peak memory is that of the command; it should stay",
		"the same for more keys.")
	fmt.Fprintf(out, "%-10s %9s %9s %9s %9s %12s %10s %9s\n", "keys", "calls", "time", "calls/s", "peak", "one by one", "calls/s", "speed-up")
	for _, n := range counts {
		many, one, err := checkOf(ctx, o, n)
		if err != nil {
			return fmt.Errorf("checking %d keys: %w", n, err)
		}
		rate := func(r checkRun) float64 { return float64(r.calls) / r.took.Seconds() }
		fmt.Fprintf(out, "%-10s %9s %7.1f s %9.0f %6.1f MB %10.1f s %10.0f %9.2f\n", thousands(n), thousands(many.calls), many.took.Seconds(), rate(many),
			float64(many.peak)/(1<<20), one.took.Seconds(), rate(one), rate(many)/rate(one))
	}
	return nil
}

func checkOf(ctx context.Context, o options, n int) (many, one checkRun, err error) {
	dir, err := newDataDir(o.dir, fmt.Sprintf("check-%d", n))
	if err != nil {
		return many, one, err
	}
	if err := fillDir(ctx, dir, n, 0); err != nil {
		return many, one, err
	}
	server, err := startKeyturn(ctx, o, dir)
	if err != nil {
		return many, one, err
	}
	many, err = runCheck(ctx, o, server.endpoint, dir, n)
	if err == nil {
		one, err = runCheck(ctx, o, server.endpoint, dir, n, "--concurrency", "1")
	}
	if err == nil && many.calls != one.calls {
		err = fmt.Errorf("%d calls, but %d one after the other", many.calls, one.calls)
	}
	return many, one, errors.Join(err, server.stop())
}

// runCheck runs the command once. The server's audit log tells how many calls it made.
func runCheck(ctx context.Context, o options, url, dir string, n int, flags ...string) (r checkRun, err error) {
	before, err := auditLines(dir)
	if err != nil {
		return r, err
	}
	report := filepath.Join(o.dir, "report.json")
	args := append([]string{"check", "--endpoint", url, "--region", benchOwner().Region, "--format", "json", "--output", report, "--fail-on", "none"}, flags...)
	cmd := exec.CommandContext(ctx, o.keyturn, args...)
	cmd.Env = append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(dir, "credentials"), "AWS_PROFILE=keyturn", "AWS_EC2_METADATA_DISABLED=true")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended, watched := make(chan struct{}), make(chan int64)
	go func() { watched <- watchMemory(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	r.took = time.Since(begin)
	close(ended)
	r.peak = <-watched
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, text.Bytes())
	}
	after, err := auditLines(dir)
	if err != nil {
		return r, err
	}
	r.calls = after - before
	json, err := os.ReadFile(report)
	if err == nil && !bytes.Contains(json, fmt.Appendf(nil, `"keys":%d`, n)) {
		err = errors.New("the report is not about all keys")
	}
	return r, err
}

// watchMemory returns the most memory that a process has had, in bytes, as the kernel counts it; 0 where it does not. The figure that
// comes with a process's end is of no use: it begins with that of the process which started it.
func watchMemory(pid int, ended <-chan struct{}) (peak int64) {
	for poll := time.NewTicker(20 * time.Millisecond); ; {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
			var kilobytes int64
			if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
				peak = max(peak, kilobytes<<10)
			}
		}
		select {
		case <-poll.C:
		case <-ended:
			poll.Stop()
			return peak
		}
	}
}

// auditLines counts the records of an audit log.
func auditLines(dir string) (lines int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "audit", "audit-*.jsonl"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		lines += bytes.Count(text, []byte("\n"))
	}
	return lines, err
}
