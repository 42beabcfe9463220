// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"math"
	"slices"
)

// scaling is how values of an objective become those of a process. Equal values
// stay equal, and the order stays.
type scaling int

const (
	warp  scaling = iota // see warped: to find the best
	gains                // see gained: to tell how much better it may get
)

func (k scaling) of(y []float64) []float64 {
	if k == gains {
		return gained(y)
	}
	return warped(y)
}

// gained gives values in units of what the best has gained over the median; what
// is much worse than that is cut, though not wholly.
func gained(y []float64) []float64 {
	sorted := slices.Sorted(slices.Values(y))
	least := sorted[0]
	unit := sorted[len(sorted)/2] - least
	if !(unit > 0) {
		unit = 1
	}
	out := make([]float64, len(y))
	for i, v := range y {
		if out[i] = (v - least) / unit; out[i] > 2 {
			out[i] = 2 + math.Log1p(out[i]-2)
		}
	}
	return out
}

// warped makes the values of an objective, of which lower is better, fit for a
// Gaussian process: of mean 0 and variance 1, and where some are larger by orders
// of magnitude, of their logarithms above the best. Which of some scales looks
// most like a normal distribution is taken, as Box and Cox do; the best value
// itself is left out of that, since its logarithm could be made to explain
// anything.
//
// Source: Box and Cox, "An Analysis of Transformations", 1964.
func warped(y []float64) []float64 {
	n := len(y)
	sorted := slices.Sorted(slices.Values(y))
	least, rest := sorted[0], sorted[1:]
	out := slices.Clone(y)
	if n >= 5 {
		median := sorted[n/2] - least
		floor := sorted[1+n/10] - least
		best, at := normality(rest, func(v float64) (float64, float64) { return v, 0 }), math.Inf(1)
		for _, share := range []float64{10, 1, 0.1, 0.01} {
			s := max(share*median, floor)
			if !(s > 0) {
				continue
			}
			f := func(v float64) (float64, float64) { return math.Log1p((v - least) / s), -math.Log(v - least + s) }
			if score := normality(rest, f); score > best {
				best, at = score, s
			}
		}
		if !math.IsInf(at, 1) {
			for i, v := range y {
				out[i] = math.Log1p((v - least) / at)
			}
		}
	}
	return standardize(out)
}

// normality is how well values fit a normal distribution after f, which gives the
// new value and the logarithm of its slope.
func normality(y []float64, f func(float64) (float64, float64)) float64 {
	sum, squares, slopes := 0.0, 0.0, 0.0
	for _, v := range y {
		z, slope := f(v)
		sum += z
		squares += z * z
		slopes += slope
	}
	n := float64(len(y))
	variance := squares/n - sum/n*sum/n
	if !(variance > 1e-300) {
		return math.Inf(-1)
	}
	return slopes - 0.5*n*math.Log(variance)
}

// standardize gives values of mean 0 and variance 1, in place.
func standardize(y []float64) []float64 {
	mean := 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	spread := 0.0
	for _, v := range y {
		spread += (v - mean) * (v - mean) / float64(len(y))
	}
	spread = math.Sqrt(spread)
	if !(spread > 0) || math.IsInf(spread, 0) {
		spread = 1
	}
	for i := range y {
		y[i] = (y[i] - mean) / spread
	}
	return y
}
