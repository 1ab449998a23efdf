package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// target is the share of the yardstick's requests per second that the hot path is to reach.
const target = 0.75

// speed measures the hot path in pairs of samples, yardstick then keyturn, and prints a line for each operation.
func speed(ctx context.Context, o options, out io.Writer) (err error) {
	title(out, "Hot path",
		fmt.Sprintf("%d pairs of %v samples, %d keep-alive connections, one signed request replayed. The yardstick (bare) is a", o.pairs, o.duration, o.conns),
		"net/http handler that only reads the request and writes as many bytes; keyturn checks signatures and writes its audit log.",
		fmt.Sprintf("ratio is keyturn/bare in requests/s, the median of the pairs with the extremes; aim: %.2f. CPU is the server's; own is what", target),
		"keyturn takes more than bare. For operations beyond the hot path, bare also makes the same call to the library: own stays about the same.")
	fmt.Fprintf(out, "%-21s %9s %9s %6s %6s %6s %10s %10s %6s %9s\n",
		"operation", "bare/s", "keyturn/s", "ratio", "min", "max", "bare CPU", "keyt. CPU", "ratio", "own")
	dir, err := newDataDir(o.dir, "speed")
	if err != nil {
		return err
	}
	server, err := startKeyturn(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	s, err := newSubject(ctx, server)
	if err != nil {
		return err
	}
	for _, op := range o.operations {
		if err := speedOf(ctx, o, op, server, s, out); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	return nil
}

// warmUp is how long each server runs before the first sample of an operation.
const warmUp = 300 * time.Millisecond

func speedOf(ctx context.Context, o options, op operation, server *child, s *subject, out io.Writer) (err error) {
	request, err := op.capture(ctx, s)
	if err != nil {
		return err
	}
	bare, err := startRole(ctx, roleBare, roleConfig{Ready: filepath.Join(o.dir, "bare-"+op.name), Operation: op.name, Reply: s.rec.reply})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()

	servers := [2]*child{bare, server}
	var rates, cpus [2][]float64
	for _, c := range servers {
		if _, err := replay(ctx, c, request, o.conns, min(warmUp, o.duration)); err != nil {
			return err
		}
	}
	for range o.pairs {
		if request, err = op.capture(ctx, s); err != nil { // a fresh signature: they last five minutes
			return err
		}
		for i, c := range servers {
			m, err := replay(ctx, c, request, o.conns, o.duration)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], m.perSecond())
			cpus[i] = append(cpus[i], m.cpuMicros())
		}
	}
	ratios := quotients(rates[1], rates[0])
	own := make([]float64, o.pairs)
	for i := range own {
		own[i] = cpus[1][i] - cpus[0][i]
	}
	fmt.Fprintf(out, "%-21s %9.0f %9.0f %6.2f %6.2f %6.2f %7.1f us %7.1f us %6.2f %6.1f us\n",
		op.name, median(rates[0]), median(rates[1]), median(ratios), slices.Min(ratios), slices.Max(ratios),
		median(cpus[0]), median(cpus[1]), median(quotients(cpus[0], cpus[1])), median(own))
	return nil
}
