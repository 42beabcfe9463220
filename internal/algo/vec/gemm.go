// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"sync"
	"sync/atomic"
)

// View is a matrix that lies in a slice: element (i, j) is V[i*Row+j*Col].
type View struct {
	V        []float32
	Row, Col int
}

// Rows views v as a row-major matrix of so many columns.
func Rows(v []float32, cols int) View { return View{v, cols, 1} }

// T is the transpose of v, in the same memory.
func (v View) T() View { return View{v.V, v.Col, v.Row} }

// from is v from element (i, j) on.
func (v View) from(i, j int) []float32 { return v.V[i*v.Row+j*v.Col:] }

// Mul writes A·B into c: A is m×k, B k×n, c m×n.
func Mul(c, a, b []float32, m, n, k int) {
	Gemm(1, Rows(c, n), Rows(a, k), Rows(b, n), m, n, k, false)
}

// MulT writes A·Bᵀ into c: A is m×k, B n×k, c m×n.
func MulT(c, a, b []float32, m, n, k int) {
	Gemm(1, Rows(c, n), Rows(a, k), Rows(b, k).T(), m, n, k, false)
}

// TMul writes Aᵀ·B into c: A is k×m, B k×n, c m×n.
func TMul(c, a, b []float32, m, n, k int) {
	Gemm(1, Rows(c, n), Rows(a, m).T(), Rows(b, n), m, n, k, false)
}

// Blocks of the matrices, as in Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008: a panel of B, maxDeep deep, stays
// in the first cache, a block of A in the second, one of B in the third.
// maxDeep is part of the order in which sums are made.
const (
	maxDeep   = 256
	maxWide   = 1024
	groupRows = 16 // tiles of rows that one goroutine takes at a time
	smallWork = 1 << 18
)

// Gemm writes A·B into C, or adds it where add is set, on up to threads
// goroutines: A is m×k, B k×n, C m×n, each with one stride of 1. C shares no memory
// with A and B.
//
// An element of C hangs on its row of A and its column of B alone: it is the sum
// over k, in ascending order, of parts of equal length, at most maxDeep, each
// summed in ascending order. Neither threads nor m and n change its bits.
func Gemm(threads int, c, a, b View, m, n, k int, add bool) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 {
		if !add {
			clearView(c, m, n)
		}
		return
	}
	if m < 4 && n > m { // few rows would leave most of a tile empty
		c, a, b, m, n = c.T(), b.T(), a.T(), n, m
	}
	if m*n*k < smallWork {
		threads = 1
	}
	j := jobs.Get().(*job)
	j.c, j.a, j.b, j.m, j.n, j.k = c, a, b, m, n, k
	j.rows, j.cols = shape()
	j.run(threads, add)
	j.c, j.a, j.b = View{}, View{}, View{}
	jobs.Put(j)
}

func clearView(c View, m, n int) {
	for i := range m {
		for j := range n {
			c.V[i*c.Row+j*c.Col] = 0
		}
	}
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// job is one product under way.
type job struct {
	c, a, b    View
	m, n, k    int
	rows, cols int // of a tile

	fromK, deep int // the part of k
	fromN, wide int // the columns of the block of B
	add         bool
	direct      bool // A is read where it lies

	packed  []float32 // the block of B: panels of deep×cols, the last perhaps narrower
	workers []room
}

// room is what one goroutine needs.
type room struct {
	a    []float32 // a group of A: tiles of deep×rows
	tile [12 * 32]float32
}

func (j *job) run(threads int, add bool) {
	parts := (j.k + maxDeep - 1) / maxDeep
	for len(j.workers) < threads {
		j.workers = append(j.workers, room{})
	}
	// Reading A in place saves copying it, which pays while each element is used
	// a few times only, and where its rows do not meet in the same lines of the
	// first cache.
	j.direct = j.n <= 4*j.cols && (j.a.Row == 1 || j.a.Row%1024 != 0)
	for j.fromN = 0; j.fromN < j.n; j.fromN += j.wide {
		j.wide = min(maxWide, j.n-j.fromN)
		panels := (j.wide + j.cols - 1) / j.cols
		for part := range parts {
			j.fromK = part * j.k / parts
			j.deep = (part+1)*j.k/parts - j.fromK
			j.add = add || part > 0
			j.packed = grow(j.packed, panels*j.cols*j.deep)
			groups := (j.m + groupRows*j.rows - 1) / (groupRows * j.rows)
			if threads == 1 {
				for p := range panels {
					j.packPanel(p)
				}
				for g := range groups {
					j.group(0, g)
				}
				continue
			}
			Parallel(threads, panels, func(_, p int) { j.packPanel(p) })
			Parallel(threads, groups, j.group)
		}
	}
}

func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// Stretches calls do for the stretches of size of 0 to n, the last of which may be
// shorter, on up to threads goroutines, numbered from 0. The ends do not hang on
// threads.
func Stretches(threads, n, size int, do func(worker, from, to int)) {
	Parallel(threads, (n+size-1)/size, func(worker, i int) { do(worker, i*size, min((i+1)*size, n)) })
}

// Parallel calls do once for every i < n on up to threads goroutines, numbered
// from 0. Which one gets which i is not fixed: callers keep their results
// independent of it.
func Parallel(threads, n int, do func(worker, i int)) {
	if threads = min(threads, n); threads <= 1 {
		for i := range n {
			do(0, i)
		}
		return
	}
	var next atomic.Int64
	work := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(worker, i)
		}
	}
	var wait sync.WaitGroup
	for worker := 1; worker < threads; worker++ {
		wait.Go(func() { work(worker) })
	}
	work(0)
	wait.Wait()
}

// width is how many columns the kernel takes for panel p.
func (j *job) width(p int) int {
	if left := j.wide - p*j.cols; j.cols == 32 && left <= 16 {
		return 16
	}
	return j.cols
}

// packPanel copies panel p of the block of B, columns beyond it being 0.
func (j *job) packPanel(p int) {
	width, from := j.width(p), p*j.cols
	left := min(width, j.wide-from)
	dst := j.packed[from*j.deep : (from+width)*j.deep]
	pack(dst, j.b.T(), j.fromN+from, j.fromK, left, width, j.deep)
}

// pack copies rows of v from (i, k) on as deep groups of wide, of which those
// from left on are 0.
func pack(dst []float32, v View, i, k, left, wide, deep int) {
	if v.Row == 1 {
		for p := range deep {
			row := dst[p*wide : (p+1)*wide]
			copy(row, v.from(i, k+p)[:left])
			clear(row[left:])
		}
		return
	}
	if left < wide {
		clear(dst[:wide*deep])
	}
	q := 0
	for ; q+4 <= left; q += 4 {
		r0, r1, r2, r3 := v.from(i+q, k)[:deep], v.from(i+q+1, k)[:deep], v.from(i+q+2, k)[:deep], v.from(i+q+3, k)[:deep]
		at := q
		for p := range r0 {
			d := dst[at : at+4 : at+4]
			d[0], d[1], d[2], d[3] = r0[p], r1[p], r2[p], r3[p]
			at += wide
		}
	}
	for ; q < left; q++ {
		at := q
		for _, x := range v.from(i+q, k)[:deep] {
			dst[at] = x
			at += wide
		}
	}
}

// group does the tiles of group g of rows.
func (j *job) group(worker, g int) {
	w := &j.workers[worker]
	first := g * groupRows
	tiles := min(groupRows, (j.m+j.rows-1)/j.rows-first)
	w.a = grow(w.a, tiles*j.rows*j.deep)
	packed := func(t int) bool { return !j.direct || (first+t+1)*j.rows > j.m }
	for t := range tiles {
		if packed(t) {
			i := (first + t) * j.rows
			pack(w.a[t*j.rows*j.deep:(t+1)*j.rows*j.deep], j.a, i, j.fromK, min(j.rows, j.m-i), j.rows, j.deep)
		}
	}
	panels := (j.wide + j.cols - 1) / j.cols
	for p := range panels {
		width, from := j.width(p), p*j.cols
		b := j.packed[from*j.deep : (from+width)*j.deep]
		for t := range tiles {
			a, rs, cs := w.a[t*j.rows*j.deep:], 1, j.rows
			if !packed(t) {
				a, rs, cs = j.a.from((first+t)*j.rows, j.fromK), j.a.Row, j.a.Col
			}
			j.tile(w, (first+t)*j.rows, j.fromN+from, width, a, rs, cs, b)
		}
	}
}

// tile does that at (i, col), by way of w where it is not whole.
func (j *job) tile(w *room, i, col, width int, a []float32, rs, cs int, b []float32) {
	rows, cols := min(j.rows, j.m-i), min(width, j.n-col)
	if rows == j.rows && cols == width && j.c.Col == 1 {
		tile(width, j.deep, a, rs, cs, b, width, j.c.from(i, col), j.c.Row, j.add)
		return
	}
	tile(width, j.deep, a, rs, cs, b, width, w.tile[:], width, false)
	for q := range rows {
		if !j.add && j.c.Col == 1 {
			copy(j.c.from(i+q, col)[:cols], w.tile[q*width:])
			continue
		}
		for r, s := range w.tile[q*width : q*width+cols] {
			at := (i+q)*j.c.Row + (col+r)*j.c.Col
			if j.add {
				s += j.c.V[at]
			}
			j.c.V[at] = s
		}
	}
}

// tileScalar is tile in Go, for 4 rows.
func tileScalar(wide, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, add bool) {
	rows, _ := shape()
	for i := range rows {
		out := c[i*ldc : i*ldc+wide]
		for from := 0; from < wide; from += 8 {
			var s [8]float32
			for p := range k {
				x, row := a[i*rs+p*cs], b[p*bs+from:][:8]
				for q := range s {
					s[q] += x * row[q]
				}
			}
			if add {
				for q := range s {
					s[q] += out[from+q]
				}
			}
			copy(out[from:], s[:])
		}
	}
}
