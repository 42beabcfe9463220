// SPDX-License-Identifier: Apache-2.0

package vec

// Gram adds AᵀA to c, both halves: A is m×k, c k×k. Sums of many rows are held
// in float64.
func Gram(c []float64, a []float32, m, k int) {
	for i := range m {
		row := a[i*k : (i+1)*k]
		for p, v := range row {
			for q, w := range row {
				c[p*k+q] += float64(v) * float64(w)
			}
		}
	}
}
