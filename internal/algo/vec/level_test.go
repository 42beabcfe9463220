// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
	shapes := []shape{{1, 1, 1}, {12, 32, 7}, {6, 16, 5}, {13, 33, 9}, {5, 3, 600}, {1, 20, 100}, {3, 70, 257}, {40, 17, 513}, {200, 65, 40}, {7, 1100, 5}, {30, 40, 600}, {130, 70, 40}}
	for range 16 {
		shapes = append(shapes, shape{1 + r.IntN(50), 1 + r.IntN(70), 1 + r.IntN(60)})
	}
	bits, truth := map[string][]float32{}, map[string][]float64{}
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
				want := truth[fmt.Sprint(s, form)]
				if want == nil {
					want = naive(a, b, s.m, s.n, s.k)
					truth[fmt.Sprint(s, form)] = want
				}
				for _, threads := range []int{1, 3} {
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

func TestWide(t *testing.T) {
	type result struct{ dot uint64 }
	first, updated := map[int]result{}, map[[2]int][]float64{}
	atEachLevel(t, func(t *testing.T, vector bool) {
		for n := range 140 {
			shift := n % 5
			a, _ := guarded(uint64(n), n, shift, math.NaN())
			b, _ := guarded(uint64(n)+1000, n, shift, math.NaN())
			var want, size float64
			for i, v := range a {
				want, size = want+float64(v)*float64(b[i]), size+math.Abs(float64(v)*float64(b[i]))
			}
			got := DotFloat64(a, b)
			if math.Abs(got-want) > size*float64(n+1)*0x1p-53 {
				t.Errorf("n=%d: dot %v, want %v", n, got, want)
			}
			if vector {
				if f, ok := first[n]; ok && f.dot != math.Float64bits(got) {
					t.Errorf("n=%d: AVX2 and AVX-512 give other bits", n)
				}
				first[n] = result{math.Float64bits(got)}
			}
			da, db := make([]float64, n), make([]float64, n+1)
			for i := range a {
				da[i], db[i] = float64(a[i])*math.Pi, float64(b[i])
			}
			db[n] = 12345
			if double := DotDouble(da, db); math.Abs(double-want*math.Pi) > math.Pi*size*float64(n+2)*0x1p-52 {
				t.Errorf("n=%d: dot of float64 %v, want %v", n, double, want*math.Pi)
			} else if vector {
				if f, ok := first[n+1000]; ok && f.dot != math.Float64bits(double) {
					t.Errorf("n=%d: AVX2 and AVX-512 give other bits", n)
				}
				first[n+1000] = result{math.Float64bits(double)}
			}
			AxpyDouble(0.7, da, db)
			for i := range b {
				if w := float64(b[i]) + 0.7*da[i]; math.Abs(db[i]-w) > 1e-15*(4+math.Abs(w)) || db[n] != 12345 {
					t.Fatalf("n=%d: axpy of float64 %d is %v, want %v", n, i, db[i], w)
				}
			}
			rows, ends := updateTwoCase(n)
			ax, bx := UpdateTwo(rows[0][:n], rows[1], rows[2], rows[3], rows[4], rows[5], &updateBy)
			for j, want := range ends {
				got := append(rows[j], ax, bx)
				for i, w := range want {
					if math.Abs(got[i]-w) > 1e-14*float64(10+n) {
						t.Fatalf("n=%d: number %d of row %d is %v, want %v", n, i, j, got[i], w)
					}
				}
				if f, ok := updated[[2]int{n, j}]; ok && vector && !slices.Equal(f, got) {
					t.Errorf("n=%d: AVX2 and AVX-512 give other bits", n)
				} else if vector {
					updated[[2]int{n, j}] = got
				}
			}
			y := make([]float64, n+8)
			for i := range y {
				y[i] = float64(i)
			}
			Accumulate(a, y)
			for i, v := range y {
				w := float64(i)
				if i < n {
					w += float64(a[i])
				}
				if v != w {
					t.Fatalf("n=%d: accumulated %d is %v, want %v", n, i, v, w)
				}
			}
		}
	})
}

var updateBy = [6]float64{0.3, -0.7, 0.9, 0.2, -1.1, 0.4}

// updateTwoCase gives the rows a, b, y, w, v and x, each one longer than n, and
// what UpdateTwo should make of the first three, followed by its two products.
func updateTwoCase(n int) (rows [6][]float64, ends [3][]float64) {
	for j := range rows {
		for _, v := range random(uint64(100*n+j), n+1) {
			rows[j] = append(rows[j], float64(v)*math.Pi)
		}
	}
	for j := range ends {
		ends[j] = slices.Clone(rows[j])
	}
	a, b, y, by := ends[0], ends[1], ends[2], updateBy
	ax, bx := 0.0, 0.0
	for i := range n {
		w, v, x := rows[3][i], rows[4][i], rows[5][i]
		a[i] += by[0]*w + by[1]*v
		b[i] += by[2]*w + by[3]*v
		y[i] += by[4]*a[i] + by[5]*b[i]
		ax, bx = ax+a[i]*x, bx+b[i]*x
	}
	for j := range ends {
		ends[j] = append(ends[j], ax, bx)
	}
	return rows, ends
}

func TestNearest(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	atEachLevel(t, func(t *testing.T, _ bool) {
		for n := 1; n < 100; n++ {
			s, _ := guarded(uint64(n), n, n%3, -1e9)
			c, _ := guarded(uint64(n)+50, n, n%3, -1e9)
			if n%4 == 0 { // twice the least
				s[n/2], c[n/2], s[n-1], c[n-1] = 40, 2, 40, 2
			}
			index, score := 0, float64(inf)
			for j := range s {
				if d := float64(c[j]) - 2*float64(s[j]); d < score {
					index, score = j, d
				}
			}
			if got, d := Nearest(s, c); got != index || math.Abs(float64(d)-score) > 1e-6*math.Abs(score) {
				t.Errorf("n=%d: %d at %v, want %d at %v", n, got, d, index, score)
			}
			for _, bad := range []float32{nan, inf} {
				for j := range s {
					s[j], c[j] = 0, bad
				}
				if got, _ := Nearest(s, c); got != 0 {
					t.Errorf("n=%d: of all %v number %d is the least", n, bad, got)
				}
				c[n-1] = 3
				if got, d := Nearest(s, c); got != n-1 || d != 3 {
					t.Errorf("n=%d: %d at %v, want the only number", n, got, d)
				}
			}
		}
	})
}

func TestExp(t *testing.T) {
	var x []float32
	for v := float32(-110); v < 95; v += 0.0137 {
		x = append(x, v)
	}
	inf := float32(math.Inf(1))
	x = append(x, 0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), 1e-30, 88.72283, 88.7229, -87.34, -103.9, 3e38, -3e38)
	var first []float32
	atEachLevel(t, func(t *testing.T, vector bool) {
		for n := len(x); n > len(x)-20; n-- { // all lengths of the tail
			dst := make([]float32, n+1)
			dst[n] = 12345
			Exp(dst, x[:n])
			for i, v := range x[:n] {
				want := math.Exp(float64(v))
				w := float32(want)
				least := 0x1p-149 // a unit of the last place of what is subnormal
				if off := math.Abs(float64(dst[i]) - want); w == w && dst[i] != w && !(off <= max(2*want*0x1p-23, 2*least)) || (w == w) != (dst[i] == dst[i]) {
					t.Fatalf("exp(%v) is %v, want %v", v, dst[i], w)
				}
			}
			if dst[n] != 12345 {
				t.Fatal("exp wrote beside dst")
			}
			if vector && first != nil && n == len(x) && !sameBits(first, dst) {
				t.Error("AVX2 and AVX-512 give other bits")
			} else if vector && n == len(x) {
				first = dst
			}
		}
	})
}

func TestSparse(t *testing.T) {
	w, index := random(1, 50), []int32{3, 8, 20, 21, 22, 40, 49}
	for n := range len(index) + 1 {
		values := random(2, n)
		want := 0.0
		for i, v := range values {
			want += float64(v) * float64(w[index[i]])
		}
		if got := SparseDot(values, index[:n], w); !near(got, want, 20, n) {
			t.Errorf("n=%d: %v, want %v", n, got, want)
		}
		y := make([]float32, 50)
		SparseAxpy(2, values, index, y)
		for i, v := range values {
			if y[index[i]] != 2*v {
				t.Errorf("n=%d: %v", n, y)
			}
		}
	}
}

func TestGram(t *testing.T) {
	bits, truth := map[[2]int][]float64{}, map[[2]int][]float64{}
	atEachLevel(t, func(t *testing.T, vector bool) {
		for _, s := range [][2]int{{1, 1}, {2, 3}, {300, 1}, {100, 12}, {257, 31}, {513, 33}, {300, 100}, {2500, 20}, {5000, 70}} {
			m, k := s[0], s[1]
			a := random(uint64(m), m*k)
			want := truth[s]
			if want == nil {
				want = naive(Rows(a, k).T(), Rows(a, k), k, k, m)
				truth[s] = want
			}
			for _, threads := range []int{1, 3} {
				c := make([]float64, k*k)
				for i := range c {
					c[i] = 7
				}
				GramOf(threads, c, m, k, func(i int, dst []float32) { copy(dst, a[i*k:]) })
				for i := range c {
					if math.Abs(c[i]-want[i]-7) > 1e-5*float64(m) || c[i] != c[i%k*k+i/k] {
						t.Fatalf("%v: element %d is %v, want %v", s, i, c[i], want[i]+7)
					}
				}
				if !vector && threads == 1 {
					continue
				}
				if first, ok := bits[s]; ok && vector && !slices.Equal(first, c) {
					t.Fatalf("%v: %d threads or another level change the bits", s, threads)
				} else if vector {
					bits[s] = c
				}
			}
		}
	})
}

func BenchmarkGram(b *testing.B) {
	for _, s := range [][2]int{{20000, 10}, {20000, 100}, {5000, 500}, {2048, 2000}} {
		m, k := s[0], s[1]
		a, c := random(1, m*k), make([]float64, k*k)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%d/%d", m, k, threads), func(b *testing.B) {
				for b.Loop() {
					GramOf(threads, c, m, k, func(i int, dst []float32) { copy(dst, a[i*k:]) })
				}
				b.ReportMetric(float64(m*k*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
	}
}
