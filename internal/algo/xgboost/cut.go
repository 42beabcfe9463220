// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"iter"
	"math"
	"slices"
)

// cutsOf gives the upper bounds of at most maxBin bins that hold about equally
// many of values each: value v lies in the first bin whose bound is above v.
// The bounds are values that occur, but for the last, which is above them all.
// With at most maxBin different values each of them has a bin of its own.
//
// values has no NaN and is reordered; tmp is scratch of the same length.
// Without values there is one bin, so that every feature has a bound.
//
// The choice of bounds follows XGBoost ("value < bound goes left" on values of
// the data), but the quantiles are exact: a radix sort of a column costs less
// than a sketch.
func cutsOf(values, tmp []float32, maxBin int) []float32 {
	if len(values) == 0 {
		return emptyCuts()
	}
	sortFloats(values, tmp)
	distinct := 1
	for i := 1; i < len(values); i++ {
		if values[i] != values[i-1] {
			distinct++
		}
	}
	return cutsAt(func(yield func(float32, int) bool) {
		for i := 1; i < len(values); i++ {
			if values[i] != values[i-1] && !yield(values[i], i) {
				return
			}
		}
	}, distinct, len(values), values[len(values)-1], maxBin)
}

// emptyCuts is the one bin of a feature without values.
func emptyCuts() []float32 { return []float32{1e-5} }

// cutsAt is cutsOf for values in any form: starts gives each different value
// but the first, ascending, with the number of values below it. distinct of
// total values are different, and last is the largest.
func cutsAt(starts iter.Seq2[float32, int], distinct, total int, last float32, maxBin int) []float32 {
	bound := topBound(last)
	cuts := make([]float32, 0, min(distinct, maxBin))
	// Fill the bins in turn; a value that repeats is never torn, and what it
	// takes beyond its share is taken from the bins that follow.
	begin := 0
	for v, i := range starts {
		if distinct > maxBin {
			if len(cuts) >= maxBin-1 {
				break
			}
			if room := maxBin - len(cuts); (i-begin)*room < total-begin {
				continue
			}
		}
		cuts = append(cuts, v)
		begin = i
	}
	return append(cuts, bound)
}

// topBound is the bound behind last, the largest value.
func topBound(last float32) float32 {
	bound := above(last)
	if !(bound > last) || math.IsInf(float64(bound), 0) { // last is near the largest float32
		bound = math.MaxFloat32
	}
	return bound
}

// above is XGBoost's bound behind the largest value.
func above(v float32) float32 { return v + (float32(math.Abs(float64(v))) + 1e-5) }

// sortFloats sorts values, which hold no NaN, in ascending order. tmp is
// scratch of at least the same length.
func sortFloats(values, tmp []float32) {
	if len(values) < 512 {
		slices.Sort(values)
		return
	}
	const bits, buckets = 11, 1 << 11
	var count [3][buckets]uint32
	for _, v := range values {
		k := sortKey(v)
		count[0][k&(buckets-1)]++
		count[1][k>>bits&(buckets-1)]++
		count[2][k>>(2*bits)]++
	}
	tmp = tmp[:len(values)]
	from, to := values, tmp
	for pass := range 3 {
		c := &count[pass]
		shift := uint(pass * bits)
		if c[sortKey(from[0])>>shift&(buckets-1)] == uint32(len(from)) {
			continue // all in one bucket
		}
		var at uint32
		for i, n := range c {
			c[i] = at
			at += n
		}
		for _, v := range from {
			b := sortKey(v) >> shift & (buckets - 1)
			to[c[b]] = v
			c[b]++
		}
		from, to = to, from
	}
	if &from[0] != &values[0] {
		copy(values, from)
	}
}

// sortKey maps floats to integers of the same order.
func sortKey(v float32) uint32 {
	u := math.Float32bits(v)
	if v == 0 {
		u = 0 // -0 and 0 are one value
	}
	return u ^ (uint32(int32(u)>>31) | 1<<31)
}

// floatOf inverts sortKey.
func floatOf(key uint32) float32 {
	if key>>31 == 1 {
		return math.Float32frombits(key ^ 1<<31)
	}
	return math.Float32frombits(^key)
}
