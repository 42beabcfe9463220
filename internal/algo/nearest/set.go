// SPDX-License-Identifier: Apache-2.0

// Package nearest finds, among many vectors, those that are nearest to others.
//
// Distances are first estimated from blocks of inner products,
// |x-v|² = |x|² - 2x·v + |v|², which is fast and loses digits when the two are
// close. What the estimate cannot decide is decided by the distance itself, so
// that the answer is the one that comparing all distances gives, whatever else
// is asked in the same call.
package nearest

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Metric is what near means.
type Metric int

// The metrics. What is near has a small squared Euclidean distance or a large
// inner product.
const (
	L2 Metric = iota
	InnerProduct
)

// Set is vectors among which near ones are looked for. A Set is not changed by
// looking, which many goroutines may do at once.
type Set struct {
	metric Metric
	n, d   int
	v      []float32 // n×d, as given
	mean   []float32 // of v, nil while v is centred well enough as it is
	c      []float32 // v less mean
	norm   []float32 // |c|², 0 for InnerProduct
	most   float64   // the greatest |c|
}

// NewSet makes a Set of the n vectors v of d numbers each, row-major, which it
// keeps and which must not change.
func NewSet(metric Metric, v []float32, n, d int) *Set {
	s := new(Set)
	s.Reset(metric, v, n, d)
	return s
}

// Reset makes s the Set that NewSet makes, with the memory that s has.
func (s *Set) Reset(metric Metric, v []float32, n, d int) {
	s.metric, s.n, s.d, s.v, s.c, s.mean = metric, n, d, v[:n*d], v[:n*d], nil
	if metric == L2 && n > 1 {
		s.centre()
	}
	s.norm = slices.Grow(s.norm[:0], n)[:n]
	most := float32(0)
	for j := range n {
		row := s.c[j*d : (j+1)*d]
		s.norm[j] = vec.Dot(row, row)
		most = max(most, s.norm[j])
	}
	s.most = math.Sqrt(float64(most))
	if metric == InnerProduct {
		clear(s.norm)
	}
}

// farOff is how many times their spread vectors may be away from the origin
// before their mean is taken off them: squared, it is how much of the precision
// of an estimate is lost.
const farOff = 4

// centre takes the mean off the vectors where they are far from the origin.
func (s *Set) centre() {
	mean, square := make([]float64, s.d), 0.0
	for j := range s.n {
		for i, v := range s.v[j*s.d : (j+1)*s.d] {
			mean[i] += float64(v)
			square += float64(v) * float64(v)
		}
	}
	off := 0.0
	for i := range mean {
		mean[i] /= float64(s.n)
		off += mean[i] * mean[i]
	}
	if spread := square/float64(s.n) - off; off <= farOff*farOff*spread {
		return
	}
	s.mean = make([]float32, s.d)
	for i, m := range mean {
		s.mean[i] = float32(m)
	}
	s.c = make([]float32, s.n*s.d)
	for at, v := range s.v {
		s.c[at] = v - s.mean[at%s.d]
	}
}

// Len is how many vectors s has.
func (s *Set) Len() int { return s.n }

// Vector is vector j of s.
func (s *Set) Vector(j int) []float32 { return s.v[j*s.d : (j+1)*s.d] }

// Distance is the squared Euclidean distance of x to vector j, or their inner
// product.
func (s *Set) Distance(x []float32, j int) float32 {
	if s.metric == L2 {
		return vec.SquaredDistance(x, s.Vector(j))
	}
	return vec.Dot(x, s.Vector(j))
}

// nearer reports whether a is nearer than b.
func (s *Set) nearer(a, b float32) bool {
	if s.metric == L2 {
		return a < b
	}
	return a > b
}

// Blocks of so many queries and so many vectors are multiplied at once: their
// products stay in a core's cache until they are looked through.
const (
	queryBlock  = 256
	vectorBlock = 512
)

// Work is the memory of one goroutine that looks for vectors.
type Work struct {
	x        []float32 // queries less the mean
	products []float32
	doubt    []float32 // by query: how far two estimates may be apart and yet be in the wrong order
	first    []float32 // by query: the least estimate
	close    []bool    // by query: whether another one may be as near
	near     []candidates
	order    []visit
	gathered []float32 // queries of one stretch
}

// prepare fills w for the queries x, m×d, and gives them as estimates take them.
// The estimate of a distance, less what the query adds to all of them, is
// s.norm-2p, where p is a product: of a negative inner product it is twice that.
func (s *Set) prepare(w *Work, x []float32, m int) []float32 {
	w.doubt = slices.Grow(w.doubt[:0], m)[:m]
	w.products = slices.Grow(w.products[:0], m*min(vectorBlock, s.n))[:m*min(vectorBlock, s.n)]
	if s.mean != nil {
		w.x = append(w.x[:0], x[:m*s.d]...)
		for i := range m {
			vec.Axpy(-1, s.mean, w.x[i*s.d:(i+1)*s.d])
		}
		x = w.x
	}
	// The error of a product of d terms, of the norm and of taking off the mean;
	// 2^-24 is the unit of rounding. Two estimates are compared, so all of it
	// counts twice.
	unit := 2 * float64(2*s.d+32) / (1 << 24)
	for i := range m {
		row := x[i*s.d : (i+1)*s.d]
		size := math.Sqrt(float64(vec.Dot(row, row)))
		if s.metric == InnerProduct {
			w.doubt[i] = float32(2 * unit * s.most * size)
		} else {
			w.doubt[i] = float32(unit * (s.most + size) * (s.most + size))
		}
	}
	return x
}

// Nearest writes the nearest vector of each of m queries, rows of x, to at and
// its Distance to distance. Of several that are equally near it is the first.
func (s *Set) Nearest(w *Work, x []float32, m int, at []int32, distance []float32) {
	for from := 0; from < m; from += queryBlock {
		to := min(from+queryBlock, m)
		s.nearest(w, x[from*s.d:to*s.d], to-from, at[from:to], distance[from:to])
	}
}

func (s *Set) nearest(w *Work, x []float32, m int, at []int32, distance []float32) {
	estimated := s.prepare(w, x, m)
	w.first, w.close = slices.Grow(w.first[:0], m)[:m], slices.Grow(w.close[:0], m)[:m]
	for i := range m {
		w.first[i], w.close[i], at[i] = inf, false, 0
	}
	for from := 0; from < s.n; from += vectorBlock {
		to := min(from+vectorBlock, s.n)
		n, norm := to-from, s.norm[from:to]
		vec.MulT(w.products, estimated, s.c[from*s.d:to*s.d], m, n, s.d)
		for i := range m {
			p, doubt := w.products[i*n:(i+1)*n], w.doubt[i]
			j, v := vec.Nearest(p, norm)
			switch before := w.first[i]; {
			case v < before:
				w.first[i], at[i] = v, int32(from+j)
				// Another one that is as near is before this block or in it.
				w.close[i] = !(before > v+doubt) || vec.Below(p, norm, v+doubt, 0) != j || vec.Below(p, norm, v+doubt, j+1) < n
			case !(v > before+doubt):
				w.close[i] = true
			}
		}
	}
	for i := range m {
		row := x[i*s.d : (i+1)*s.d]
		if !w.close[i] && w.first[i] < inf {
			distance[i] = s.Distance(row, int(at[i]))
			continue
		}
		at[i], distance[i] = s.decideNearest(w, i, row)
	}
}

// decideNearest is Nearest for query i by the distances themselves: to those that
// the estimates leave open where all estimates are still there, else to all.
func (s *Set) decideNearest(w *Work, i int, row []float32) (at int32, distance float32) {
	limit, p := inf, []float32(nil)
	if s.n <= vectorBlock {
		limit, p = w.first[i]+w.doubt[i], w.products[i*s.n:(i+1)*s.n]
	}
	next := func(j int) int {
		if p == nil {
			return j
		}
		return vec.Below(p, s.norm, limit, j)
	}
	at = -1
	for j := next(0); j < s.n; j = next(j + 1) {
		if v := s.Distance(row, j); at < 0 || s.nearer(v, distance) {
			at, distance = int32(j), v
		}
	}
	return max(at, 0), distance
}

var inf = float32(math.Inf(1))
