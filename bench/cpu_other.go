//go:build !linux

package main

import "time"

// cpuTime is not known here; the columns that need it show 0.
func cpuTime(int) (time.Duration, error) { return 0, nil }

// peakMemory is not known here.
func peakMemory(int) int64 { return 0 }

// ownMemory is not known here.
func ownMemory(int) int64 { return 0 }
