// SPDX-License-Identifier: Apache-2.0

// Package vec is the arithmetic of vectors and matrices that the algorithms
// spend their time in. Matrices are row-major and dense.
//
// On amd64 the kernels are assembly by tool/vecgen, with AVX-512 or with AVX2
// and FMA as the processor has them; anywhere else, and on older processors, they
// are Go. Each adds in one fixed order: its results hang neither on the number of
// threads nor on which of the two vector forms runs, so that one seed gives one
// model. Those of the Go form differ in the last bits.
package vec

//go:generate go run ../../../tool/vecgen -pkg vec -out kernels_amd64.s -stubs kernels_gen.go

// Dot is the sum of a[i]*b[i]. b is at least as long as a.
func Dot(a, b []float32) float32 { return dot(a, b[:len(a)]) }

// SquaredDistance is the sum of (a[i]-b[i])². b is at least as long as a.
func SquaredDistance(a, b []float32) float32 { return squaredDistance(a, b[:len(a)]) }

// Axpy adds alpha*x to y, which is at least as long as x.
func Axpy(alpha float32, x, y []float32) { axpy(alpha, x, y[:len(x)]) }

// Add adds x to y, which is at least as long as x.
func Add(x, y []float32) { axpy(1, x, y[:len(x)]) }

// Scale multiplies x by alpha.
func Scale(alpha float32, x []float32) { scale(alpha, x) }

// Accumulate adds x to y, which is at least as long as x.
func Accumulate(x []float32, y []float64) { accumulate(x, y[:len(x)]) }

// DotFloat64 is Dot with the sum in float64.
func DotFloat64(a, b []float32) float64 { return dot64(a, b[:len(a)]) }

// DotDouble is Dot of float64.
func DotDouble(a, b []float64) float64 { return dotDouble(a, b[:len(a)]) }

// AxpyDouble is Axpy of float64.
func AxpyDouble(alpha float64, x, y []float64) { axpyDouble(alpha, x, y[:len(x)]) }

// UpdateTwo adds by[0]*w + by[1]*v to a and by[2]*w + by[3]*v to b, then by[4]*a +
// by[5]*b to y, and gives a·x and b·x. All are at least as long as a. It is what
// Householder's reduction does with two rows of a symmetric matrix.
func UpdateTwo(a, b, y, w, v, x []float64, by *[6]float64) (ax, bx float64) {
	n := len(a)
	return updateTwo(a, b[:n], y[:n], w[:n], v[:n], x[:n], by)
}

// Exp writes e^x[i] into dst, which is at least as long as x and may be x. It is
// within 2 units of the last place.
func Exp(dst, x []float32) { exp(dst[:len(x)], x) }

// Prefetch has the processor fetch x from memory, where it can, while the program
// goes on.
func Prefetch(x []float32) { prefetch(x) }

// Nearest finds the row of B nearest to a vector a from the products s of a with
// each row, s[j] = a·b_j, and squares[j] = |b_j|²: the first index of the least
// squares[j]-2*s[j], which is |a-b_j|²-|a|². squares is at least as long as s. An
// index of what is all NaN is 0.
func Nearest(s, squares []float32) (index int, score float32) {
	return leastScore(s, squares[:len(s)])
}

// Below is the first j from from on, which is at most len(s), for which
// squares[j]-2*s[j], as Nearest has them, is not above limit; NaN is not. It is
// len(s) when there is none.
func Below(s, squares []float32, limit float32, from int) int {
	return below(s, squares[:len(s)], limit, from)
}

// SparseDot is the sum of values[i]*w[index[i]].
func SparseDot(values []float32, index []int32, w []float32) float32 {
	index = index[:len(values)]
	var s0, s1, s2, s3 float32
	for len(values) >= 4 && len(index) >= 4 {
		s0 += values[0] * w[index[0]]
		s1 += values[1] * w[index[1]]
		s2 += values[2] * w[index[2]]
		s3 += values[3] * w[index[3]]
		values, index = values[4:], index[4:]
	}
	for i, v := range values {
		s0 += v * w[index[i]]
	}
	return (s0 + s1) + (s2 + s3)
}

// SparseAxpy adds alpha*values[i] to y[index[i]].
func SparseAxpy(alpha float32, values []float32, index []int32, y []float32) {
	index = index[:len(values)]
	for i, v := range values {
		y[index[i]] += alpha * v
	}
}
