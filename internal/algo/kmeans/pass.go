// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"context"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// passes assigns rows to centres, over all hosts.
type passes struct {
	peers   *collective.Group
	threads int
	d       int

	set       nearest.Set
	across    []float32 // of sparse rows: the centres, D×K
	whole     []float64 // of sparse rows: squares of the centres
	workers   []passWorker
	sums      []float64 // of all lanes
	told      []float64 // what the hosts add up
	sum       []float64
	count     []float64
	loss      float64
	stopAsked bool
}

// passWorker is the memory of one goroutine.
type passWorker struct {
	x        []float32
	at       []int32
	distance []float32
	score    []float32
	nearest.Work
}

// passBlock is how many rows are compared with all centres at once, as long as
// they have no more than passRoom numbers.
const (
	passBlock = 256
	passRoom  = 1 << 22
)

// maxLanes bounds the sums that are made side by side, and laneRoom the numbers
// that they are.
const (
	maxLanes = 64
	laneRoom = 1 << 24
)

// run assigns rows of t, nil for all, to the k centres, which are less t's
// origin. Afterwards p.sum and p.count are the sum, less the origin, and the
// number of each centre's rows over all hosts, and p.loss the sum of squared
// distances; without move only the loss is. stop tells all hosts to stop:
// p.stopAsked is set when one of them did.
//
// The rows are divided into lanes, whose sums are added up in order: how many
// there are does not hang on the number of threads.
func (p *passes) run(ctx context.Context, t *table, rows []int32, centres []float32, k int, move, stop bool) error {
	n := len(rows)
	if rows == nil {
		n = t.Rows
	}
	size := 0
	if move {
		size = k * (p.d + 1)
	}
	lanes := max(1, min(n/max(k, passBlock), maxLanes, laneRoom/(size+1)))
	p.sums = slices.Grow(p.sums[:0], lanes*(size+1))[:lanes*(size+1)]
	clear(p.sums)
	for len(p.workers) < p.threads {
		p.workers = append(p.workers, passWorker{})
	}
	p.set.Reset(nearest.L2, centres, k, p.d)
	if t.Sparse() {
		p.transpose(centres, k)
	}
	vec.Parallel(p.threads, lanes, func(worker, lane int) {
		p.lane(&p.workers[worker], t, rows, lane*n/lanes, (lane+1)*n/lanes, centres, k, p.sums[lane*(size+1):(lane+1)*(size+1)])
	})
	p.told = slices.Grow(p.told[:0], size+2)[:size+2]
	clear(p.told)
	vec.Stretches(p.threads, size+1, addBlock, func(_, from, to int) {
		for lane := range lanes {
			sums := p.sums[lane*(size+1) : (lane+1)*(size+1)]
			for i := from; i < to; i++ {
				p.told[i] += sums[i]
			}
		}
	})
	if stop {
		p.told[size+1] = 1
	}
	if err := p.peers.SumFloats(context.WithoutCancel(ctx), p.told); err != nil {
		return err
	}
	p.loss, p.stopAsked = p.told[size], p.told[size+1] > 0
	if move {
		p.sum, p.count = p.told[:k*p.d], p.told[k*p.d:size]
	}
	return nil
}

// addBlock is how many sums one goroutine adds up at a time.
const addBlock = 1 << 13

// lane assigns rows from to to and adds them to into: k×d sums and k counts
// where there is room for them, and the loss.
func (p *passes) lane(w *passWorker, t *table, rows []int32, from, to int, centres []float32, k int, into []float64) {
	d := p.d
	block := max(1, min(passBlock, to-from, passRoom/d))
	if t.Sparse() {
		block = 1
	}
	w.x, w.at, w.distance = sized(w.x, block*d), sized(w.at, block), sized(w.distance, block)
	for ; from < to; from += block {
		m := min(block, to-from)
		x := w.x[:m*d]
		row := func(i int) int {
			if rows == nil {
				return from + i
			}
			return int(rows[from+i])
		}
		if t.Sparse() {
			at, distance := p.nearestSparse(w, t, row(0), centres, k)
			into[len(into)-1] += distance
			if len(into) > 1 {
				index, values := t.stored(row(0))
				sum := into[at*d : (at+1)*d]
				for i, c := range index {
					sum[c] += float64(values[i])
				}
				into[k*d+at]++
			}
			continue
		}
		for i := range m {
			t.put(x[i*d:(i+1)*d], row(i))
		}
		p.set.Nearest(&w.Work, x, m, w.at, w.distance)
		for i := range m {
			into[len(into)-1] += float64(w.distance[i])
			if len(into) > 1 {
				at := int(w.at[i])
				vec.Accumulate(x[i*d:(i+1)*d], into[at*d:(at+1)*d])
				into[k*d+at]++
			}
		}
	}
}

func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// transpose fills what nearestSparse needs.
func (p *passes) transpose(centres []float32, k int) {
	p.across, p.whole = sized(p.across, len(centres)), sized(p.whole, k)
	for j := range k {
		s := 0.0
		for c, v := range centres[j*p.d : (j+1)*p.d] {
			p.across[c*k+j] = v
			s += float64(v) * float64(v)
		}
		p.whole[j] = s
	}
}

// nearestSparse finds the centre that is nearest to sparse row i, and its squared
// distance. Estimates decide where they can, as in package nearest.
func (p *passes) nearestSparse(w *passWorker, t *table, i int, centres []float32, k int) (int, float64) {
	w.score = sized(w.score, k)
	most := 0.0
	for j, s := range p.whole {
		w.score[j] = float32(s)
		most = max(most, s)
	}
	index, values := t.stored(i)
	square := 0.0
	for at, c := range index {
		vec.Axpy(-2*values[at], p.across[int(c)*k:(int(c)+1)*k], w.score)
		square += float64(values[at]) * float64(values[at])
	}
	first, second, at := float32(math.Inf(1)), float32(math.Inf(1)), 0
	for j, s := range w.score {
		if s < first {
			first, second, at = s, first, j
		} else if s < second {
			second = s
		}
	}
	size := math.Sqrt(most) + math.Sqrt(square)
	best := t.sparseDistance(i, centres[at*p.d:(at+1)*p.d], p.whole[at])
	if float64(second-first) > float64(2*len(index)+16)/(1<<23)*size*size {
		return at, best
	}
	at, best = 0, math.Inf(1)
	for j := range k {
		if v := t.sparseDistance(i, centres[j*p.d:(j+1)*p.d], p.whole[j]); v < best {
			at, best = j, v
		}
	}
	return at, best
}
