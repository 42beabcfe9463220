// SPDX-License-Identifier: Apache-2.0

package eigen

import (
	"context"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Rows of a matrix are dealt out in parts, whose sums are added up in order: their
// number is no matter of threads.
const (
	parts     = 8
	partRows  = 8   // in a row, an even number
	partsFrom = 256 // rows; fewer are one part, and one goroutine's
)

// reduction is a matrix on its way to be tridiagonal: A - vwᵀ - wvᵀ, of which the
// last two products are not taken off yet.
type reduction struct {
	a    []float64
	n    int // of a row
	rows int // that are left
	v, w []float64
	x    []float64        // what A is multiplied by
	sums [parts][]float64 // of A·x
}

// reduce makes a tridiagonal by reflections I - tau[i]·vvᵀ, where v is left in the
// first i numbers of row i of a; only the lower half of a is looked at, and
// written over. A step reads and writes each row that is left once: it takes off
// what the last reflection tells and makes the products for the next.
func (t tridiagonal) reduce(ctx context.Context, threads int, a []float64, n int) (tau []float64, err error) {
	tau = make([]float64, n)
	zero := make([]float64, n)
	r := &reduction{a: a, n: n, v: zero, w: make([]float64, n)}
	for part := range r.sums {
		r.sums[part] = make([]float64, n)
	}
	if n <= partsFrom {
		threads = 1
	}
	crew := vec.NewCrew(min(threads, parts))
	defer crew.Close()
	for i := n - 1; i > 0; i-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := a[i*n : i*n+i+1]
		x, w := row[:i], r.w[:i]
		if i < n-1 {
			vec.AxpyDouble(-r.v[i], r.w[:i+1], row)
			vec.AxpyDouble(-r.w[i], r.v[:i+1], row)
		}
		t.d[i] = row[i]
		if t.e[i-1], tau[i] = reflect(x); tau[i] == 0 {
			x = zero[:i]
		}
		r.rows, r.x = i, x
		if i < partsFrom {
			r.take(0, 1)
		} else {
			crew.Do(parts, func(part int) { r.take(part, parts) })
		}
		// w = tau·A·x, and from it w - tau/2·(w·x)·x.
		clear(w)
		for part := range parts {
			if part == 0 || i >= partsFrom {
				vec.AxpyDouble(tau[i], r.sums[part], w)
			}
		}
		vec.AxpyDouble(-tau[i]/2*vec.DotDouble(w, x), x, w)
		r.v = x
	}
	t.d[0] = a[0]
	return tau, nil
}

// take does part of a step, of so many parts.
func (r *reduction) take(part, of int) {
	n, v, w, x := r.n, r.v, r.w, r.x
	y := r.sums[part][:r.rows]
	clear(y)
	for first := part * partRows; first < r.rows; first += of * partRows {
		end := min(first+partRows, r.rows)
		for i := first; i+1 < end; i += 2 {
			a, b := r.a[i*n:i*n+i+1], r.a[(i+1)*n:(i+1)*n+i+2]
			by := [...]float64{-v[i], -w[i], -v[i+1], -w[i+1], x[i], x[i+1]}
			ax, bx := vec.UpdateTwo(a[:i], b, y, w, v, x, &by)
			a[i] += by[0]*w[i] + by[1]*v[i]
			b[i] += by[2]*w[i] + by[3]*v[i]
			b[i+1] += by[2]*w[i+1] + by[3]*v[i+1]
			y[i] += ax + a[i]*x[i] + b[i]*x[i+1]
			y[i+1] += bx + b[i]*x[i] + b[i+1]*x[i+1]
		}
		if i := end - 1; (end-first)%2 == 1 {
			a := r.a[i*n : i*n+i+1]
			vec.AxpyDouble(-v[i], w[:i+1], a)
			vec.AxpyDouble(-w[i], v[:i+1], a)
			vec.AxpyDouble(x[i], a[:i], y)
			y[i] += vec.DotDouble(a, x)
		}
	}
}

// reflect makes x the vector v of the reflection that leaves of x nothing but its
// last number, which becomes last.
func reflect(x []float64) (last, tau float64) {
	end := len(x) - 1
	most := 0.0
	for _, v := range x[:end] {
		most = max(most, math.Abs(v))
	}
	if most == 0 {
		return x[end], 0
	}
	most = max(most, math.Abs(x[end]))
	norm := 0.0
	for _, v := range x { // squares of small numbers would be 0
		norm += v / most * (v / most)
	}
	last = -math.Copysign(most*math.Sqrt(norm), x[end])
	tau = (last - x[end]) / last
	scale := x[end] - last
	for i := range end {
		x[i] /= scale
	}
	x[end] = 1
	return last, tau
}
