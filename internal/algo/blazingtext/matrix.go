// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// matrix is rows of dim values, each filled up with zeros to stride values, so
// that it is of whole lanes.
type matrix struct {
	v                 []float32
	rows, dim, stride int
}

func newMatrix(rows, dim int) *matrix {
	stride := vec.Stride(dim)
	m := &matrix{make([]float32, rows*stride), rows, dim, stride}
	preferLargePages(m.v)
	return m
}

func (m *matrix) row(i int) []float32 { return m.v[i*m.stride : i*m.stride+m.dim] }

// dense is the rows of a matrix, of which those that hold nothing but zeros may
// be left out.
type dense struct {
	*matrix
	at []int32 // of each row its place in the matrix, -1 for zeros; nil for itself
}

// newDense gives rows of zeros, of which those that are not used take no memory
// and stay so; nil is all of them. What there is room for comes first in order,
// then one row of zeros.
func newDense(rows, dim int, used []bool) dense {
	if used == nil {
		return dense{newMatrix(rows, dim), nil}
	}
	at, n := make([]int32, rows), int32(0)
	for i := range at {
		at[i] = -1
		if used[i] {
			at[i] = n
			n++
		}
	}
	return dense{newMatrix(int(n)+1, dim), at}
}

// n is how many rows there are.
func (d dense) n() int {
	if d.at == nil {
		return d.rows
	}
	return len(d.at)
}

// find puts in place of rows where they are in the matrix of newDense.
func (d dense) find(rows []int32) {
	if d.at == nil {
		return
	}
	zeros := int32(d.rows - 1)
	for i, r := range rows {
		if rows[i] = d.at[r]; rows[i] < 0 {
			rows[i] = zeros
		}
	}
}

// initBlock is how many rows are filled at once.
const initBlock = 1 << 10

// random fills the rows that are used uniformly within 1/dim, as fastText does. A
// row's values hang on its number alone.
func (d dense) random(c *vec.Crew) {
	n := d.n()
	c.Do((n+initBlock-1)/initBlock, func(block int) {
		for i := block * initBlock; i < min((block+1)*initBlock, n); i++ {
			at := i
			if d.at != nil {
				at = int(d.at[i])
			}
			if at >= 0 {
				r := draws(i)
				r.fill(d.row(at), 1/float32(d.dim))
			}
		}
	})
}

func (d dense) mean(h []float32, rows []int32) {
	if len(rows) == 0 {
		clear(h)
		return
	}
	if d.at == nil {
		mean(h, d.matrix, rows)
		return
	}
	left := make([]int32, 0, len(rows))
	for _, r := range rows {
		if at := d.at[r]; at >= 0 {
			left = append(left, at)
		}
	}
	clear(h)
	if len(left) > 0 {
		mean(h, d.matrix, left)
		for i := range h {
			h[i] *= float32(len(left)) / float32(len(rows))
		}
	}
}

func (d dense) memory() int64 { return 4 * int64(len(d.v)+len(d.at)) }

// rowOf is a row's values, nil for zeros.
func (d dense) rowOf(i int) []float32 {
	if d.at != nil {
		if d.at[i] < 0 {
			return nil
		}
		i = int(d.at[i])
	}
	return d.row(i)
}
