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

//go:generate go run ../../../tool/vecgen -out kernels_amd64.s -stubs kernels_gen.go

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
