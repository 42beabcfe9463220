// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// order is how rows are shuffled. All rows are put into a random order once, and
// blocks of rows that lie side by side there into another one each epoch: rows
// of a block are read from memory together.
type order struct {
	shuffled []int32 // rows of all hosts; nil where the table itself was put into that order
	size     int     // rows of a block; the last one may have fewer
	blocks   []int32
	total    int
	rows     []int32 // of this host in a batch
	next, at int     // where the last batch ended: a block, and the place of its first row
}

// draw puts the rows of t into a random order.
func (o *order) draw(t *table, batch int) {
	o.total = t.total
	o.shuffled = make([]int32, t.total)
	for i := range o.shuffled {
		o.shuffled[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(seed, 4))
	rng.Shuffle(len(o.shuffled), func(i, j int) { o.shuffled[i], o.shuffled[j] = o.shuffled[j], o.shuffled[i] })
	if t.Rows == t.total && !t.Sparse() {
		t.permute(o.shuffled)
		o.shuffled = nil
	}
	o.size = max(1, min(32, batch/32)) // a batch has many blocks
	o.blocks = make([]int32, (t.total+o.size-1)/o.size)
	for i := range o.blocks {
		o.blocks[i] = int32(i)
	}
}

// permute puts the rows of a dense table into the order that is given, in their
// place: row i becomes what row order[i] is.
func (t *table) permute(order []int32) {
	const ahead = 16 // rows are fetched from memory so many steps before
	done := make([]bool, len(order))
	kept := make([]float32, t.Cols)
	for first := range int32(len(order)) {
		if done[first] {
			continue
		}
		far := first
		for range ahead {
			far = order[far]
		}
		copy(kept, t.row(first))
		label := t.Label[first]
		at := first
		for {
			done[at] = true
			next := order[at]
			if next == first {
				break
			}
			vec.Prefetch(t.row(far))
			far = order[far]
			copy(t.row(at), t.row(next))
			t.Label[at] = t.Label[next]
			at = next
		}
		copy(t.row(at), kept)
		t.Label[at] = label
	}
}

// choose fills rows with those of this host at the places from one to before
// another of the epoch's order.
func (o *order) choose(t *table, from, to int) {
	o.rows = o.rows[:0]
	i, at := o.next, o.at
	if from < at || from == 0 {
		i, at = 0, 0
	}
	for at+o.length(i) <= from {
		at += o.length(i)
		i++
	}
	for ; at < to; i++ {
		o.next, o.at = i, at
		n := o.length(i)
		first := int(o.blocks[i]) * o.size
		for k := max(from-at, 0); k < min(to-at, n); k++ {
			row := first + k
			if o.shuffled != nil {
				row = int(o.shuffled[row]) - t.from
				if row < 0 || row >= t.Rows {
					continue
				}
			}
			o.rows = append(o.rows, int32(row))
		}
		at += n
	}
}

// length is how many rows the block at place i has.
func (o *order) length(i int) int {
	return min(o.size, o.total-int(o.blocks[i])*o.size)
}
