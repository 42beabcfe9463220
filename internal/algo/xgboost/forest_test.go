// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// plainly walks t as its fields say, in floats.
func plainly(t *tree, row []float32) float32 {
	at := int32(0)
	for t.left[at] >= 0 {
		switch v := row[t.feature[at]]; {
		case v != v && t.missingLeft[at], v < t.value[at]:
			at = t.left[at]
		default:
			at = t.right[at]
		}
	}
	return t.value[at]
}

// lopsided is a tree of n splits drawn from rng, each below a leaf chosen at
// random, or below the newest one, so that it is as deep as it has splits.
func lopsided(rng *rand.Rand, n, features int, chain bool) *tree {
	values := []float32{float32(math.Inf(-1)), -2, -1, float32(math.Copysign(0, -1)), 0, 1e-40, 1, 2, float32(math.Inf(1)), float32(math.NaN())}
	t := new(tree)
	t.leaf(-1, rng.Float32(), 1)
	leaves := []int32{0}
	for range n {
		i := len(leaves) - 1
		if !chain {
			i = rng.IntN(len(leaves))
		}
		at := leaves[i]
		t.left[at], t.right[at] = t.leaf(at, rng.Float32()-0.5, 1), t.leaf(at, rng.Float32()-0.5, 1)
		t.feature[at], t.missingLeft[at] = int32(rng.IntN(features)), rng.IntN(2) == 0
		t.value[at] = values[rng.IntN(len(values))]
		leaves[i] = t.left[at]
		leaves = append(leaves, t.right[at])
	}
	return t
}

// Sums must be those of the trees walked one by one, to the last bit.
func TestWalkingSideBySideIsWalkingOneByOne(t *testing.T) {
	const features = 5
	rng := rand.New(rand.NewPCG(3, 4))
	values := []float32{float32(math.Inf(-1)), -1.5, -1, float32(math.Copysign(0, -1)), 0, 1e-40, 0.5, 2, float32(math.Inf(1)), float32(math.NaN())}
	for _, trees := range []int{1, 7, 8, 9, 21} {
		for _, width := range []int{1, 3} {
			m := &algo.Matrix{Rows: 300, Cols: features}
			for range m.Rows * m.Cols {
				m.Values = append(m.Values, values[rng.IntN(len(values))])
			}
			f := forest{width: width}
			want := make([]float32, m.Rows*width)
			for i := range trees {
				one := lopsided(rng, []int{0, 3, 40}[i%3], features, i%2 == 0)
				if err := f.grow(one, int32(i%width), features); err != nil {
					t.Fatal(err)
				}
				for r := range m.Rows {
					want[r*width+i%width] += plainly(one, m.Values[r*features:(r+1)*features])
				}
			}
			filled := f
			filled.fill()
			for name, x := range map[string]struct {
				f *forest
				m *algo.Matrix
			}{"dense": {&f, m}, "dense, filled": {&filled, m}, "sparse": {&f, sparse(m)}, "sparse, filled": {&filled, sparse(m)}} {
				got := make([]float32, len(want))
				if err := x.f.add(t.Context(), x.m, got, 2); err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
						t.Fatalf("%d trees, width %d, %s: sum %d is %v, want %v", trees, width, name, i, got[i], want[i])
					}
				}
			}
		}
	}
}
