// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"cmp"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Found is a vector and how near it is.
type Found struct {
	At       int32
	Distance float32 // squared Euclidean distance, or inner product
}

// candidates are the vectors that may be among the k nearest ones of a query.
type candidates struct {
	all   []Found // with estimates for distances, less being nearer
	limit float32 // what is above it cannot be
	room  int     // how many may gather before limit is lowered
}

func (c *candidates) reset(k int) {
	c.all, c.limit, c.room = c.all[:0], inf, 2*k+32
}

// add takes in a vector whose estimate is not above the limit.
func (c *candidates) add(at int32, estimate float32, k int, doubt float32) {
	c.all = append(c.all, Found{at, estimate})
	if len(c.all) >= c.room {
		c.prune(k, doubt)
		c.room = max(c.room, 2*len(c.all))
	}
}

// prune lowers the limit to what the k nearest so far and doubt leave open.
func (c *candidates) prune(k int, doubt float32) {
	if len(c.all) <= k {
		return
	}
	c.limit = selectDistance(c.all, k-1) + doubt
	kept := c.all[:0]
	for _, f := range c.all {
		if !(f.Distance > c.limit) {
			kept = append(kept, f)
		}
	}
	c.all = kept
}

// selectDistance reorders f and gives the distance at place k of the sorted ones.
func selectDistance(f []Found, k int) float32 {
	lo, hi := 0, len(f)-1
	for lo < hi {
		pivot := f[lo+(hi-lo)/2].Distance
		i, j := lo, hi
		for i <= j {
			for f[i].Distance < pivot {
				i++
			}
			for f[j].Distance > pivot {
				j--
			}
			if i <= j {
				f[i], f[j] = f[j], f[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return f[k].Distance
		}
	}
	return f[lo].Distance
}

// Top writes the k nearest vectors of each of m queries, rows of x, to found,
// k for each, the nearest first; of several that are equally near the first one
// comes first. k is at most Len.
func (s *Set) Top(w *Work, x []float32, m, k int, found []Found) {
	for from := 0; from < m; from += queryBlock {
		to := min(from+queryBlock, m)
		s.top(w, x[from*s.d:to*s.d], to-from, k, found[from*k:to*k])
	}
}

func (s *Set) top(w *Work, x []float32, m, k int, found []Found) {
	estimated := s.prepare(w, x, m)
	w.gather(m, k)
	for from := 0; from < s.n; from += vectorBlock {
		to := min(from+vectorBlock, s.n)
		vec.MulT(w.products, estimated, s.c[from*s.d:to*s.d], m, to-from, s.d)
		for i := range m {
			s.take(w, i, w.products[i*(to-from):(i+1)*(to-from)], from, k)
		}
	}
	s.decide(w, x, m, k, found)
}

// gather makes room for the candidates of m queries.
func (w *Work) gather(m, k int) {
	for len(w.near) < m {
		w.near = append(w.near, candidates{})
	}
	for i := range m {
		w.near[i].reset(k)
	}
}

// take adds to the candidates of query i those of the vectors from from on, whose
// products are p.
func (s *Set) take(w *Work, i int, p []float32, from, k int) {
	c, norm := &w.near[i], s.norm[from:from+len(p)]
	for j := vec.Below(p, norm, c.limit, 0); j < len(p); j = vec.Below(p, norm, c.limit, j+1) {
		c.add(int32(from+j), norm[j]-2*p[j], k, w.doubt[i])
	}
}

// decide writes the k nearest of the candidates of each query to found.
func (s *Set) decide(w *Work, x []float32, m, k int, found []Found) {
	for i := range m {
		c := &w.near[i]
		c.prune(k, w.doubt[i])
		row := x[i*s.d : (i+1)*s.d]
		for j := range c.all {
			c.all[j].Distance = s.Distance(row, int(c.all[j].At))
		}
		s.metric.Sort(c.all)
		copy(found[i*k:(i+1)*k], c.all)
	}
}

// TopAmong is Top among a part of the vectors: those of query i are the stretches
// with the numbers in lists[i*each:(i+1)*each], negative ones being none, and
// stretch l is the vectors from start[l] to start[l+1]. There are at least k of
// them.
func (s *Set) TopAmong(w *Work, x []float32, m, k int, lists []int32, each int, start []int, found []Found) {
	estimated := s.prepare(w, x, m)
	w.gather(m, k)
	// Queries that look at the same stretch are multiplied with it together.
	w.order = w.order[:0]
	for at, l := range lists {
		if l >= 0 {
			w.order = append(w.order, visit{l, int32(at / each)})
		}
	}
	slices.SortFunc(w.order, func(a, b visit) int {
		return cmp.Or(cmp.Compare(a.list, b.list), cmp.Compare(a.query, b.query))
	})
	for at := 0; at < len(w.order); {
		list, to := w.order[at].list, at
		for to < len(w.order) && w.order[to].list == list && to-at < queryBlock {
			to++
		}
		s.visit(w, estimated, w.order[at:to], start[list], start[list+1], k)
		at = to
	}
	s.decide(w, x, m, k, found)
}

// visit is a query that looks at a stretch.
type visit struct{ list, query int32 }

// few is up to how many queries of a stretch are compared with it one by one.
const few = 4

// visit compares the queries of visits with vectors from to to.
func (s *Set) visit(w *Work, estimated []float32, visits []visit, from, to, k int) {
	d := s.d
	if len(visits) > few {
		w.gathered = w.gathered[:0]
		for _, v := range visits {
			w.gathered = append(w.gathered, estimated[int(v.query)*d:(int(v.query)+1)*d]...)
		}
	}
	for ; from < to; from += vectorBlock {
		n := min(vectorBlock, to-from)
		w.products = slices.Grow(w.products[:0], len(visits)*n)[:len(visits)*n]
		if len(visits) > few {
			vec.MulT(w.products, w.gathered, s.c[from*d:(from+n)*d], len(visits), n, d)
		}
		for i, v := range visits {
			p := w.products[i*n : (i+1)*n]
			if len(visits) <= few {
				x := estimated[int(v.query)*d : (int(v.query)+1)*d]
				for j := range p {
					p[j] = vec.Dot(x, s.c[(from+j)*d:(from+j+1)*d])
				}
			}
			s.take(w, int(v.query), p, from, k)
		}
	}
}

// Sort puts found in order, the nearest first.
func (m Metric) Sort(found []Found) {
	slices.SortFunc(found, func(a, b Found) int {
		if m == InnerProduct {
			a, b = Found{a.At, -a.Distance}, Found{b.At, -b.Distance}
		}
		if a.Distance != b.Distance {
			return cmp.Compare(a.Distance, b.Distance)
		}
		return cmp.Compare(a.At, b.At)
	})
}

// Best gathers the K with the smallest distances of what it is told of.
type Best struct {
	K   int
	all candidates
}

// Reset forgets all.
func (b *Best) Reset(k int) { b.K = k; b.all.reset(k) }

// Limit is a distance above which Add need not be called.
func (b *Best) Limit() float32 { return b.all.limit }

// Add tells of one.
func (b *Best) Add(at int32, distance float32) { b.all.add(at, distance, b.K, 0) }

// Sorted gives the smallest ones in order, of equal ones the first first.
func (b *Best) Sorted() []Found {
	b.all.prune(b.K, 0)
	L2.Sort(b.all.all)
	return b.all.all[:min(b.K, len(b.all.all))]
}
