package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// row is what is measured on a store, in microseconds each: by a client on one connection, by the parent process, in process.
type row struct {
	firstPage, middlePage, startup, tick float64
}

// segmentBytes is nearly a whole segment of the audit log, more than which is never read at the start.
const segmentBytes = 60 << 20

// scale measures what must not depend on the number of keys.
func scale(ctx context.Context, o options, out io.Writer) error {
	counts := []int{1_000, 10_000}
	if !o.short {
		counts = append(counts, 100_000)
	}
	if o.full {
		counts = append(counts, 1_000_000)
	}
	title(out, "Scale",
		"ListKeys with Limit 100 on one connection, the first page and one in the middle; start-up from exec to the ready file; a tick",
		"of the scheduler with a rotation to come for every key and none due. Best of several; ratios are to the first line and should be about 1.",
		"The last line has one nearly full segment of the audit log, the most that is read at a start.")
	fmt.Fprintf(out, "%-18s %10s %6s %11s %6s %11s %6s %9s %6s %8s\n",
		"keys", "first page", "ratio", "middle page", "ratio", "start-up", "ratio", "tick", "ratio", "made in")
	var base row
	for i, n := range counts {
		r, made, err := scaleOf(ctx, o, n, 0)
		if err != nil {
			return fmt.Errorf("%d keys: %w", n, err)
		}
		if i == 0 {
			base = r
		}
		printRow(out, thousands(n), r, base, made)
	}
	r, made, err := scaleOf(ctx, o, counts[0], segmentBytes)
	if err != nil {
		return err
	}
	printRow(out, thousands(counts[0])+", full log", r, base, made)
	return nil
}

func printRow(out io.Writer, name string, r, base row, made time.Duration) {
	fmt.Fprintf(out, "%-18s %7.0f us %6.2f %8.0f us %6.2f %8.1f ms %6.2f %6.1f us %6.2f %6.1f s\n", name,
		r.firstPage, r.firstPage/base.firstPage, r.middlePage, r.middlePage/base.middlePage,
		r.startup/1000, r.startup/base.startup, r.tick, r.tick/base.tick, made.Seconds())
}

// thousands prints 100000 as 100,000.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// scaleSamples is how often each is measured. The best one counts: what disturbs a sample only ever makes it longer.
const scaleSamples = 7

// scaleOf makes a store of n keys, with an audit log of so many bytes, and measures it.
func scaleOf(ctx context.Context, o options, n, auditBytes int) (r row, made time.Duration, err error) {
	dir, err := newDataDir(o.dir, fmt.Sprintf("scale-%d-%d", n, auditBytes))
	if err != nil {
		return r, 0, err
	}
	begin := time.Now()
	if err := fillDir(ctx, dir, n, auditBytes); err != nil {
		return r, 0, err
	}
	made = time.Since(begin)
	each := o.duration / scaleSamples
	if r.tick, err = measureTick(ctx, dir, each); err != nil {
		return r, 0, err
	}
	var startups []float64
	for range scaleSamples - 1 {
		server, err := startKeyturn(ctx, o, dir)
		if err != nil {
			return r, 0, err
		}
		startups = append(startups, float64(server.startup.Microseconds()))
		if err := server.stop(); err != nil {
			return r, 0, err
		}
	}
	server, err := startKeyturn(ctx, o, dir)
	if err != nil {
		return r, 0, err
	}
	r.startup = slices.Min(append(startups, float64(server.startup.Microseconds())))
	r.firstPage, r.middlePage, err = measureList(ctx, server, n, each)
	return r, made, errors.Join(err, server.stop())
}

func fillDir(ctx context.Context, dir string, n, auditBytes int) error {
	l, err := openLocal(ctx, dir, nil)
	if err != nil {
		return err
	}
	err = fill(ctx, l.store, nil, benchOwner(), n, time.Now())
	if err == nil && auditBytes > 0 {
		err = fillAudit(l.log, auditBytes)
	}
	return errors.Join(err, l.close())
}

// measureTick returns the time of a tick that finds nothing due, in microseconds, on a store opened anew.
func measureTick(ctx context.Context, dir string, each time.Duration) (float64, error) {
	l, err := openLocal(ctx, dir, nil)
	if err != nil {
		return 0, err
	}
	before := l.log.NextSeq()
	var ticks []float64
	for range scaleSamples {
		begin := time.Now()
		count := 0
		for ; time.Since(begin) < each && err == nil; count++ {
			err = l.runner.RunDue(ctx)
		}
		ticks = append(ticks, float64(time.Since(begin))/float64(time.Microsecond)/float64(count))
	}
	if err == nil && l.log.NextSeq() != before {
		err = errors.New("something was due")
	}
	return slices.Min(ticks), errors.Join(err, l.close())
}

// measureList returns the times of a first and of a middle page, in microseconds. It also walks through the whole list, so that
// nothing is measured on a store that has not all the keys.
func measureList(ctx context.Context, server *child, n int, each time.Duration) (first, middle float64, err error) {
	client, rec := newSDK(server.endpoint)
	var marker, half *string
	count := 0
	for {
		page, err := client.ListKeys(ctx, &kms.ListKeysInput{Limit: aws.Int32(int32(min(1000, n/2))), Marker: marker})
		if err != nil {
			return 0, 0, err
		}
		count += len(page.Keys)
		if marker = page.NextMarker; marker == nil {
			break
		}
		if half == nil && count >= n/2 {
			half = marker
		}
	}
	if count != n {
		return 0, 0, fmt.Errorf("the store lists %d keys", count)
	}
	var times [2]float64
	for i, marker := range []*string{nil, half} {
		var samples []float64
		for range scaleSamples {
			page, err := client.ListKeys(ctx, &kms.ListKeysInput{Limit: aws.Int32(100), Marker: marker})
			if err != nil {
				return 0, 0, err
			}
			if len(page.Keys) != 100 {
				return 0, 0, fmt.Errorf("a page has %d keys", len(page.Keys))
			}
			m, err := replay(ctx, server, rec.request, 1, each)
			if err != nil {
				return 0, 0, err
			}
			samples = append(samples, m.micros())
		}
		times[i] = slices.Min(samples)
	}
	return times[0], times[1], nil
}
