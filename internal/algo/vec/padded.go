// SPDX-License-Identifier: Apache-2.0

package vec

// PadRows is m rounded up to whole tiles of rows.
func PadRows(m int) int {
	rows, _ := shape()
	return (m + rows - 1) / rows * rows
}

// MulPadded writes A·B into C, A being m×k, B k×n, C m×n, with the bits of Gemm, on
// one goroutine. Small matrices are not copied first, for which there must be
// memory for PadRows(m) rows of A and of C. What A has there does not matter, and
// what C has is lost.
func MulPadded(c, a, b View, m, n, k int) {
	const small = 1 << 14 // of B, which the first two caches hold
	if n%Lanes != 0 || n*k > small || m < 4 || k <= 0 || c.Col != 1 || b.Col != 1 {
		Gemm(1, c, a, b, m, n, k, false)
		return
	}
	rows, cols := shape()
	last := PadRows(m) - 1 // beyond which nothing is touched, as these tell
	_, _, _ = a.V[last*a.Row+(k-1)*a.Col], b.V[(k-1)*b.Row+n-1], c.V[last*c.Row+n-1]
	parts := (k + maxDeep - 1) / maxDeep
	for j, wide := 0, cols; j < n; j += wide {
		if n-j < wide {
			wide = Lanes
		}
		for part := range parts {
			from := part * k / parts
			for i := 0; i < m; i += rows {
				tile(wide, (part+1)*k/parts-from, a.from(i, from), a.Row, a.Col, b.from(from, j), b.Row, c.from(i, j), c.Row, part > 0)
			}
		}
	}
}
