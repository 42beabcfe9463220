// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRowsAreThoseOfTheScalarTwins tries lists of all lengths around what is
// looked ahead, and both vector forms, which must agree to the bit.
func TestRowsAreThoseOfTheScalarTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = rng.Float32()*2 - 1
		}
		return v
	}
	const height = 50
	for _, stride := range []int{16, 32, 112, 304} {
		m, x := random(height*stride), random(9*stride)
		for n := range 15 {
			rows, from, alpha := make([]int32, n), make([]int32, n), random(n)
			for i := range rows {
				rows[i], from[i] = rng.Int32N(height), rng.Int32N(9)
			}
			run := func(dot func(out, m []float32, rows []int32, x []float32), add func(y, alpha, m []float32, rows []int32),
				to func(m []float32, rows []int32, alpha, x []float32, from []int32, stride int)) (out, y, after []float32) {
				out, y, after = make([]float32, n), slices.Clone(x[:stride]), slices.Clone(m)
				dot(out, m, rows, x[:stride])
				add(y, alpha, m, rows)
				to(after, rows, alpha, x, from, stride)
				return out, y, after
			}
			wantOut, wantY, wantM := run(dotRowsScalar, addRowsScalar, addToRowsScalar)
			var first [3][]float32
			atEachLevel(t, func(t *testing.T, vector bool) {
				out, y, after := run(DotRows, AddRows, AddToRows)
				for what, pair := range map[string][2][]float32{"DotRows": {out, wantOut}, "AddRows": {y, wantY}, "AddToRows": {after, wantM}} {
					for j := range pair[1] {
						if d := math.Abs(float64(pair[0][j] - pair[1][j])); d > 1e-5*math.Sqrt(float64(stride)) {
							t.Fatalf("%s of %d rows of %d: value %d is %v, want %v", what, n, stride, j, pair[0][j], pair[1][j])
						}
					}
				}
				if all := [3][]float32{out, y, after}; vector && first[0] == nil {
					first = all
				} else if vector {
					for k := range all {
						if !slices.Equal(all[k], first[k]) {
							t.Errorf("stride %d, %d rows: the vector forms differ in result %d", stride, n, k)
						}
					}
				}
			})
		}
	}
}

func TestRowsThatAreNoWholeLanesPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	DotRows(make([]float32, 1), make([]float32, 10), []int32{0}, make([]float32, 10))
}

func BenchmarkRows(b *testing.B) {
	const stride, height = 112, 1 << 16
	m, x, y := make([]float32, height*stride), make([]float32, stride), make([]float32, stride)
	rows, from, alpha, out := make([]int32, 40), make([]int32, 40), make([]float32, 40), make([]float32, 40)
	for i := range rows {
		rows[i] = int32(i * i * 7919 % 4000)
	}
	for name, do := range map[string]func(){
		"dot":    func() { DotRows(out, m, rows, x) },
		"add":    func() { AddRows(y, alpha, m, rows) },
		"add to": func() { AddToRows(m, rows, alpha, x, from, stride) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				do()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/40, "ns/row")
		})
	}
}
