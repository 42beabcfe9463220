// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

func TestProjectionsKeepDistances(t *testing.T) {
	const input, target, n = 300, 120, 60
	rng := rand.New(rand.NewPCG(5, 5))
	x := make([]float32, n*input)
	for i := range x {
		if rng.IntN(10) == 0 { // few numbers that are not 0, which one pick of coordinates would miss
			x[i] = float32(rng.NormFloat64())
		}
	}
	for _, kind := range []string{sign, fjlt} {
		r := newReducer(reduction{Type: kind, Seed: 3, Target: target, Input: input})
		out := make([]float32, n*target)
		r.apply(out, x, n)
		again := make([]float32, target)
		newReducer(r.reduction).apply(again, x[input:2*input], 1)
		if vec.SquaredDistance(again, out[target:2*target]) != 0 {
			t.Errorf("%s: the same seed projects otherwise", kind)
		}
		sum, worst, pairs := 0.0, 0.0, 0
		for i := range n {
			for j := range i {
				was := vec.SquaredDistance(x[i*input:(i+1)*input], x[j*input:(j+1)*input])
				is := vec.SquaredDistance(out[i*target:(i+1)*target], out[j*target:(j+1)*target])
				sum += float64(is / was)
				worst = max(worst, math.Abs(float64(is/was)-1))
				pairs++
			}
		}
		// The ratio spreads by about sqrt(2/120) = 0.13.
		if mean := sum / float64(pairs); math.Abs(mean-1) > 0.05 || worst > 0.65 {
			t.Errorf("%s: squared distances become %v of what they were in the mean, off by %v at worst", kind, mean, worst)
		}
	}
}

func TestHadamard(t *testing.T) {
	x := []float32{1, 2, 3, 4}
	hadamard(x)
	if x[0] != 10 || x[1] != -2 || x[2] != -4 || x[3] != 0 {
		t.Errorf("%v", x)
	}
}
