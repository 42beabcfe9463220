// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/sagebrush-ml/sagebrush/internal/algo/eigen"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// basis is principal components: orthonormal vectors and their singular values,
// the largest first.
type basis struct {
	s []float64
	v [][]float64
}

// vanishing tells whether the numbers that b was made from may have been too
// large or too small for float32.
func (b *basis) vanishing() bool { return !(b.s[0] > 1e-15 && b.s[0] < 1e15) }

// newBasis makes a basis of k vectors of d numbers of what are nearly such: to
// eigenvalues, the largest first. Where there are too few of them, and where one
// is 0, others that are orthogonal to all take their places, with the singular
// value 0.
//
// A vector's sign, which is anyone's choice, is such that the component of the
// largest magnitude is positive, the first of several.
func newBasis(values []float64, vectors [][]float64, d, k int) *basis {
	b := &basis{}
	if len(vectors) < len(values) {
		return &basis{s: values}
	}
	for j, v := range vectors[:min(k, len(vectors))] {
		if orthonormalize(b.v, v) {
			b.v, b.s = append(b.v, v), append(b.s, sigma(values[j]))
		}
	}
	for axis := 0; len(b.v) < k; axis++ {
		v := make([]float64, d)
		v[axis] = 1
		if orthonormalize(b.v, v) {
			b.v, b.s = append(b.v, v), append(b.s, 0)
		}
	}
	for _, v := range b.v {
		most := 0
		for i, x := range v {
			if math.Abs(x) > math.Abs(v[most]) {
				most = i
			}
		}
		if v[most] < 0 {
			floats.Scale(-1, v)
		}
	}
	return b
}

// orthonormalize takes off v what the orthonormal vectors of basis tell of it,
// and makes its length 1. It reports false where next to nothing is left.
// Source: twice is enough, Giraud, Langou and Rozložník, 2005.
func orthonormalize(basis [][]float64, v []float64) bool {
	whole := floats.Norm(v, 2)
	if whole == 0 {
		return false
	}
	for range 2 {
		for _, b := range basis {
			vec.AxpyDouble(-vec.DotDouble(b, v), b, v)
		}
	}
	left := floats.Norm(v, 2)
	if left < 1e-6*whole {
		return false
	}
	floats.Scale(1/left, v)
	return true
}

// topEigen gives the k largest eigenvalues of the symmetric n×n matrix a, the
// largest first, and their vectors; of a matrix that is not finite the value
// infinity and no vector, which vanishing finds. a is written over.
func topEigen(t *table, a []float64, n, k int) (values []float64, vectors [][]float64, err error) {
	values, vectors, err = eigen.Top(t.ctx, t.threads, a, n, k)
	if errors.Is(err, eigen.ErrNotFinite) {
		return []float64{math.Inf(1)}, nil, nil
	}
	return values, vectors, err
}
