// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"math"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Points are weighted points that fit in memory: N of D numbers each, row-major.
type Points struct {
	V      []float32
	N, D   int
	Weight []float64 // nil is 1 for all
}

func (p Points) at(i int) []float32 { return p.V[i*p.D : (i+1)*p.D] }

func (p Points) weight(i int) float64 {
	if p.Weight == nil {
		return 1
	}
	return p.Weight[i]
}

// Lloyd says how Fit works.
type Lloyd struct {
	K         int
	Random    bool    // the first centres are drawn by weight, not by k-means++
	Rounds    int     // at most
	Tolerance float64 // share of the loss below which a gain ends it
	Spherical bool    // centres have length 1, and near is what has a large inner product with them
	Threads   int
}

// Fit gives K centres of p, K×D, such that the weighted mean of the squared
// distance of a point to its nearest centre, which is loss, is small. The same
// rng state gives the same centres with any number of threads.
//
// Source: Lloyd, "Least Squares Quantization in PCM", 1982.
func (l Lloyd) Fit(p Points, rng *rand.Rand) (centres []float32, loss float64) {
	centres = Seed(p, l.K, l.Random, rng)
	if l.Spherical {
		for c := range l.K {
			Normalize(centres[c*p.D : (c+1)*p.D])
		}
	}
	f := newFit(l, p)
	last := math.Inf(1)
	for range l.Rounds {
		loss = f.assign(centres)
		if !(last-loss > l.Tolerance*last) && !math.IsInf(last, 1) || loss == 0 {
			return centres, loss
		}
		last = loss
		f.move(centres)
	}
	return centres, f.assign(centres)
}

// fit is the memory of Fit.
type fit struct {
	Lloyd
	p        Points
	whole    float64 // weight of all
	set      nearest.Set
	at       []int32
	distance []float32
	length   []float32 // of the points, for Spherical
	work     []nearest.Work
	sum      []float64 // K×D
	count    []float64
}

// fitBlock is how many points one goroutine takes at a time.
const fitBlock = 512

func newFit(l Lloyd, p Points) *fit {
	f := &fit{
		Lloyd: l, p: p, at: make([]int32, p.N), distance: make([]float32, p.N), work: make([]nearest.Work, max(1, l.Threads)),
		sum: make([]float64, l.K*p.D), count: make([]float64, l.K),
	}
	for i := range p.N {
		f.whole += p.weight(i)
	}
	if l.Spherical {
		f.length = make([]float32, p.N)
		for i := range f.length {
			f.length[i] = float32(math.Sqrt(float64(vec.Dot(p.at(i), p.at(i)))))
		}
	}
	return f
}

// assign finds the nearest centre of each point and gives the loss.
func (f *fit) assign(centres []float32) float64 {
	metric := nearest.L2
	if f.Spherical {
		metric = nearest.InnerProduct
	}
	f.set.Reset(metric, centres, f.K, f.p.D)
	vec.Stretches(f.Threads, f.p.N, fitBlock, func(worker, from, to int) {
		f.set.Nearest(&f.work[worker], f.p.V[from*f.p.D:to*f.p.D], to-from, f.at[from:to], f.distance[from:to])
	})
	loss := 0.0
	for i, d := range f.distance {
		if f.Spherical {
			d = -d
		}
		loss += f.p.weight(i) * float64(d)
	}
	return loss / max(f.whole, math.SmallestNonzeroFloat64)
}

// move puts each centre into the mean of its points. One without points takes
// the point that is farthest from its centre.
func (f *fit) move(centres []float32) {
	clear(f.sum)
	clear(f.count)
	for i, c := range f.at {
		w := f.p.weight(i)
		f.count[c] += w
		sum := f.sum[int(c)*f.p.D : (int(c)+1)*f.p.D]
		for k, v := range f.p.at(i) {
			sum[k] += w * float64(v)
		}
	}
	for c := range f.K {
		to := centres[c*f.p.D : (c+1)*f.p.D]
		if f.count[c] <= 0 {
			if i := f.farthest(); i >= 0 {
				copy(to, f.p.at(i))
			}
		} else {
			for k, v := range f.sum[c*f.p.D : (c+1)*f.p.D] {
				to[k] = float32(v / f.count[c])
			}
		}
		if f.Spherical {
			Normalize(to)
		}
	}
}

// farthest is the point that adds most to the loss, which it is then taken out
// of; -1 when all are where their centres are.
func (f *fit) farthest() int {
	which, most := -1, 0.0
	for i, d := range f.distance {
		if f.Spherical { // how much shorter it is as the centre sees it
			d = f.length[i] - d
		}
		if v := f.p.weight(i) * float64(d); v > most {
			which, most = i, v
		}
	}
	if which >= 0 {
		f.distance[which] = 0
		if f.Spherical {
			f.distance[which] = f.length[which]
		}
	}
	return which
}

// Normalize gives x the length 1; 0 stays 0.
func Normalize(x []float32) {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	if s == 0 {
		return
	}
	s = 1 / math.Sqrt(s)
	for i, v := range x {
		x[i] = float32(float64(v) * s)
	}
}

// Seed picks k of the points as first centres, k×D: by weight alone, or by
// k-means++, where each next one is drawn with probability proportional to its
// weight and squared distance to the nearest centre, and the best of a few draws
// is taken. When there are fewer different points some come twice.
//
// Source: Arthur and Vassilvitskii, "k-means++", SODA 2007, sections 2.2 and 5
// (several draws).
func Seed(p Points, k int, random bool, rng *rand.Rand) []float32 {
	centres := make([]float32, 0, k*p.D)
	weight := make([]float64, p.N) // of a draw
	for i := range weight {
		weight[i] = p.weight(i)
	}
	if random {
		for range k {
			i := draw(weight, rng)
			centres = append(centres, p.at(i)...)
			weight[i] = 0
		}
		return centres
	}
	near, trial, best := make([]float64, p.N), make([]float64, p.N), make([]float64, p.N)
	for i := range near {
		near[i] = math.Inf(1)
	}
	draws := 2 + int(math.Log(float64(k)))
	for c := range k {
		least, which := math.Inf(1), 0
		tries := draws
		if c == 0 {
			tries = 1
		}
		for range tries {
			i := draw(weight, rng)
			sum := 0.0
			for j := range trial {
				trial[j] = min(near[j], float64(vec.SquaredDistance(p.at(j), p.at(i))))
				sum += p.weight(j) * trial[j]
			}
			if sum < least {
				least, which = sum, i
				best, trial = trial, best
			}
		}
		copy(near, best)
		for j := range weight {
			weight[j] = p.weight(j) * near[j]
		}
		centres = append(centres, p.at(which)...)
	}
	return centres
}

// draw picks an index with probability proportional to weight; when all are 0,
// any.
func draw(weight []float64, rng *rand.Rand) int {
	sum := 0.0
	for _, w := range weight {
		sum += w
	}
	if !(sum > 0) || math.IsInf(sum, 1) {
		return rng.IntN(len(weight))
	}
	return at(weight, rng.Float64()*sum)
}
