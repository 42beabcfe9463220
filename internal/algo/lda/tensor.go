// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// search says how the parts of a tensor are looked for.
type search struct {
	restarts, iterations int
	tol                  float64
	threads              int
}

// part is λ·v⊗v⊗v.
type part struct {
	lambda float64
	v      []float64
}

// decompose finds orthonormal parts that the symmetric k×k×k tensor t nearly is the
// sum of, one after the other: the power iteration v ← T(1,v,v), which is the
// alternating least squares of a single symmetric part, from several random starts
// side by side; the best of them goes on until it settles. What is found is kept
// out of what follows.
//
// Source: Anandkumar and others, JMLR 2014, algorithm 1.
func decompose(ctx context.Context, t []float64, k int, s search) ([]part, error) {
	rng := rand.New(rand.NewPCG(seed, 2))
	narrow := make([]float32, len(t))
	most := 0.0
	for _, v := range t {
		most = math.Max(most, math.Abs(v))
	}
	if most == 0 {
		most = 1
	}
	for i, v := range t {
		narrow[i] = float32(v / most)
	}
	var found []part
	for range k {
		// Short runs side by side, in float32: one product for all.
		starts := make([][]float64, s.restarts)
		for i := range starts {
			starts[i] = make([]float64, k)
			random(rng, found, starts[i])
		}
		for range min(s.iterations, tries) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			for i, v := range apply(narrow, k, starts, s.threads) {
				if !keepOut(found, v) {
					random(rng, found, v)
				}
				starts[i] = v
			}
		}
		best, most := 0, math.Inf(-1)
		for i, v := range apply(narrow, k, starts, s.threads) {
			if d := vec.DotDouble(v, starts[i]); d > most {
				best, most = i, d
			}
		}
		v := starts[best]
		lambda := 0.0
		for range s.iterations {
			next := power(t, k, v)
			lambda = vec.DotDouble(next, v)
			if !keepOut(found, next) {
				break
			}
			change := 0.0
			for i := range v {
				change += (next[i] - v[i]) * (next[i] - v[i])
			}
			v = next
			if math.Sqrt(change) < s.tol {
				break
			}
		}
		found = append(found, part{lambda, v})
	}
	return found, nil
}

// tries is how long the starts run before the best of them is taken.
const tries = 15

// random makes v a random direction that is orthogonal to what is found.
func random(rng *rand.Rand, found []part, v []float64) {
	for {
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		if keepOut(found, v) {
			return
		}
	}
}

// keepOut takes off v what is found, and makes its length 1. It is false where
// nothing is left.
func keepOut(found []part, v []float64) bool {
	whole := math.Sqrt(vec.DotDouble(v, v))
	for range 2 {
		for _, p := range found {
			vec.AxpyDouble(-vec.DotDouble(p.v, v), p.v, v)
		}
	}
	left := math.Sqrt(vec.DotDouble(v, v))
	if !(left > 1e-9*whole) {
		return false
	}
	for i := range v {
		v[i] /= left
	}
	return true
}

// apply gives T(1,v,v) for each of vs.
func apply(t []float32, k int, vs [][]float64, threads int) [][]float64 {
	n := len(vs)
	squares, out := make([]float32, n*k*k), make([]float32, n*k)
	for r, v := range vs {
		for i, x := range v {
			for j, y := range v {
				squares[(r*k+i)*k+j] = float32(x * y)
			}
		}
	}
	vec.Gemm(threads, vec.Rows(out, k), vec.Rows(squares, k*k), vec.Rows(t, k*k).T(), n, k, k*k, false)
	next := make([][]float64, n)
	for r := range next {
		next[r] = make([]float64, k)
		for i := range next[r] {
			next[r][i] = float64(out[r*k+i])
		}
	}
	return next
}

// power is T(1,v,v) in float64.
func power(t []float64, k int, v []float64) []float64 {
	next := make([]float64, k)
	for a := range k {
		for b, x := range v {
			next[a] += x * vec.DotDouble(t[(a*k+b)*k:(a*k+b+1)*k], v)
		}
	}
	return next
}
