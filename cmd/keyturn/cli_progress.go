package main

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// startProgress draws a progress bar on w until finish is called with how it went, after which nothing is drawn any more. step
// counts one, from any goroutine.
func startProgress(w io.Writer, what string, total int64) (step func(), finish func(error)) {
	bar := progress.NewWriter()
	bar.SetOutputWriter(w)
	bar.SetAutoStop(true)
	bar.SetTrackerLength(30)
	tracker := &progress.Tracker{Message: what, Total: total}
	bar.AppendTracker(tracker)
	drawn := make(chan struct{})
	go func() {
		bar.Render()
		close(drawn)
	}()
	return func() { tracker.Increment(1) }, func(err error) {
		// Either ends Render, also if it has not begun yet.
		if err != nil {
			tracker.MarkAsErrored()
		} else {
			tracker.MarkAsDone()
		}
		<-drawn
	}
}

// startBytes is startProgress for bytes, of which there may be an unknown number (0). add counts them, from any goroutine. Nothing is drawn on
// what is no terminal.
func startBytes(w io.Writer, what string, total int64) (add func(n int), finish func(error)) {
	if !isTerminal(w) {
		return func(int) {}, func(error) {}
	}
	bar := progress.NewWriter()
	bar.SetOutputWriter(w)
	bar.SetAutoStop(true)
	bar.SetTrackerLength(30)
	tracker := &progress.Tracker{Message: what, Total: total, Units: progress.UnitsBytes}
	bar.AppendTracker(tracker)
	drawn := make(chan struct{})
	go func() {
		bar.Render()
		close(drawn)
	}()
	return func(n int) { tracker.Increment(int64(n)) }, func(err error) {
		if err != nil {
			tracker.MarkAsErrored()
		} else {
			tracker.MarkAsDone()
		}
		<-drawn
	}
}
