// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
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
			floats.AddScaled(v, -floats.Dot(b, v), b)
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
// largest first, and their vectors.
func topEigen(t *table, a []float64, n, k int) (values []float64, vectors [][]float64, err error) {
	if err := t.ctx.Err(); err != nil {
		return nil, nil, err
	}
	for _, v := range a {
		if math.IsNaN(v) || math.IsInf(v, 0) { // vanishing finds it
			return []float64{math.Inf(1)}, nil, nil
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(n, a), true) {
		return nil, nil, fmt.Errorf("the eigenvalues of a %d×%d matrix are not found", n, n)
	}
	all := eigen.Values(nil)
	var v mat.Dense
	eigen.VectorsTo(&v)
	for j := range k {
		values = append(values, all[n-1-j])
		vectors = append(vectors, mat.Col(nil, n-1-j, &v))
	}
	return values, vectors, nil
}
