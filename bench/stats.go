package main

import "slices"

// median returns the middle of the values, 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// quotients divides pairwise.
func quotients(numerators, denominators []float64) []float64 {
	q := make([]float64, 0, len(numerators))
	for i := range numerators {
		q = append(q, numerators[i]/denominators[i])
	}
	return q
}
