// SPDX-License-Identifier: Apache-2.0

package eigen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// with makes a symmetric matrix with eigenvalues values, in random directions.
func with(values []float64) []float64 {
	n := len(values)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	a := make([]float64, n*n)
	for i, v := range values {
		a[i*n+i] = v
	}
	for range 3 { // three reflections from both sides
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		floats.Scale(1/floats.Norm(v, 2), v)
		for range 2 { // HA, then (HA)ᵀ is what it is applied to again
			for j := range n {
				dot := 0.0
				for i := range n {
					dot += v[i] * a[i*n+j]
				}
				for i := range n {
					a[i*n+j] -= 2 * dot * v[i]
				}
			}
			for i := range n {
				for j := range i {
					a[i*n+j], a[j*n+i] = a[j*n+i], a[i*n+j]
				}
			}
		}
	}
	return a
}

func TestTop(t *testing.T) {
	spread := func(n int, f func(i int) float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = f(i)
		}
		return v
	}
	for name, values := range map[string][]float64{
		"small":              {3, 2, 1, -1},
		"one":                {5},
		"apart":              spread(150, func(i int) float64 { return float64(i) - 20 }),
		"falling":            spread(200, func(i int) float64 { return math.Pow(0.7, float64(i)) }),
		"of low rank":        spread(120, func(i int) float64 { return max(0, 5-float64(i)) }),
		"many, of low rank":  spread(partsFrom+45, func(i int) float64 { return max(0, 5-float64(i)) }),
		"all equal":          spread(100, func(int) float64 { return 2 }),
		"in groups":          spread(130, func(i int) float64 { return float64(i / 13) }),
		"all 0":              spread(90, func(int) float64 { return 0 }),
		"close by 1e-14":     spread(110, func(i int) float64 { return 1 + 1e-14*float64(i) }),
		"very large":         spread(100, func(i int) float64 { return 1e200 * float64(i) }),
		"very small":         spread(100, func(i int) float64 { return 1e-150 * float64(i) }),
		"of many magnitudes": spread(100, func(i int) float64 { return math.Pow(10, float64(-i)/5) }),
	} {
		t.Run(name, func(t *testing.T) {
			n := len(values)
			a := with(values)
			sorted := slices.Clone(values)
			slices.Sort(sorted)
			slices.Reverse(sorted)
			norm := max(math.Abs(sorted[0]), math.Abs(sorted[n-1]), 1e-300)
			for _, k := range []int{1, min(7, n), n} {
				got, vectors, err := Top(t.Context(), 1, slices.Clone(a), n, k)
				if err != nil || len(got) != k || len(vectors) != k {
					t.Fatalf("%d values, %d vectors, %v", len(got), len(vectors), err)
				}
				for j, v := range vectors {
					if math.Abs(got[j]-sorted[j]) > 1e-12*norm {
						t.Errorf("value %d is %v, want %v", j, got[j], sorted[j])
					}
					for o := range j + 1 {
						want := 0.0
						if o == j {
							want = 1
						}
						if d := floats.Dot(v, vectors[o]); math.Abs(d-want) > 1e-10 {
							t.Errorf("vectors %d and %d: %v", o, j, d)
						}
					}
					off := make([]float64, n)
					for i := range n {
						off[i] = floats.Dot(a[i*n:(i+1)*n], v)/norm - got[j]/norm*v[i]
					}
					if d := floats.Norm(off, 2); d > 1e-11 {
						t.Errorf("vector %d is off by %v", j, d)
					}
				}
			}
		})
	}
}

// TestThreads: the bits of the result hang on the matrix alone.
func TestThreads(t *testing.T) {
	const n = 2*partsFrom + 7
	values := make([]float64, n)
	for i := range values {
		values[i] = 1 / (1 + float64(i))
	}
	a := with(values)
	left := slices.Clone(a)
	if _, err := (tridiagonal{make([]float64, n), make([]float64, n-1)}).reduce(t.Context(), 2, left, n); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if !slices.Equal(left[i*n+i+1:(i+1)*n], a[i*n+i+1:(i+1)*n]) {
			t.Fatalf("row %d is written over above the diagonal, which is what is left where inverse iteration fails", i)
		}
	}
	var first []float64
	for _, threads := range []int{1, 2, 3, 20} {
		got, vectors, err := Top(t.Context(), threads, slices.Clone(a), n, 9)
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range got {
			if math.Abs(v-values[j]) > 1e-13 {
				t.Errorf("value %d is %v, want %v", j, v, values[j])
			}
		}
		for _, v := range vectors {
			got = append(got, v...)
		}
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("%d threads give other bits", threads)
		}
	}
}

func TestNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		a := make([]float64, 100*100)
		a[33] = bad
		if _, _, err := Top(t.Context(), 1, a, 100, 2); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Top(ctx, 2, with(make([]float64, 100)), 100, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkTop(b *testing.B) {
	for _, n := range []int{100, 300, 1000, 2000} {
		a := make([]float64, n*n)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range n {
			for j := range i + 1 {
				a[i*n+j] = rng.NormFloat64()
				a[j*n+i] = a[i*n+j]
			}
		}
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Top(b.Context(), runtime.GOMAXPROCS(0), slices.Clone(a), n, n/20); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("gonum/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := all(slices.Clone(a), n, n/20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
