// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// index is vectors that can be searched.
type index interface {
	// dims is the length of the vectors.
	dims() int
	// size is how many there are.
	size() int
	metric() nearest.Metric
	// search writes the k nearest vectors of each of m queries, rows of x, to
	// found, k for each, the nearest first, k ≤ size.
	search(w *work, x []float32, m, k int, found []nearest.Found)
	bytes() int64
	// append appends the index as faiss writes it.
	append(b []byte) []byte
}

// work is the memory of one goroutine that searches.
type work struct {
	nearest.Work
	probes  []nearest.Found
	lists   []int32
	x       []float32
	raw     []float32
	tables  []float32
	dots    []float32
	best    nearest.Best
	found   []nearest.Found
	labels  []float32
	queries []float32
	sorted  []float32
}

// searchBlock is how many queries one goroutine takes at a time.
const searchBlock = 256

// flatIndex compares with all vectors.
type flatIndex struct {
	near nearest.Metric
	v    []float32
	n, d int
	set  *nearest.Set
}

func newFlat(metric nearest.Metric, v []float32, n, d int) *flatIndex {
	return &flatIndex{metric, v, n, d, nearest.NewSet(metric, v, n, d)}
}

func (f *flatIndex) dims() int              { return f.d }
func (f *flatIndex) size() int              { return f.n }
func (f *flatIndex) metric() nearest.Metric { return f.near }
func (f *flatIndex) bytes() int64           { return 4 * int64(len(f.v)) }

func (f *flatIndex) search(w *work, x []float32, m, k int, found []nearest.Found) {
	f.set.Top(&w.Work, x, m, k, found)
}

// inverted is what the two indexes with lists have in common: each vector is in
// the list of the centre that it is nearest to, and a query looks at the lists of
// the centres that are nearest to it.
type inverted struct {
	near   nearest.Metric
	n, d   int
	probe  int // lists that a query looks at
	coarse *flatIndex
	start  []int   // list l is the vectors from start[l] to start[l+1]
	ids    []int32 // of the vectors in the order of lists
}

func (v *inverted) dims() int              { return v.d }
func (v *inverted) size() int              { return v.n }
func (v *inverted) metric() nearest.Metric { return v.near }

// lists writes the lists that each of m queries looks at to w.lists, each for
// every query, -1 being none: probe of them, and more where those have fewer than
// k vectors.
func (v *inverted) lists(w *work, x []float32, m, k int) (each int) {
	each = min(v.probe, v.coarse.n)
	for {
		w.probes = sized(w.probes, m*each)
		v.coarse.search(w, x, m, each, w.probes)
		w.lists = sized(w.lists, m*each)
		enough := true
		for i := range m {
			has := 0
			for j, p := range w.probes[i*each : (i+1)*each] {
				w.lists[i*each+j] = p.At
				if j >= v.probe && has >= k {
					w.lists[i*each+j] = -1
					continue
				}
				has += v.start[p.At+1] - v.start[p.At]
			}
			enough = enough && has >= k
		}
		if enough || each == v.coarse.n {
			return each
		}
		each = min(4*each, v.coarse.n)
	}
}

// named makes found, which tells places in lists, tell vectors.
func (v *inverted) named(found []nearest.Found, k int) {
	for i := range found {
		found[i].At = v.ids[found[i].At]
	}
	for from := 0; from < len(found); from += k {
		v.near.Sort(found[from : from+k])
	}
}

// ivfIndex is vectors in lists.
type ivfIndex struct {
	inverted
	set *nearest.Set // in the order of lists
	v   []float32
}

func (f *ivfIndex) bytes() int64 { return 4*int64(len(f.v)) + 4*int64(f.n) + f.coarse.bytes() }

func (f *ivfIndex) search(w *work, x []float32, m, k int, found []nearest.Found) {
	each := f.lists(w, x, m, k)
	f.set.TopAmong(&w.Work, x, m, k, w.lists, each, f.start, found)
	f.named(found, k)
}

// pqIndex is vectors in lists, of each of which only what of a small book each of
// its parts is nearest to is kept, once the centre of the list is taken off.
//
// Source: Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor
// Search", IEEE TPAMI 2011.
type pqIndex struct {
	inverted
	parts    int
	residual bool      // the centre is taken off
	book     []float32 // parts × codes × dsub
	codes    []byte    // n × parts, in the order of lists
	shift    []float32 // lists × parts × codes, of residual; else parts × codes: see prepare
}

// codes is how many entries a book of a part has.
const codes = 256

func (f *pqIndex) sub() int { return f.d / f.parts }

func (f *pqIndex) bytes() int64 {
	return int64(len(f.codes)) + 4*int64(len(f.book)+len(f.shift)+len(f.ids)) + f.coarse.bytes()
}

// entry is entry c of the book of part p.
func (f *pqIndex) entry(p, c int) []float32 {
	sub := f.sub()
	return f.book[(p*codes+c)*sub : (p*codes+c+1)*sub]
}

// shiftRoom bounds the numbers of shift.
const shiftRoom = 1 << 26

// prepare makes shift: |x-c-e|² = |x-c|² - 2x·e + (|e|² + 2c·e), of which the
// bracket hangs on the list and the entry alone. Without centres c is 0. There is
// none where it would be too large.
func (f *pqIndex) prepare() {
	size, lists := f.parts*codes, 1
	if f.residual {
		lists = len(f.start) - 1
	}
	if lists*size > shiftRoom {
		return
	}
	f.shift = make([]float32, lists*size)
	for l := range lists {
		for p := range f.parts {
			for c := range codes {
				e := f.entry(p, c)
				v := vec.Dot(e, e)
				if f.residual {
					v += 2 * vec.Dot(e, f.coarse.v[l*f.d+p*f.sub():])
				}
				f.shift[l*size+p*codes+c] = v
			}
		}
	}
}

func (f *pqIndex) search(w *work, x []float32, m, k int, found []nearest.Found) {
	each := f.lists(w, x, m, k)
	sub, size := f.sub(), f.parts*codes
	// The inner products of all queries with all entries, part by part.
	w.dots, w.raw, w.tables = sized(w.dots, m*size), sized(w.raw, m*sub), sized(w.tables, size)
	for p := range f.parts {
		for i := range m {
			copy(w.raw[i*sub:(i+1)*sub], x[i*f.d+p*sub:])
		}
		vec.MulT(w.dots[p*m*codes:(p+1)*m*codes], w.raw, f.book[p*codes*sub:(p+1)*codes*sub], m, codes, sub)
	}
	for i := range m {
		row := x[i*f.d : (i+1)*f.d]
		w.best.Reset(k)
		for _, l := range w.lists[i*each : (i+1)*each] {
			if l >= 0 {
				f.scan(w, row, i, m, int(l))
			}
		}
		copy(found[i*k:(i+1)*k], w.best.Sorted())
	}
	f.named(found, k)
}

// scan adds the vectors of a list, with their distances from query i of m, whose
// numbers are row, to w.near.
func (f *pqIndex) scan(w *work, row []float32, i, m, list int) {
	size, sub, base := f.parts*codes, f.sub(), float32(0)
	centre := f.coarse.v[list*f.d : (list+1)*f.d]
	table := w.tables
	switch {
	case f.shift == nil:
		for p := range f.parts {
			for c := range codes {
				s, e := float32(0), f.entry(p, c)
				for q, v := range e {
					d := row[p*sub+q] - v
					if f.residual {
						d -= centre[p*sub+q]
					}
					s += d * d
				}
				table[p*codes+c] = s
			}
		}
	case f.residual:
		copy(table, f.shift[list*size:(list+1)*size])
		base = vec.SquaredDistance(row, centre)
	default:
		copy(table, f.shift)
		base = vec.Dot(row, row)
	}
	if f.shift != nil {
		for p := range f.parts {
			vec.Axpy(-2, w.dots[(p*m+i)*codes:(p*m+i+1)*codes], table[p*codes:])
		}
	}
	limit := w.best.Limit()
	for at := f.start[list]; at < f.start[list+1]; at++ {
		if s := max(0, base+look(table, f.codes[at*f.parts:(at+1)*f.parts])); s <= limit {
			w.best.Add(int32(at), s)
			limit = w.best.Limit()
		}
	}
}

// look adds up what a table has for a code.
func look(table []float32, code []byte) float32 {
	var s0, s1, s2, s3 float32
	for len(code) >= 4 && len(table) >= 4*codes {
		t := (*[4 * codes]float32)(table)
		s0 += t[code[0]]
		s1 += t[codes+int(code[1])]
		s2 += t[2*codes+int(code[2])]
		s3 += t[3*codes+int(code[3])]
		code, table = code[4:], table[4*codes:]
	}
	for _, c := range code {
		s0 += table[c]
		table = table[codes:]
	}
	return (s0 + s1) + (s2 + s3)
}

func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }
