// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

func TestLloydFindsBlobs(t *testing.T) {
	const n, d, k = 500, 3, 6
	p := Points{V: blobs(n, d, k, 11), N: n, D: d}
	centres, loss := Lloyd{K: k, Rounds: 100, Tolerance: 1e-6, Threads: 2}.Fit(p, rand.New(rand.NewPCG(1, 1)))
	if loss > 1.15*d {
		t.Errorf("loss %v, about %d was expected", loss, d)
	}
	// A point that counts n times is n points.
	twice := Points{V: append(slices.Clone(p.V), p.V...), N: 2 * n, D: d}
	weight := make([]float64, n)
	for i := range weight {
		weight[i] = 2
	}
	one := fitFrom(Points{V: p.V, N: n, D: d, Weight: weight}, centres, k)
	other := fitFrom(twice, centres, k)
	if math.Abs(one-other) > 1e-6 || math.Abs(one-loss) > 1e-3*loss {
		t.Errorf("losses %v and %v, %v before", one, other, loss)
	}
}

// fitFrom is the loss after one round from centres.
func fitFrom(p Points, centres []float32, k int) float64 {
	f := newFit(Lloyd{K: k, Threads: 1}, p)
	c := slices.Clone(centres)
	f.assign(c)
	f.move(c)
	return f.assign(c)
}

func TestSphericalCentres(t *testing.T) {
	// Three directions, and lengths that say nothing.
	rng := rand.New(rand.NewPCG(2, 2))
	const n, k = 300, 3
	v := make([]float32, 0, 3*n)
	for i := range n {
		x := []float32{0.1 * float32(rng.NormFloat64()), 0.1 * float32(rng.NormFloat64()), 0.1 * float32(rng.NormFloat64())}
		x[i%3]++
		vec.Scale(float32(math.Exp(3*rng.NormFloat64())), x)
		v = append(v, x...)
	}
	for seed := range uint64(5) {
		centres, _ := Lloyd{K: k, Rounds: 50, Random: true, Spherical: true, Threads: 1}.Fit(Points{V: v, N: n, D: 3}, rand.New(rand.NewPCG(seed, 2)))
		found := 0
		for c := range k {
			x := centres[3*c : 3*c+3]
			if size := vec.Dot(x, x); math.Abs(float64(size)-1) > 1e-5 {
				t.Errorf("seed %d: a centre of length %v", seed, size)
			}
			if slices.Max(x) > 0.95 {
				found++
			}
		}
		if found < 2 { // one start in a few splits a direction
			t.Errorf("seed %d: centres %v", seed, centres)
		}
	}
}

func TestSeedsOfFewDifferentPoints(t *testing.T) {
	p := Points{V: []float32{1, 1, 1, 5}, N: 4, D: 1}
	for _, random := range []bool{false, true} {
		got := Seed(p, 4, random, rand.New(rand.NewPCG(1, 1)))
		slices.Sort(got)
		if got[0] != 1 || got[3] != 5 {
			t.Errorf("random %v: %v", random, got)
		}
	}
}
