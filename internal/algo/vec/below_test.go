// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"math"
	"testing"
)

func TestBelow(t *testing.T) {
	nan := float32(math.NaN())
	atEachLevel(t, func(t *testing.T, _ bool) {
		for n := range 70 {
			s, c := random(uint64(n), n), random(uint64(n)+1000, n)
			for i := range c { // -2 to 4, but for the rounding of a fused product
				s[i] = float32(int(s[i]*4)) / 4
			}
			if n > 20 {
				s[20], c[n-1] = nan, nan
			}
			for _, limit := range []float32{-100, -1, 0, 0.5, 100, float32(math.Inf(-1)), float32(math.Inf(1)), nan} {
				var got, want []int
				for j := range n {
					if !(c[j]-2*s[j] > limit) {
						want = append(want, j)
					}
				}
				for j := Below(s, c, limit, 0); j < n; j = Below(s, c, limit, j+1) {
					got = append(got, j)
				}
				if len(got) != len(want) {
					t.Fatalf("n=%d, limit %v: %v, want %v", n, limit, got, want)
				}
				for i := range got {
					if got[i] != want[i] {
						t.Fatalf("n=%d, limit %v: %v, want %v", n, limit, got, want)
					}
				}
			}
			if got := Below(s, c, 100, n); got != n {
				t.Errorf("n=%d: from the end %d", n, got)
			}
		}
	})
}
