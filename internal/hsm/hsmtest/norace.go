//go:build !race

package hsmtest

const raceEnabled = false
