// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestKernels(t *testing.T) {
	a, b := []float32{1, 2, 3, 4, 5, 6}, []float32{2, 0, 1, 1, 1, 1}
	if got := Dot(a, b); got != 20 {
		t.Errorf("Dot %v", got)
	}
	if got := SquaredDistance(a, b); got != 1+4+4+9+16+25 {
		t.Errorf("SquaredDistance %v", got)
	}
	y := slices.Clone(b)
	if Axpy(2, a, y); !slices.Equal(y, []float32{4, 4, 7, 9, 11, 13}) {
		t.Errorf("Axpy %v", y)
	}
	c := make([]float32, 4)
	if MulT(c, a, b, 2, 2, 3); !slices.Equal(c, []float32{5, 6, 14, 15}) {
		t.Errorf("MulT %v", c)
	}
	g := make([]float64, 9)
	if Gram(g, a, 2, 3); !slices.Equal(g, []float64{17, 22, 27, 22, 29, 36, 27, 36, 45}) {
		t.Errorf("Gram %v", g)
	}
}

// random gives n numbers around 0.
func random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// naive is A·B in float64.
func naive(a, b View, m, n, k int) []float64 {
	c := make([]float64, m*n)
	for i := range m {
		for j := range n {
			for p := range k {
				c[i*n+j] += float64(a.V[i*a.Row+p*a.Col]) * float64(b.V[p*b.Row+j*b.Col])
			}
		}
	}
	return c
}

func TestStretches(t *testing.T) {
	for _, threads := range []int{1, 3} {
		for _, n := range []int{0, 1, 7, 8, 9, 100} {
			seen := make([]int, n)
			Stretches(threads, n, 8, func(worker, from, to int) {
				if worker < 0 || worker >= threads || from%8 != 0 || to != min(from+8, n) {
					t.Errorf("worker %d of %d has %d to %d of %d", worker, threads, from, to, n)
				}
				for i := from; i < to; i++ {
					seen[i]++
				}
			})
			for i, times := range seen {
				if times != 1 {
					t.Errorf("%d of %d is done %d times", i, n, times)
				}
			}
		}
	}
}
