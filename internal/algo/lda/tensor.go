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
// side by side, of which the best is taken and kept out of what follows. Then all of
// them settle together.
//
// Source: Anandkumar and others, JMLR 2014, algorithm 1; Sharan and Valiant,
// "Orthogonalized ALS", ICML 2017.
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
		found = append(found, part{most, starts[best]})
	}
	return found, settle(ctx, t, narrow, k, found, s)
}

// settle goes on with all parts at once, each kept out of those before it, until
// the sum of the squares of their weights, which is what they explain of t, changes
// by no more than tol of it.
func settle(ctx context.Context, t []float64, narrow []float32, k int, found []part, s search) error {
	vs := make([][]float64, k)
	for j, p := range found {
		vs[j] = p.v
	}
	tol, was := s.tol, math.Inf(1)
	if k > wideFrom {
		tol = max(tol, 1e-6)
	}
	for range s.iterations {
		if err := ctx.Err(); err != nil {
			return err
		}
		var next [][]float64
		if k > wideFrom {
			next = apply(narrow, k, vs, s.threads)
		} else {
			next = power(t, k, vs, s.threads)
		}
		fit := 0.0
		for j, v := range next {
			found[j].lambda = vec.DotDouble(v, vs[j])
			fit += found[j].lambda * found[j].lambda
		}
		if math.Abs(fit-was) <= tol*fit {
			break
		}
		was = fit
		for j, v := range next {
			if keepOut(found[:j], v) {
				vs[j], found[j].v = v, v
			} else { // nothing of it is left: it stays, as far as the others let it
				keepOut(found[:j], vs[j])
			}
		}
	}
	for j, v := range power(t, k, vs, s.threads) {
		found[j].lambda = vec.DotDouble(v, vs[j])
	}
	return nil
}

// wideFrom is from how many parts on they settle in float32, whose product for
// all of them is much the quicker.
const wideFrom = 64

// tries is how long the starts run before the best of them is taken.
const tries = 10

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

// apply gives T(1,v,v) for each of vs: first T(1,1,v) for all of them, which reads
// the tensor once.
func apply(t []float32, k int, vs [][]float64, threads int) [][]float64 {
	n := len(vs)
	vectors, once := make([]float32, n*k), make([]float32, k*k*n)
	for r, v := range vs {
		for i, x := range v {
			vectors[r*k+i] = float32(x)
		}
	}
	vec.Gemm(threads, vec.Rows(once, n), vec.Rows(t, k), vec.Rows(vectors, k).T(), k*k, n, k, false)
	next := make([][]float64, n)
	for r := range next {
		next[r] = make([]float64, k)
	}
	vec.Parallel(threads, k, func(_, a int) {
		for b := range k {
			for r, x := range once[(a*k+b)*n : (a*k+b+1)*n] {
				next[r][a] += float64(x) * vs[r][b]
			}
		}
	})
	return next
}

// power is apply in float64.
func power(t []float64, k int, vs [][]float64, threads int) [][]float64 {
	next := make([][]float64, len(vs))
	vec.Parallel(threads, len(vs), func(_, r int) {
		next[r] = make([]float64, k)
		for a := range k {
			for b, x := range vs[r] {
				next[r][a] += x * vec.DotDouble(t[(a*k+b)*k:(a*k+b+1)*k], vs[r])
			}
		}
	})
	return next
}
