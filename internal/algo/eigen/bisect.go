// SPDX-License-Identifier: Apache-2.0

package eigen

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// together is how many values are sought at once: the divisions of one wait for
// each other, those of several do not.
const together = 4

// largest gives the k largest eigenvalues, the largest first, to what float64
// tells of the norm: each by halving an interval.
func (t tridiagonal) largest(threads, k int) []float64 {
	norm := t.norm()
	squares := make([]float64, len(t.e))
	for i, e := range t.e {
		squares[i] = max(e*e, 1e-300) // 0/0 would be no number; 1/0 is a sign
	}
	values := make([]float64, (k+together-1)/together*together)
	vec.Parallel(threads, len(values)/together, func(_, group int) {
		var low, high, middle [together]float64
		for i := range low {
			low[i], high[i] = -norm, norm
		}
		for width := 2 * norm; width > 0x1p-52*norm; width /= 2 {
			for i := range middle {
				middle[i] = low[i] + (high[i]-low[i])/2
			}
			for i, below := range t.below(squares, middle) {
				if below >= len(t.d)-min(group*together+i, k-1) {
					high[i] = middle[i]
				} else {
					low[i] = middle[i]
				}
			}
		}
		for i := range low {
			values[group*together+i] = low[i] + (high[i]-low[i])/2
		}
	})
	return values[:k]
}

// below counts the eigenvalues below each of x: those of T - x·I that are
// negative, which are as many as the negative pivots.
//
// Source: Barth, Martin and Wilkinson, "Calculation of the eigenvalues of a
// symmetric tridiagonal matrix by the method of bisection", 1967.
func (t tridiagonal) below(squares []float64, x [together]float64) (count [together]int) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	q0, q1, q2, q3 := t.d[0]-x0, t.d[0]-x1, t.d[0]-x2, t.d[0]-x3
	n0, n1, n2, n3 := negative(q0), negative(q1), negative(q2), negative(q3)
	rest := t.d[1:]
	for i, s := range squares[:len(rest)] {
		d := rest[i]
		q0, q1, q2, q3 = d-x0-s/q0, d-x1-s/q1, d-x2-s/q2, d-x3-s/q3
		n0, n1, n2, n3 = n0+negative(q0), n1+negative(q1), n2+negative(q2), n3+negative(q3)
	}
	return [together]int{int(n0), int(n1), int(n2), int(n3)}
}

// negative is 1 for what is below 0, without a branch that no one foresees.
func negative(v float64) uint64 { return math.Float64bits(v) >> 63 }
