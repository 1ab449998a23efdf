package main

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// startProgress draws a progress bar on w until finish is called, which clears nothing: the bar stays at where it got. step
// counts one, from any goroutine.
func startProgress(w io.Writer, what string, total int64) (step, finish func()) {
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
	return func() { tracker.Increment(1) }, func() {
		// A tracker that is done ends Render, also if it has not begun yet.
		tracker.MarkAsDone()
		<-drawn
	}
}
