// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"fmt"
	"slices"
	"testing"
)

func TestMulPadded(t *testing.T) {
	atEachLevel(t, func(t *testing.T, _ bool) {
		for _, s := range [][3]int{{1, 16, 3}, {4, 16, 1}, {12, 32, 29}, {32, 32, 125}, {125, 32, 29}, {37, 48, 300}, {5, 80, 28}, {7, 5, 9}, {40, 64, 600}} {
			m, n, k := s[0], s[1], s[2]
			for _, turned := range []bool{false, true} {
				all := PadRows(m)
				a := View{random(1, all*(k+3)), k + 3, 1}
				if turned {
					a = View{random(1, k*(all+2)), 1, all + 2}
				}
				b := View{random(2, k*(n+16)), n + 16, 1}
				want, got := make([]float32, m*n), make([]float32, all*(n+1))
				Gemm(1, Rows(want, n), a, b, m, n, k, false)
				MulPadded(Rows(got, n+1), a, b, m, n, k)
				for i := range m {
					if !slices.Equal(want[i*n:(i+1)*n], got[i*(n+1):i*(n+1)+n]) {
						t.Fatalf("%s: row %d is not Gemm's", fmt.Sprint(m, n, k, turned), i)
					}
				}
			}
		}
	})
}
