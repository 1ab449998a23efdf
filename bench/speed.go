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
		fmt.Sprintf("ratio is keyturn/bare in requests/s, the median of the pairs with the extremes; aim: %.2f. CPU is the server's.", target))
	fmt.Fprintf(out, "%-16s %10s %10s %6s %6s %6s %10s %10s %6s\n",
		"operation", "bare/s", "keyturn/s", "ratio", "min", "max", "bare CPU", "keyt. CPU", "ratio")
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
	bare, err := startRole(ctx, roleBare, roleConfig{Ready: filepath.Join(o.dir, "bare-"+op.name), Reply: s.rec.reply})
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
	fmt.Fprintf(out, "%-16s %10.0f %10.0f %6.2f %6.2f %6.2f %7.1f us %7.1f us %6.2f\n",
		op.name, median(rates[0]), median(rates[1]), median(ratios), slices.Min(ratios), slices.Max(ratios),
		median(cpus[0]), median(cpus[1]), median(quotients(cpus[0], cpus[1])))
	return nil
}
