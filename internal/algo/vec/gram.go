// SPDX-License-Identifier: Apache-2.0

package vec

import "sync"

// Gram adds AᵀA to c, both halves: A is m×k, c k×k and symmetric. It is GramOf
// on one goroutine.
func Gram(c []float64, a []float32, m, k int) {
	GramOf(1, c, m, k, func(row int, dst []float32) { copy(dst, a[row*k:]) })
}

// Rows of A are made strips of at most stripRows, whose memory is some stripBytes,
// and summed by parts of gramDeep: in float32 within a part, the sums of
// partsTogether parts in float32, too, and all of those in float64.
const (
	gramDeep      = 256
	partsTogether = 4
	stripBytes    = 2 << 20
	stripRows     = 8 * gramDeep
	someRows      = 32 // that one goroutine makes at a time
	someTiles     = 4  // that one goroutine sums at a time
	mirrorRows    = 32
)

var grams = sync.Pool{New: func() any { return new(gram) }}

// gram is one AᵀA under way.
type gram struct {
	c          []float64
	k          int
	rows, cols int // of a tile
	ld         int // of a strip
	strip      []float32
	have       int // rows of the strip
	tiles      [][someTiles][12 * 32]float32
	items      [][2]int // panel of columns, first tile of rows
}

// GramOf adds AᵀA to the symmetric k×k matrix c, on up to threads goroutines. fill
// writes row i of the m×k matrix A into dst, of length k; it is called by several
// goroutines at once. The rows are centred or weighted there, and sparse ones
// made dense.
//
// The order of all sums hangs on m and k alone.
func GramOf(threads int, c []float64, m, k int, fill func(i int, dst []float32)) {
	if m <= 0 || k <= 0 {
		return
	}
	g := grams.Get().(*gram)
	g.c, g.k = c, k
	g.rows, g.cols = shape()
	g.ld = (k+g.cols-1)/g.cols*g.cols + 16                                      // and no power of 2, whose rows meet in the first cache
	parts := min(max(stripBytes/(4*Stride(k)*gramDeep), 1), stripRows/gramDeep) // which hangs on k alone
	strip := min(m, parts*gramDeep)
	g.strip = grow(g.strip, strip*g.ld+16)
	for len(g.tiles) < max(threads, 1) {
		g.tiles = append(g.tiles, [someTiles][12 * 32]float32{})
	}
	g.plan()
	if m*k*k < smallWork {
		threads = 1
	}
	for from := 0; from < m; from += strip {
		g.have = min(strip, m-from)
		Parallel(threads, (g.have+someRows-1)/someRows, func(_, some int) {
			for i := some * someRows; i < min((some+1)*someRows, g.have); i++ {
				fill(from+i, g.strip[i*g.ld:i*g.ld+k:i*g.ld+k])
			}
		})
		Parallel(threads, len(g.items), g.sum)
	}
	Stretches(threads, k, mirrorRows, func(_, from, to int) {
		for first := 0; first < to; first += mirrorRows { // a square at a time, which the first cache holds
			for i := max(from, first+1); i < to; i++ {
				for j := first; j < min(first+mirrorRows, i); j++ {
					c[i*k+j] = c[j*k+i]
				}
			}
		}
	})
	g.c = nil
	grams.Put(g)
}

// plan lists the work: the tiles that hold something of the upper half, the
// panels with most of them first.
func (g *gram) plan() {
	g.items = g.items[:0]
	for panel := (g.k+g.cols-1)/g.cols - 1; panel >= 0; panel-- {
		for first := 0; first*g.rows < min((panel+1)*g.cols, g.k); first += someTiles {
			g.items = append(g.items, [2]int{panel, first})
		}
	}
}

// sum adds the products of the strip for one item of the plan.
func (g *gram) sum(worker, item int) {
	w := &g.tiles[worker]
	col, first := g.items[item][0]*g.cols, g.items[item][1]
	end, wide := min(col+g.cols, g.k), g.cols
	if end-col <= 16 {
		wide = 16
	}
	for from := 0; from < g.have; from += gramDeep {
		part := g.strip[from*g.ld:]
		deep := min(gramDeep, g.have-from)
		count := from / gramDeep % partsTogether
		last := count == partsTogether-1 || from+deep == g.have
		for t := first; t < first+someTiles && t*g.rows < end; t++ {
			row, sums := t*g.rows, &w[t-first]
			tile(wide, deep, part[row:], 1, g.ld, part[col:], g.ld, sums[:], g.cols, count > 0)
			for i := row; last && i < min(row+g.rows, end); i++ {
				j := max(col, i) // what is left of the diagonal is its mirror's
				accumulate(sums[(i-row)*g.cols+j-col:(i-row)*g.cols+end-col], g.c[i*g.k+j:i*g.k+end])
			}
		}
	}
}
