// Bench measures keyturn against what does not change: a bare net/http handler on the same machine for the hot path, a store of a
// thousand keys for what must not depend on how many there are, and keyturn check against the same calls one by one. What deciding who may
// takes is measured against the request that it is part of.
//
//	go run ./bench                       all, in under five minutes
//	go run ./bench -short                the same, coarser, in under forty seconds
//	go run ./bench -part speed -op all   also signing, verifying, MACs and RSA, each next to the bare call to the library
//	go run ./bench -part scale -full     also with a million keys
//	go run ./bench -part keep -full      verify, backup, restore and start of a store and log of so many keys
//	go run ./bench -cpuprofile cpu.out   where the processor time of one operation goes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	keyturn    string // path of the binary
	dir        string // where temporary data directories are made
	part       string
	operations []operation
	duration   time.Duration // of one sample
	pairs      int
	conns      int
	short      bool
	full       bool
	cpuprofile string
}

func main() { os.Exit(run()) }

func run() int {
	if role := os.Getenv(roleEnv); role != "" {
		return exit(runRole(role))
	}
	o, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return exit(bench(ctx, o, os.Stdout))
}

func exit(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// maxDuration keeps a sample well inside the five minutes for which its signed request is valid.
const maxDuration = 2 * time.Minute

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	var ops string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.keyturn, "keyturn", "", "the keyturn binary (default: build it)")
	fs.StringVar(&o.dir, "dir", "", "where to make temporary data directories (default: the system's place for them)")
	fs.StringVar(&o.part, "part", "all", "what to run: all, speed, authorize, scale, check, keep")
	fs.StringVar(&ops, "op", "", "operations to measure or to profile, with commas, or all (default: the hot path; for a profile Encrypt): "+operationNames())
	fs.DurationVar(&o.duration, "duration", 2*time.Second, "length of one sample")
	fs.IntVar(&o.pairs, "pairs", 5, "pairs of samples, yardstick and keyturn")
	fs.IntVar(&o.conns, "conns", 16, "connections of the client")
	fs.BoolVar(&o.short, "short", false, "shorter samples, fewer pairs, up to 10,000 keys; other flags still count")
	fs.BoolVar(&o.full, "full", false, "also a store of 1,000,000 keys")
	fs.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile of a server under load to this file, and print its top; nothing else is run")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.short && !given["duration"] {
		o.duration = 500 * time.Millisecond
	}
	if o.short && !given["pairs"] {
		o.pairs = 3
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case !slices.Contains([]string{"all", "speed", "authorize", "scale", "check", "keep"}, o.part):
		return o, fmt.Errorf("-part %q is none of all, speed, authorize, scale, check, keep", o.part)
	case o.duration <= 0 || o.duration > maxDuration:
		return o, fmt.Errorf("-duration must be more than 0 and at most %v", maxDuration)
	case o.pairs < 1 || o.conns < 1 || o.conns > 1024:
		return o, errors.New("-pairs must be at least 1, -conns 1 to 1024")
	}
	if ops == "" && o.cpuprofile != "" {
		ops = "Encrypt"
	}
	var err error
	o.operations, err = chooseOperations(ops)
	if err == nil && o.cpuprofile != "" && len(o.operations) != 1 {
		err = errors.New("-cpuprofile takes one -op")
	}
	return o, err
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	work, err := os.MkdirTemp(o.dir, "keyturn-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	o.dir = work
	if o.cpuprofile != "" {
		return profile(ctx, o, out)
	}
	if o.keyturn == "" {
		o.keyturn = filepath.Join(work, "keyturn")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.keyturn, "github.com/keyturn/keyturn/cmd/keyturn")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building keyturn, or name one with -keyturn: %w\n%s", err, text)
		}
	} else if o.keyturn, err = filepath.Abs(o.keyturn); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s %s/%s, %d processors, shared by server and client\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, part := range []struct {
		name string
		run  func(context.Context, options, io.Writer) error
	}{{"speed", speed}, {"authorize", authorization}, {"scale", scale}, {"check", checkKeys}, {"keep", keepStores}} {
		if o.part != "all" && o.part != part.name || o.part == "all" && o.short && part.name == "keep" {
			continue
		}
		if err := part.run(ctx, o, out); err != nil {
			return err
		}
	}
	return nil
}

// title prints a heading with explanations below it.
func title(out io.Writer, heading string, notes ...string) {
	fmt.Fprintf(out, "\n%s\n%s\n\n", heading, strings.Join(notes, "\n"))
}
