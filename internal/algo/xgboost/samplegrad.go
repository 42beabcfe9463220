// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math"
)

// mvsLambda is what the second derivative counts beside the first.
const mvsLambda = 0.1

// sampleByGradient is sample for sampling_method gradient_based: a row is drawn
// with a probability in proportion to c = sqrt(g² + mvsLambda·h²), or 1 where c
// is large, so that a share of subsample of all rows is expected, and its pair is
// divided by that probability, which leaves sums what they were on average.
//
// Source: Ibragimov and Gusev, "Minimal Variance Sampling in Stochastic Gradient
// Boosting", NeurIPS 2019, which XGBoost follows.
func (g *grower) sampleByGradient(ctx context.Context, pairs []gradPair, number uint64) ([]gradPair, error) {
	size := make([]float32, len(pairs))
	spans(g.threads, len(pairs), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			a, b := float64(pairs[r].g), float64(pairs[r].h)
			size[r] = float32(math.Sqrt(a*a + mvsLambda*b*b))
		}
	})
	whole, err := g.sureSize(ctx, size)
	if err != nil {
		return nil, err
	}
	key := mix(mix(g.seed^0x6d7673) ^ number)
	kept := make([]gradPair, len(pairs))
	g.out = make([]bool, len(pairs))
	for r, p := range pairs {
		share := 1.0
		if c := float64(size[r]); c < whole {
			share = c / whole
		}
		switch {
		case share == 1:
			kept[r] = p
		case float64(mix(key^mix(g.place.first+uint64(r)))>>11) < share*(1<<53):
			kept[r] = gradPair{float32(float64(p.g) / share), float32(float64(p.h) / share)}
		default:
			g.out[r] = true
			continue
		}
		g.rows = append(g.rows, uint32(r))
	}
	return kept, nil
}

// sureSize is the size from which rows are sure to be drawn: those below are
// drawn by their share of it, and together as many as are wanted. It is found
// among the upper halves of the sizes' bits, and is the same on all hosts.
func (g *grower) sureSize(ctx context.Context, size []float32) (float64, error) {
	const shift, buckets = 16, 1 << 15
	top := 0.0
	for _, c := range size {
		top = max(top, float64(c)) // NaN stays
	}
	bound := []float64{top}
	if err := g.place.peers.MaxFloats(ctx, bound); err != nil {
		return 0, err
	}
	if !(bound[0] <= math.MaxFloat32) {
		return 0, errDiverged
	}
	one := unit(bound[0], 30)
	v := make([]int64, 2*buckets) // rows and the sum of their sizes, by bucket
	for _, c := range size {
		at := math.Float32bits(c) >> shift
		v[at]++
		v[buckets+at] += int64(math.RoundToEven(float64(c) / one))
	}
	if err := g.place.peers.SumInts(ctx, v); err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range v[buckets:] {
		sum += s
	}
	wanted := math.Floor(g.subsample * float64(g.place.all))
	sure := 0.0
	for at := buckets - 1; at >= 0; at-- {
		if v[at] == 0 {
			continue
		}
		highest := float64(math.Float32frombits(uint32(at)<<shift | (1<<shift - 1)))
		if left := wanted - sure; left > 0 {
			if u := float64(sum) * one / left; u >= highest {
				return u, nil
			}
		}
		sure += float64(v[at])
		sum -= v[buckets+at]
	}
	return 0, nil // more are wanted than there are
}
