// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// splitmix is a number that looks random for each x. Source: Steele, Lea and
// Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
func splitmix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// batches divides the rows of all hosts into batches of about equal size. Rows
// are taken in groups of as many neighbours as there are batches, and each batch
// gets one of each group, at random: a batch is a fair sample whatever the order
// of the rows, each host has its share of it, and the same rows make it however
// they are divided over hosts.
type batches struct {
	total, count int
	seed         uint64
}

func newBatches(total, size int, seed uint64) batches {
	return batches{total, max(1, (total+size-1)/size), seed}
}

// of gives the rows of batch b that are among the rows from first on, of which
// there are n, counted from first.
func (s batches) of(b, first, n int, into []int32) []int32 {
	into = into[:0]
	if n == 0 {
		return into
	}
	for g := first / s.count; g <= (first+n-1)/s.count; g++ {
		turn := int(splitmix(s.seed+uint64(g)) % uint64(s.count))
		if row := g*s.count + (b+turn)%s.count; row >= first && row < first+n {
			into = append(into, int32(row-first))
		}
	}
	return into
}

// size is how many rows of all hosts batch b has.
func (s batches) size(b int) int {
	last := s.total / s.count // the group that may be short
	turn := int(splitmix(s.seed+uint64(last)) % uint64(s.count))
	if last*s.count+(b+turn)%s.count < s.total {
		return last + 1
	}
	return last
}

// table is rows as centres are compared with them: dense ones less an origin,
// which keeps digits where all rows are far from 0, sparse ones as they are.
type table struct {
	across.Part
	origin []float32 // 0 of sparse rows
}

// wide is from how many columns on sparse rows stay sparse.
const wide = 1 << 11

func newTable(p across.Part) *table {
	t := &table{p, make([]float32, p.Cols)}
	if !t.keepsSparse() {
		t.Matrix = p.Dense()
	}
	return t
}

// keepsSparse reports whether sparse rows stay so, on whichever host they are.
func (t *table) keepsSparse() bool { return t.AnySparse && t.Cols >= wide }

// put writes row i less the origin to x, which has Cols values.
func (t *table) put(x []float32, i int) {
	row := t.Row(i, x)
	if t.Sparse() {
		return
	}
	copy(x, row)
	vec.Axpy(-1, t.origin, x)
}

// stored is the columns and values that sparse row i stores.
func (t *table) stored(i int) ([]int32, []float32) {
	from, to := t.Start[i], t.Start[i+1]
	return t.Index[from:to], t.Values[from:to]
}

// distances lowers those of near, one for each of rows, that are above the
// row's squared distance to centre c, which is less the origin.
func (t *table) distances(rows []int32, c []float32, near []float64, threads int) {
	const block = 1 << 9
	whole := 0.0
	for _, v := range c {
		whole += float64(v) * float64(v)
	}
	vec.Stretches(threads, len(rows), block, func(_, from, to int) {
		x := make([]float32, t.Cols)
		for i := from; i < to; i++ {
			row := int(rows[i])
			if t.Sparse() {
				near[i] = min(near[i], t.sparseDistance(row, c, whole))
				continue
			}
			t.put(x, row)
			near[i] = min(near[i], float64(vec.SquaredDistance(x, c)))
		}
	})
}

// sparseDistance is the squared distance of sparse row i to c, whose own square
// is whole.
func (t *table) sparseDistance(i int, c []float32, whole float64) float64 {
	index, values := t.stored(i)
	d := whole
	for at, k := range index {
		v, w := float64(values[at]), float64(c[k])
		d += v * (v - 2*w)
	}
	return max(d, 0)
}
