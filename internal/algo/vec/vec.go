// SPDX-License-Identifier: Apache-2.0

// Package vec is the arithmetic of vectors and matrices that the algorithms
// spend their time in. Matrices are row-major and dense.
package vec

// Dot is the sum of a[i]*b[i]. b is at least as long as a.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s float32
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

// Axpy adds alpha*x to y, which is at least as long as x.
func Axpy(alpha float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

// SquaredDistance is the sum of (a[i]-b[i])². b is at least as long as a.
func SquaredDistance(a, b []float32) float32 {
	b = b[:len(a)]
	var s float32
	for i, v := range a {
		d := v - b[i]
		s += d * d
	}
	return s
}

// MulT writes A·Bᵀ into c: A is m×k, B n×k, c m×n.
func MulT(c, a, b []float32, m, n, k int) {
	for i := range m {
		for j := range n {
			c[i*n+j] = Dot(a[i*k:(i+1)*k], b[j*k:(j+1)*k])
		}
	}
}

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
