// SPDX-License-Identifier: Apache-2.0

// Package eigen finds the largest eigenvalues of symmetric matrices and their
// vectors. gonum finds all vectors by rotations of columns, which takes seconds
// for a thousand of them; here are only those that are asked for.
package eigen

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/mat"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// ErrNotFinite is that of a matrix that holds NaN or infinity.
var ErrNotFinite = errors.New("the matrix is not finite")

// small is up to which size gonum's own way is as quick.
const small = 64

// Top gives the k largest eigenvalues of the symmetric n×n matrix a, the largest
// first, and orthonormal vectors to them, 1 ≤ k ≤ n. a is written over.
//
// The matrix is made tridiagonal by Householder's reflections; the values of that
// are found by bisection where they are few, the vectors by inverse iteration,
// those to eigenvalues that are close made orthogonal to each other, and reflected
// back. Cost: O(n³) time, 4/3 n³ operations on up to threads goroutines, whose
// number does not change the result, and O(nk) memory. Errors: ErrNotFinite, and
// that of ctx.
//
// Source: Wilkinson, "The Algebraic Eigenvalue Problem", 1965, chapter 5;
// LAPACK's dstebz and dstein.
func Top(ctx context.Context, threads int, a []float64, n, k int) (values []float64, vectors [][]float64, err error) {
	rowMost := make([]float64, n)
	vec.Stretches(threads, n, someRows, func(_, from, to int) {
		for i := from; i < to; i++ {
			rowMost[i] = magnitude(a[i*n : (i+1)*n])
		}
	})
	most := magnitude(rowMost)
	if math.IsInf(most, 0) {
		return nil, nil, ErrNotFinite
	}
	// Near 1 nothing overflows, here or in gonum, whose own scaling panics.
	_, exp := math.Frexp(most)
	vec.Stretches(threads, n, someRows, func(_, from, to int) {
		shift(a[from*n:to*n], -exp)
	})
	if values, vectors, err = top(ctx, threads, a, n, k); err != nil {
		return nil, nil, err
	}
	for j, v := range values {
		values[j] = math.Ldexp(v, exp)
	}
	return values, vectors, nil
}

// someRows are looked through by one goroutine at a time.
const someRows = 64

// magnitude is the largest magnitude of x, infinity where one is NaN.
func magnitude(x []float64) float64 {
	const inf = 0x7ff << 52
	most := uint64(0)
	for _, v := range x {
		most = max(most, math.Float64bits(v)&^(1<<63)) // which are in the order of the magnitudes
	}
	return math.Float64frombits(min(most, inf))
}

// shift multiplies x by 2^exp.
func shift(x []float64, exp int) {
	by := math.Ldexp(1, exp)
	if exact := math.Abs(float64(exp)) < 1000; !exact {
		for i, v := range x {
			x[i] = math.Ldexp(v, exp)
		}
		return
	}
	for i, v := range x {
		x[i] = v * by
	}
}

// top is Top for numbers up to 1.
func top(ctx context.Context, threads int, a []float64, n, k int) (values []float64, vectors [][]float64, err error) {
	if n <= small {
		return all(a, n, k)
	}
	diagonal := make([]float64, n) // which, with the upper half, is what all starts from
	for i := range diagonal {
		diagonal[i] = a[i*n+i]
	}
	again := func() ([]float64, [][]float64, error) {
		for i, v := range diagonal {
			a[i*n+i] = v
		}
		return all(a, n, k)
	}
	t := tridiagonal{d: make([]float64, n), e: make([]float64, n-1)}
	tau, err := t.reduce(ctx, threads, a, n)
	if err != nil {
		return nil, nil, err
	}
	if few*k <= n {
		values = t.largest(threads, k)
	} else {
		sorted, rest := slices.Clone(t.d), slices.Clone(t.e)
		if !(gonum.Implementation{}).Dsterf(n, sorted, rest) {
			return again()
		}
		for j := range k {
			values = append(values, sorted[n-1-j])
		}
	}
	if vectors = t.vectors(values); vectors == nil {
		return again()
	}
	vec.Stretches(threads, k, someVectors, func(_, from, to int) {
		for i := 1; i < n; i++ {
			v := a[i*n : i*n+i]
			for _, x := range vectors[from:to] {
				if tau[i] != 0 {
					vec.AxpyDouble(-tau[i]*vec.DotDouble(v, x), v, x)
				}
			}
		}
	})
	return values, vectors, ctx.Err()
}

// few is what part of the values are found one by one faster than all at once.
const few = 6

// someVectors are reflected back at a time, by one goroutine: as many as the
// second cache holds.
const someVectors = 8

// all is Top by gonum.
func all(a []float64, n, k int) (values []float64, vectors [][]float64, err error) {
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(n, a), true) {
		return nil, nil, errors.New("the eigenvalues do not converge")
	}
	sorted := e.Values(nil)
	var v mat.Dense
	e.VectorsTo(&v)
	for j := range k {
		values = append(values, sorted[n-1-j])
		vectors = append(vectors, mat.Col(nil, n-1-j, &v))
	}
	return values, vectors, nil
}

// tridiagonal is a symmetric matrix with d on the diagonal and e beside it.
type tridiagonal struct{ d, e []float64 }

// norm is the largest sum of magnitudes of a row.
func (t tridiagonal) norm() float64 {
	most := 0.0
	for i, d := range t.d {
		sum := math.Abs(d)
		if i > 0 {
			sum += math.Abs(t.e[i-1])
		}
		if i < len(t.e) {
			sum += math.Abs(t.e[i])
		}
		most = max(most, sum)
	}
	return most
}

// Inverse iteration.
const (
	steps = 8     // that one vector takes at most
	exact = 1e-12 // what a vector may be off by, of the matrix's norm
	close = 1e-3  // up to which distance, of the norm, eigenvalues are close, as in dstein
	apart = 1e-15 // what equal ones are moved apart by, of the norm
)

// vectors gives orthonormal vectors to eigenvalues, the largest first, or nil
// where they are not found.
func (t tridiagonal) vectors(values []float64) [][]float64 {
	n, norm := len(t.d), t.norm()
	if norm == 0 {
		norm = 1
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	lu := newFactors(n)
	var found [][]float64
	first := 0 // of those that are close
	shift := math.Inf(1)
	for j, value := range values {
		if j > 0 && values[j-1]-value > close*norm {
			first = j
		}
		shift = min(value, shift-apart*norm)
		lu.factor(t, shift, norm)
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.Float64() - 0.5
		}
		ok := false
		for range steps {
			lu.solve(x)
			if !orthonormalize(found[first:j], x) {
				for i := range x {
					x[i] = rng.Float64() - 0.5
				}
				continue
			}
			if ok = t.off(x, value) <= exact*norm; ok {
				break
			}
		}
		if !ok {
			return nil
		}
		found = append(found, x)
	}
	return found
}

// orthonormalize takes off x what others tell of it and makes its length 1. It
// is false where x is no more than rounding.
func orthonormalize(others [][]float64, x []float64) bool {
	most := math.Abs(slices.MaxFunc(x, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) }))
	if most == 0 || math.IsInf(most, 0) || math.IsNaN(most) {
		return false
	}
	for i := range x {
		x[i] /= most
	}
	whole := math.Sqrt(vec.DotDouble(x, x))
	for range 2 {
		for _, o := range others {
			vec.AxpyDouble(-vec.DotDouble(o, x), o, x)
		}
	}
	left := math.Sqrt(vec.DotDouble(x, x))
	if left < 1e-10*whole {
		return false
	}
	for i := range x {
		x[i] /= left
	}
	return true
}

// off is the length of Tx - value·x.
func (t tridiagonal) off(x []float64, value float64) float64 {
	sum := 0.0
	for i, d := range t.d {
		r := (d - value) * x[i]
		if i > 0 {
			r += t.e[i-1] * x[i-1]
		}
		if i < len(t.e) {
			r += t.e[i] * x[i+1]
		}
		sum += r * r
	}
	return math.Sqrt(sum)
}

// factors is PLU of a tridiagonal matrix: U has two numbers beside the diagonal.
type factors struct {
	diagonal, next, second []float64
	low                    []float64 // multipliers
	swapped                []bool
}

func newFactors(n int) *factors {
	return &factors{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]bool, n)}
}

// factor takes apart t - shift·I.
func (f *factors) factor(t tridiagonal, shift, norm float64) {
	n := len(t.d)
	least := norm * 0x1p-52
	d, e := t.d[0]-shift, 0.0 // what row i has at i and i+1
	if n > 1 {
		e = t.e[0]
	}
	for i := range n - 1 {
		below, belowD, belowE := t.e[i], t.d[i+1]-shift, 0.0
		if i+1 < n-1 {
			belowE = t.e[i+1]
		}
		f.swapped[i] = math.Abs(below) > math.Abs(d)
		if f.swapped[i] {
			f.low[i] = d / below
			f.diagonal[i], f.next[i], f.second[i] = below, belowD, belowE
			d, e = e-f.low[i]*belowD, -f.low[i]*belowE
			continue
		}
		if math.Abs(d) < least {
			d = math.Copysign(least, d)
		}
		f.low[i] = below / d
		f.diagonal[i], f.next[i], f.second[i] = d, e, 0
		d, e = belowD-f.low[i]*e, belowE
	}
	if math.Abs(d) < least {
		d = math.Copysign(least, d)
	}
	f.diagonal[n-1], f.next[n-1], f.second[n-1] = d, 0, 0
}

// solve replaces x by the solution to the right side x.
func (f *factors) solve(x []float64) {
	n := len(x)
	for i := range n - 1 {
		if f.swapped[i] {
			x[i], x[i+1] = x[i+1], x[i]
		}
		x[i+1] -= f.low[i] * x[i]
	}
	for i := n - 1; i >= 0; i-- {
		v := x[i]
		if i+1 < n {
			v -= f.next[i] * x[i+1]
		}
		if i+2 < n {
			v -= f.second[i] * x[i+2]
		}
		x[i] = v / f.diagonal[i]
	}
}
