// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// guarded gives n numbers amid others, from shift on: NaN, so that who reads
// beyond is found by the result, or 12345, for untouched to find who writes.
func guarded(seed uint64, n, shift int, around float64) (v, all []float32) {
	all = make([]float32, n+64)
	for i := range all {
		all[i] = float32(around)
	}
	v = all[16+shift : 16+shift+n : 16+shift+n]
	copy(v, random(seed, n))
	return v, all
}

func untouched(all []float32, n, shift int) bool {
	for i, x := range all {
		if (i < 16+shift || i >= 16+shift+n) && x != 12345 {
			return false
		}
	}
	return true
}

// near tells whether got is want but for what rounding n additions of terms,
// whose magnitudes sum to size, can do.
func near(got float32, want, size float64, n int) bool {
	return math.Abs(float64(got)-want) <= size*float64(n+2)*0x1p-24 || math.IsNaN(want) && got != got
}

func TestKernelsAtEachLevel(t *testing.T) {
	var lengths []int
	for n := range 140 {
		lengths = append(lengths, n)
	}
	lengths = append(lengths, 255, 256, 257, 1000, 4099)
	type result struct{ dot, distance uint32 }
	first := map[int]result{}
	atEachLevel(t, func(t *testing.T, vector bool) {
		for _, n := range lengths {
			shift := n % 5
			a, _ := guarded(uint64(n), n, shift, math.NaN())
			b, _ := guarded(uint64(n)+1000, n, shift, math.NaN())
			var dot, dotSize, distance float64
			for i := range a {
				x, y := float64(a[i]), float64(b[i])
				dot, dotSize, distance = dot+x*y, dotSize+math.Abs(x*y), distance+(x-y)*(x-y)
			}
			gotDot, gotDistance := Dot(a, b), SquaredDistance(a, b)
			if !near(gotDot, dot, dotSize, n) || !near(gotDistance, distance, distance, 3*n) {
				t.Errorf("n=%d: dot %v, want %v; distance %v, want %v", n, gotDot, dot, gotDistance, distance)
			}
			if vector {
				got := result{math.Float32bits(gotDot), math.Float32bits(gotDistance)}
				if want, ok := first[n]; ok && got != want {
					t.Errorf("n=%d: AVX2 and AVX-512 give other bits: %x, %x", n, got, want)
				}
				first[n] = got
			}
			y, all := guarded(uint64(n)+1000, n, shift, 12345)
			Axpy(0.7, a, y)
			for i := range y {
				if !near(y[i], float64(b[i])+float64(float32(0.7))*float64(a[i]), 4+math.Abs(float64(b[i])), 1) {
					t.Fatalf("n=%d: axpy %d is %v", n, i, y[i])
				}
			}
			if !untouched(all, n, shift) {
				t.Errorf("n=%d: axpy wrote beside y", n)
			}
			copy(y, b)
			Add(a, y)
			for i := range y {
				if y[i] != a[i]+b[i] {
					t.Fatalf("n=%d: add %d is %v", n, i, y[i])
				}
			}
			Scale(-3, y)
			for i := range y {
				if y[i] != -3*(a[i]+b[i]) {
					t.Fatalf("n=%d: scale %d is %v", n, i, y[i])
				}
			}
			if !untouched(all, n, shift) {
				t.Errorf("n=%d: scale wrote beside x", n)
			}
		}
	})
}

func TestNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	atEachLevel(t, func(t *testing.T, _ bool) {
		for n := 1; n < 80; n++ {
			a, b := make([]float32, n), make([]float32, n)
			b[n-1] = 1
			a[n-1] = inf
			if d := Dot(a, b); d != inf {
				t.Fatalf("n=%d: dot %v", n, d)
			}
			a[n-1] = nan
			if d := SquaredDistance(a, b); d == d {
				t.Fatalf("n=%d: distance %v", n, d)
			}
		}
	})
}

func TestGemm(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	type shape struct{ m, n, k int }
	shapes := []shape{{1, 1, 1}, {12, 32, 7}, {6, 16, 5}, {13, 33, 9}, {5, 3, 600}, {1, 20, 100}, {3, 70, 257}, {40, 17, 513}, {200, 65, 300}, {7, 1100, 33}, {130, 40, 1024}}
	for range 40 {
		shapes = append(shapes, shape{1 + r.IntN(60), 1 + r.IntN(90), 1 + r.IntN(70)})
	}
	bits := map[string][]float32{}
	atEachLevel(t, func(t *testing.T, vector bool) {
		for _, s := range shapes {
			for form := range 4 {
				a, b := Rows(random(uint64(s.m), s.m*s.k), s.k), Rows(random(uint64(s.n), s.n*s.k), s.n)
				if form&1 != 0 {
					a = Rows(a.V, s.m).T()
				}
				if form&2 != 0 {
					b = Rows(b.V, s.k).T()
				}
				want := naive(a, b, s.m, s.n, s.k)
				for _, threads := range []int{1, 2, 5} {
					for _, add := range []bool{false, true} {
						name := fmt.Sprintf("%v form %d add %v", s, form, add)
						c := make([]float32, s.m*s.n)
						for i := range c {
							c[i] = 1000
						}
						Gemm(threads, Rows(c, s.n), a, b, s.m, s.n, s.k, add)
						for i, got := range c {
							w := want[i]
							if add {
								w += 1000
							}
							if !near(got, w, 1000+5*float64(s.k), 4) {
								t.Fatalf("%s: element %d is %v, want %v", name, i, got, w)
							}
						}
						if threads > 1 || vector {
							name := fmt.Sprint(name, vector)
							if first, ok := bits[name]; !ok {
								bits[name] = c
							} else if !sameBits(first, c) {
								t.Fatalf("%s: %d threads or another level change the bits", name, threads)
							}
						}
					}
				}
			}
		}
	})
}

// TestGemmRowByRow: what one row gives does not hang on the others.
func TestGemmRowByRow(t *testing.T) {
	const m, n, k = 37, 21, 300
	a, b := random(1, m*k), random(2, n*k)
	atEachLevel(t, func(t *testing.T, _ bool) {
		whole, row := make([]float32, m*n), make([]float32, n)
		MulT(whole, a, b, m, n, k)
		for i := range m {
			MulT(row, a[i*k:(i+1)*k], b, 1, n, k)
			if !sameBits(row, whole[i*n:(i+1)*n]) {
				t.Fatalf("row %d by itself is %v, with the others %v", i, row, whole[i*n:(i+1)*n])
			}
		}
	})
}

func TestForms(t *testing.T) {
	a, b := []float32{1, 2, 3, 4, 5, 6}, []float32{7, 8, 9, 10, 11, 12}
	for _, c := range []struct {
		name string
		do   func(c, a, b []float32, m, n, k int)
		want []float32
	}{
		{"A·B", Mul, []float32{58, 64, 139, 154}},
		{"A·Bᵀ", MulT, []float32{50, 68, 122, 167}},
		{"Aᵀ·B", TMul, []float32{89, 98, 116, 128}},
	} {
		got := make([]float32, 4)
		if c.do(got, a, b, 2, 2, 3); !sameBits(got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
	c := []float32{5, 5}
	if Gemm(2, Rows(c, 1), Rows(nil, 0), Rows(nil, 1), 2, 1, 0, true); c[0] != 5 {
		t.Error("a product of no depth changes what it is added to")
	}
	if Gemm(2, Rows(c, 1), Rows(nil, 0), Rows(nil, 1), 2, 1, 0, false); c[0] != 0 || c[1] != 0 {
		t.Error("a product of no depth is not 0")
	}
}

func sameBits(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

func FuzzDot(f *testing.F) {
	f.Add(uint64(1), 17, 3)
	f.Fuzz(func(t *testing.T, seed uint64, n, shift int) {
		n, shift = min(max(n, 0), 5000), min(max(shift, 0), 16)
		a, _ := guarded(seed, n, shift, math.NaN())
		b, _ := guarded(seed+1, n, shift, math.NaN())
		var want, size float64
		for i := range a {
			want, size = want+float64(a[i])*float64(b[i]), size+math.Abs(float64(a[i])*float64(b[i]))
		}
		if got := Dot(a, b); !near(got, want, size, n) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
