// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestLogistic(t *testing.T) {
	bits := map[string][]float32{}
	losses := map[string][]float64{}
	atEachLevel(t, func(t *testing.T, vector bool) {
		for _, shape := range [][2]int{{0, 16}, {1, 1}, {15, 1}, {16, 1}, {17, 1}, {2500, 1}, {1, 16}, {119, 16}, {121, 32}, {500, 80}} {
			rows, n := shape[0], shape[1]
			name := fmt.Sprintf("%d×%d", rows, n)
			s, y := random(uint64(rows), rows*n), random(7, rows)
			for i := range s { // of all magnitudes
				s[i] *= []float32{1, 3, 20, 150, 1e-6, 1e9}[i%6]
			}
			for i := range y {
				y[i] = float32(i * i % 3 % 2)
			}
			w := make([]float32, n)
			for j := range w {
				w[j] = []float32{1, 0.25, 3, 1e-6}[j%4]
			}
			g, all := guarded(1, rows*n, 0, 12345)
			got := make([]float64, n)
			Logistic(g, s, y, w, got)
			if !untouched(all, rows*n, 0) {
				t.Errorf("%s: wrote beside g", name)
			}
			for j := range n {
				want := 0.0
				for i, label := range y {
					v, by, sign := float64(s[i*n+j]), 1.0, 1.0
					if label == 1 {
						v, by, sign = -v, float64(w[j]), -1
					}
					want += by * (max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))))
					slope := sign * by / (1 + math.Exp(-v))
					if off := math.Abs(float64(g[i*n+j]) - slope); off > 4*math.Abs(slope)*0x1p-23+5e-38*max(by, 1) {
						t.Fatalf("%s: slope of %v at %d, %d is %v, want %v", name, s[i*n+j], i, j, g[i*n+j], slope)
					}
				}
				if off := math.Abs(got[j] - want); off > 3e-6*want+float64(rows)*0x1p-24 {
					t.Errorf("%s: loss of %d is %v, want %v", name, j, got[j], want)
				}
			}
			if first, ok := bits[name]; vector && ok && (!sameBits(first, g) || !slices.Equal(losses[name], got)) {
				t.Errorf("%s: AVX2 and AVX-512 give other bits", name)
			} else if vector {
				bits[name], losses[name] = g, got
			}
			if rows > 0 {
				broken := make([]float64, n)
				s[0] = float32(math.NaN())
				Logistic(s, s, y, w, broken)
				if s[0] == s[0] || broken[0] == broken[0] {
					t.Errorf("%s: NaN gives the slope %v and the loss %v", name, s[0], broken[0])
				}
				if rows*n > 1 && !sameBits(s[1:], g[1:]) {
					t.Errorf("%s: in place it gives other bits", name)
				}
			}
		}
	})
}

func BenchmarkLogistic(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, y, w, losses := random(1, 128*32), make([]float32, 128*32/n), make([]float32, n), make([]float64, n)
			g := make([]float32, len(s))
			b.SetBytes(int64(4 * len(s)))
			for b.Loop() {
				Logistic(g, s, y, w, losses)
			}
		})
	}
}
