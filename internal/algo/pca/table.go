// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"context"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// table is the rows of this host, with the mean of those of all hosts taken off.
// Sums over all hosts are made by its methods.
type table struct {
	ctx      context.Context
	m        *algo.Matrix
	from, to int // rows of m that are this host's
	dims     int
	threads  int
	peers    *collective.Group

	all  int       // rows of all hosts
	mean []float32 // taken off
	rest []float64 // what the mean has beyond float32
}

func (t *table) rows() int { return t.to - t.from }

// Sums over rows are made by parts of a number that hangs on the rows alone.
const sumParts = 64

// center counts the rows and finds their mean; without subtract it is 0.
func (t *table) center(subtract bool) error {
	t.mean, t.rest = make([]float32, t.dims), make([]float64, t.dims)
	count := []int64{int64(t.rows())}
	if err := t.peers.SumInts(t.ctx, count); err != nil {
		return fmt.Errorf("count the records: %w", err)
	}
	if t.all = int(count[0]); t.all == 0 {
		return algo.ClientErrorf("train channel: %w on any host", data.ErrNoRows)
	}
	if !subtract {
		return t.ctx.Err()
	}
	step := max((t.rows()+sumParts-1)/sumParts, min(4096, max(t.dims, 64)))
	parts := make([][]float64, (t.rows()+step-1)/step)
	vec.Parallel(t.threads, len(parts), func(_, part int) {
		sum := make([]float64, t.dims)
		for i := t.from + part*step; i < min(t.from+(part+1)*step, t.to); i++ {
			if !t.m.Sparse() {
				vec.Accumulate(t.m.Row(i, nil), sum)
				continue
			}
			for at := t.m.Start[i]; at < t.m.Start[i+1]; at++ {
				sum[t.m.Index[at]] += float64(t.m.Values[at])
			}
		}
		parts[part] = sum
	})
	sum := make([]float64, t.dims)
	for _, part := range parts {
		for j, v := range part {
			sum[j] += v
		}
	}
	if err := t.peers.SumFloats(t.ctx, sum); err != nil {
		return fmt.Errorf("add up the records: %w", err)
	}
	for j, v := range sum {
		v /= float64(t.all)
		t.mean[j] = float32(v)
		t.rest[j] = v - float64(t.mean[j])
	}
	return t.ctx.Err()
}

// fill writes row i of this host without the mean into dst.
func (t *table) fill(i int, dst []float32) {
	i += t.from
	if !t.m.Sparse() {
		copy(dst, t.m.Row(i, nil))
		vec.Axpy(-1, t.mean, dst)
		return
	}
	for j, v := range t.mean {
		dst[j] = -v
	}
	for at := t.m.Start[i]; at < t.m.Start[i+1]; at++ {
		dst[t.m.Index[at]] += t.m.Values[at]
	}
}

// block is rows of this host: from first on, n of them.
type block struct {
	first, n int
	dense    []float32 // n×dims without the mean; nil where the table is sparse
}

// Blocks have so many values, or one row.
const blockValues = 1 << 20

// blocks calls do with all rows of this host, a block at a time, in order. Of a
// sparse table a block's size is that of what else has a row for each of its own:
// width.
func (t *table) blocks(width int, do func(b block) error) error {
	if !t.m.Sparse() {
		width = t.dims
	}
	size := min(max(blockValues/max(width, 1), 1), max(t.rows(), 1))
	var room []float32
	if !t.m.Sparse() {
		room = make([]float32, size*t.dims)
	}
	for first := 0; first < t.rows(); first += size {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		b := block{first: first, n: min(size, t.rows()-first)}
		if room != nil {
			b.dense = room[:b.n*t.dims]
			t.dense(b)
		}
		if err := do(b); err != nil {
			return err
		}
	}
	return t.ctx.Err()
}

// dense fills b.dense.
func (t *table) dense(b block) {
	const some = 64
	vec.Stretches(t.threads, b.n, some, func(_, from, to int) {
		for i := from; i < to; i++ {
			t.fill(b.first+i, b.dense[i*t.dims:(i+1)*t.dims])
		}
	})
}

// times writes the block's rows, without the mean, times q (dims×k) into out.
func (t *table) times(b block, q []float32, k int, out []float32) {
	if b.dense != nil {
		vec.Gemm(t.threads, vec.Rows(out, k), vec.Rows(b.dense, t.dims), vec.Rows(q, k), b.n, k, t.dims, false)
		return
	}
	off := make([]float32, k) // the mean times q
	vec.Mul(off, t.mean, q, 1, k, t.dims)
	const some = 64
	vec.Stretches(t.threads, b.n, some, func(_, from, to int) {
		for r := from; r < to; r++ {
			row, i := out[r*k:(r+1)*k], t.from+b.first+r
			for j, v := range off {
				row[j] = -v
			}
			for at := t.m.Start[i]; at < t.m.Start[i+1]; at++ {
				vec.Axpy(t.m.Values[at], q[int(t.m.Index[at])*k:][:k], row)
			}
		}
	})
}

// addTransposed adds the block's rows, without the mean, transposed, times p
// (rows of the block × k) to z (dims×k).
func (t *table) addTransposed(b block, p []float32, k int, z []float32) {
	if b.dense != nil {
		vec.Gemm(t.threads, vec.Rows(z, k), vec.Rows(b.dense, t.dims).T(), vec.Rows(p, k), t.dims, k, b.n, true)
		return
	}
	sum := make([]float32, k)
	for r := range b.n {
		vec.Add(p[r*k:(r+1)*k], sum)
	}
	step := max((k+t.threads-1)/t.threads, 16) // columns of z that one goroutine writes
	vec.Stretches(t.threads, k, step, func(_, from, to int) {
		for r := range b.n {
			i := t.from + b.first + r
			for at := t.m.Start[i]; at < t.m.Start[i+1]; at++ {
				vec.Axpy(t.m.Values[at], p[r*k+from:r*k+to], z[int(t.m.Index[at])*k+from:])
			}
		}
		for j, v := range t.mean {
			if v != 0 {
				vec.Axpy(-v, sum[from:to], z[j*k+from:])
			}
		}
	})
}

// rescale multiplies all values by a power of 2 such that the largest of all
// hosts is about 1, and gives that: 1 where all are 0.
func (t *table) rescale() (scale float64, err error) {
	most := []float64{0}
	for _, v := range t.m.Values {
		most[0] = math.Max(most[0], math.Abs(float64(v)))
	}
	if err := t.peers.MaxFloats(t.ctx, most); err != nil {
		return 0, fmt.Errorf("find the largest value: %w", err)
	}
	if most[0] == 0 {
		return 1, nil
	}
	_, exp := math.Frexp(most[0])
	scale = math.Ldexp(1, -min(max(exp, -126), 126)) // which is a float32, as is its inverse
	vec.Scale(float32(scale), t.m.Values)
	return scale, nil
}
