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

// initBlock is how many rows are filled at once.
const initBlock = 1 << 10

// random fills the rows of which used is true, all when it is nil, uniformly
// within 1/dim, as fastText does. A row's values hang on its number alone.
func (m *matrix) random(c *crew, used []bool) {
	c.do((m.rows+initBlock-1)/initBlock, func(block int) {
		for i := block * initBlock; i < min((block+1)*initBlock, m.rows); i++ {
			if used == nil || used[i] {
				r := draws(i)
				r.fill(m.row(i), 1/float32(m.dim))
			}
		}
	})
}
