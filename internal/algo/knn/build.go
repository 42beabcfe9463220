// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"math"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/kmeans"
	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// seed is that of all random choices: the hyperparameters have none.
const seed = 1

// How many vectors, at most, a centre is found by, and how many rounds that
// takes: as in faiss, which does 10 rounds for lists and 25 for books.
const (
	perCentre  = 256
	listRounds = 10
	bookRounds = 25
)

// build makes the index of n vectors v of d numbers each, which it keeps.
func build(c config, v []float32, n, d, threads int) index {
	metric := nearest.L2
	if c.metric != l2 {
		metric = nearest.InnerProduct
	}
	if c.index == flat {
		return newFlat(metric, v, n, d)
	}
	lists := c.lists
	if lists == 0 {
		lists = int(math.Round(math.Sqrt(float64(min(n, c.sample)))))
	}
	lists = min(lists, n)
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	how := kmeans.Lloyd{K: lists, Random: true, Rounds: listRounds, Spherical: metric == nearest.InnerProduct, Threads: threads}
	points := some(v, n, d, perCentre*lists, rng)
	centres, _ := how.Fit(kmeans.Points{V: points, N: len(points) / d, D: d}, rng)
	inv := inverted{near: metric, n: n, d: d, probe: c.probes, coarse: newFlat(metric, centres, lists, d)}
	list := inv.assign(v, threads)
	if c.index == ivfFlat {
		f := &ivfIndex{inverted: inv, v: make([]float32, n*d)}
		for at, id := range f.ids {
			copy(f.v[at*d:(at+1)*d], v[int(id)*d:(int(id)+1)*d])
		}
		f.set = nearest.NewSet(metric, f.v, n, d)
		return f
	}
	f := &pqIndex{inverted: inv, parts: c.parts, residual: true}
	for i := range n { // what is left of each vector, in its place
		vec.Axpy(-1, centres[int(list[i])*d:(int(list[i])+1)*d], v[i*d:(i+1)*d])
	}
	f.learn(v, threads, rng)
	f.encode(v, threads)
	f.prepare()
	return f
}

// some is at most as many of the n vectors v, at random, in new memory where not
// all are wanted.
func some(v []float32, n, d, most int, rng *rand.Rand) []float32 {
	if n <= most {
		return v
	}
	out := make([]float32, 0, most*d)
	for _, i := range across.Sample(most, n, rng) {
		out = append(out, v[i*d:(i+1)*d]...)
	}
	return out
}

// assign puts each vector into the list of its nearest centre, and gives the list
// of each.
func (v *inverted) assign(vectors []float32, threads int) []int32 {
	list, distance := make([]int32, v.n), make([]float32, v.n)
	works := make([]nearest.Work, max(1, threads))
	vec.Stretches(threads, v.n, searchBlock, func(worker, from, to int) {
		v.coarse.set.Nearest(&works[worker], vectors[from*v.d:to*v.d], to-from, list[from:to], distance[from:to])
	})
	v.start = make([]int, v.coarse.n+1)
	for _, l := range list {
		v.start[l+1]++
	}
	for l := range v.coarse.n {
		v.start[l+1] += v.start[l]
	}
	next := make([]int, v.coarse.n)
	copy(next, v.start)
	v.ids = make([]int32, v.n)
	for i, l := range list {
		v.ids[next[l]] = int32(i)
		next[l]++
	}
	return list
}

// learn finds the books by k-means of each part of what is left of the vectors.
func (f *pqIndex) learn(left []float32, threads int, rng *rand.Rand) {
	sub := f.sub()
	points := some(left, f.n, f.d, perCentre*codes, rng)
	n := len(points) / f.d
	f.book = make([]float32, f.parts*codes*sub)
	seeds := make([]uint64, f.parts)
	for p := range seeds {
		seeds[p] = rng.Uint64()
	}
	vec.Parallel(threads, f.parts, func(_, p int) {
		part := make([]float32, n*sub)
		for i := range n {
			copy(part[i*sub:(i+1)*sub], points[i*f.d+p*sub:])
		}
		how := kmeans.Lloyd{K: codes, Random: true, Rounds: bookRounds, Threads: 1}
		book, _ := how.Fit(kmeans.Points{V: part, N: n, D: sub}, rand.New(rand.NewPCG(seeds[p], uint64(p))))
		copy(f.book[p*codes*sub:], book)
	})
}

// encode writes the codes of what is left of the vectors in the order of lists.
func (f *pqIndex) encode(left []float32, threads int) {
	sub := f.sub()
	f.codes = make([]byte, f.n*f.parts)
	vec.Parallel(threads, f.parts, func(_, p int) {
		book := nearest.NewSet(nearest.L2, f.book[p*codes*sub:(p+1)*codes*sub], codes, sub)
		var w nearest.Work
		x := make([]float32, searchBlock*sub)
		at, distance := make([]int32, searchBlock), make([]float32, searchBlock)
		for from := 0; from < f.n; from += searchBlock {
			m := min(searchBlock, f.n-from)
			for i := range m {
				copy(x[i*sub:(i+1)*sub], left[int(f.ids[from+i])*f.d+p*sub:])
			}
			book.Nearest(&w, x, m, at, distance)
			for i := range m {
				f.codes[(from+i)*f.parts+p] = byte(at[i])
			}
		}
	})
}
