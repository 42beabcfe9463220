// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
)

// The artifact model_algo-1 is faiss's own file: faiss.read_index reads it, and
// what faiss.write_index wrote is read here. All numbers are little-endian; a
// vector is its length in 64 bits and its elements; an index begins with four
// letters.
//
// Source: index_write.cpp and index_read.cpp of faiss 1.7 to 1.15.
const (
	markFlatL2    = "IxF2"
	markFlatInner = "IxFI"
	markIVFFlat   = "IwFl"
	markIVFPQ     = "IwPQ"
	markLists     = "ilar"
	listsFull     = "full"
	listsSparse   = "sprs"
	// spare is what the header has in two members that nothing uses.
	spare = 1 << 20
)

var le = binary.LittleEndian

func appendHeader(b []byte, mark string, d, n int, metric nearest.Metric) []byte {
	b = append(b, mark...)
	b = le.AppendUint32(b, uint32(d))
	b = le.AppendUint64(b, uint64(n))
	b = le.AppendUint64(le.AppendUint64(b, spare), spare)
	b = append(b, 1) // trained
	kind := uint32(1)
	if metric == nearest.InnerProduct {
		kind = 0
	}
	return le.AppendUint32(b, kind)
}

func appendFloats(b []byte, v []float32) []byte {
	for _, x := range v {
		b = le.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func (f *flatIndex) append(b []byte) []byte {
	mark := markFlatL2
	if f.near == nearest.InnerProduct {
		mark = markFlatInner
	}
	b = appendHeader(b, mark, f.d, f.n, f.near)
	return appendFloats(le.AppendUint64(b, uint64(len(f.v))), f.v)
}

// append appends what the indexes with lists begin with.
func (v *inverted) append(b []byte, mark string) []byte {
	b = appendHeader(b, mark, v.d, v.n, v.near)
	b = le.AppendUint64(b, uint64(v.coarse.n))
	b = le.AppendUint64(b, uint64(v.probe))
	b = v.coarse.append(b)
	b = append(b, 0) // no map from vectors to lists
	return le.AppendUint64(b, 0)
}

// appendLists appends the lists; code appends that of vectors from one to before
// another.
func (v *inverted) appendLists(b []byte, codeSize int, code func(b []byte, from, to int) []byte) []byte {
	lists := len(v.start) - 1
	b = append(b, markLists...)
	b = le.AppendUint64(b, uint64(lists))
	b = le.AppendUint64(b, uint64(codeSize))
	b = append(b, listsFull...)
	b = le.AppendUint64(b, uint64(lists))
	for l := range lists {
		b = le.AppendUint64(b, uint64(v.start[l+1]-v.start[l]))
	}
	for l := range lists {
		b = code(b, v.start[l], v.start[l+1])
		for _, id := range v.ids[v.start[l]:v.start[l+1]] {
			b = le.AppendUint64(b, uint64(id))
		}
	}
	return b
}

func (f *ivfIndex) append(b []byte) []byte {
	b = f.inverted.append(b, markIVFFlat)
	return f.appendLists(b, 4*f.d, func(b []byte, from, to int) []byte { return appendFloats(b, f.v[from*f.d:to*f.d]) })
}

func (f *pqIndex) append(b []byte) []byte {
	b = f.inverted.append(b, markIVFPQ)
	residual := byte(0)
	if f.residual {
		residual = 1
	}
	b = le.AppendUint64(append(b, residual), uint64(f.parts))
	for _, v := range []int{f.d, f.parts, 8, len(f.book)} {
		b = le.AppendUint64(b, uint64(v))
	}
	b = appendFloats(b, f.book)
	return f.appendLists(b, f.parts, func(b []byte, from, to int) []byte { return append(b, f.codes[from*f.parts:to*f.parts]...) })
}

// errShort is a file that ends where more must come.
var errShort = errors.New("the file ends too early")

// reader takes numbers off the front of b. The first failure stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

// size is a number of 64 bits that counts something of each bytes at least that
// the rest of the file holds, or, with 0, that is below 2^31.
func (r *reader) size(each int) int {
	b := r.take(8)
	if b == nil {
		return 0
	}
	n := le.Uint64(b)
	if n > math.MaxInt32 || each > 0 && n > uint64(len(r.b)/each) {
		r.fail("a length of %d, which the file has no room for", n)
		return 0
	}
	return int(n)
}

func (r *reader) floats(n int) []float32 {
	if r.err == nil && n > len(r.b)/4 {
		r.err = errShort
	}
	b := r.take(4 * n)
	if r.err != nil {
		return nil
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		if math.IsNaN(float64(v[i])) || math.IsInf(float64(v[i]), 0) {
			r.fail("a number is %g", v[i])
			return nil
		}
	}
	return v
}

// header is what each index begins with behind its mark.
func (r *reader) header() (d, n int, metric nearest.Metric) {
	d = int(r.u32())
	n = r.size(0)
	r.take(16)
	if r.byte() != 1 {
		r.fail("the index is not trained")
	}
	switch kind := r.u32(); kind {
	case 0:
		metric = nearest.InnerProduct
	case 1:
		metric = nearest.L2
	default:
		r.fail("metric %d is not L2 or inner product", kind)
	}
	if d < 1 || d > math.MaxInt32 {
		r.fail("vectors of %d numbers", d)
	}
	return d, n, metric
}

// readIndex reads a file of faiss.
func readIndex(b []byte) (index, error) {
	r := &reader{b: b}
	x := r.index()
	if r.err != nil {
		return nil, fmt.Errorf("not a faiss index that is known here: %w", r.err)
	}
	if x.size() == 0 {
		return nil, errors.New("the faiss index holds no vectors")
	}
	return x, nil
}

func (r *reader) index() index {
	switch mark := string(r.take(4)); mark {
	case markFlatL2, markFlatInner:
		if f := r.flat(mark); r.err == nil {
			return f
		}
	case markIVFFlat:
		f := &ivfIndex{inverted: r.inverted()}
		v := r.lists(&f.inverted, 4*f.d)
		if r.err == nil {
			vectors := &reader{b: v}
			f.v = vectors.floats(len(v) / 4)
			if r.err = vectors.err; r.err == nil {
				f.set = nearest.NewSet(f.near, f.v, f.n, f.d)
			}
		}
		return f
	case markIVFPQ:
		return r.pq()
	default:
		r.fail("it begins with %q, and %q, %q, %q or %q was expected", mark, markFlatL2, markFlatInner, markIVFFlat, markIVFPQ)
	}
	return nil
}

func (r *reader) flat(mark string) *flatIndex {
	d, n, metric := r.header()
	if (mark == markFlatInner) != (metric == nearest.InnerProduct) {
		r.fail("%s of another metric", mark)
	}
	size := r.size(4)
	if r.err == nil && size != n*d {
		r.fail("%d numbers for %d vectors of %d", size, n, d)
	}
	v := r.floats(size)
	if r.err != nil {
		return nil
	}
	return newFlat(metric, v, n, d)
}

func (r *reader) inverted() (v inverted) {
	v.d, v.n, v.near = r.header()
	lists := r.size(0)
	v.probe = max(1, r.size(0))
	mark := string(r.take(4))
	if mark != markFlatL2 && mark != markFlatInner {
		r.fail("the quantizer begins with %q: a flat one was expected", mark)
	}
	if r.err == nil {
		v.coarse = r.flat(mark)
	}
	if r.err == nil && (v.coarse.n != lists || v.coarse.d != v.d || v.coarse.near != v.near || lists == 0) {
		r.fail("the quantizer does not fit the index")
	}
	if kind := r.byte(); kind == 2 {
		r.fail("a map from vectors to lists that is a hash table is not built")
	}
	r.take(8 * r.size(8))
	return v
}

// lists reads the lists of v, and gives the codes of all in their order.
func (r *reader) lists(v *inverted, codeSize int) (all []byte) {
	if mark := string(r.take(4)); mark != markLists {
		r.fail("the lists begin with %q: %q was expected", mark, markLists)
	}
	lists, size := r.size(0), r.size(0)
	if r.err == nil && (lists != v.coarse.n || size != codeSize) {
		r.fail("%d lists with codes of %d bytes: %d and %d were expected", lists, size, v.coarse.n, codeSize)
	}
	if r.err != nil {
		return nil
	}
	sizes := make([]int, lists)
	switch kind := string(r.take(4)); kind {
	case listsFull:
		if n := r.size(8); n != lists {
			r.fail("%d lengths of %d lists", n, lists)
		}
		for l := range sizes {
			sizes[l] = r.size(0)
		}
	case listsSparse:
		for n := r.size(8) / 2; n > 0 && r.err == nil; n-- {
			l, has := r.size(0), r.size(0)
			if l >= lists {
				r.fail("list %d of %d", l, lists)
				break
			}
			sizes[l] = has
		}
	default:
		r.fail("lists of the kind %q", kind)
	}
	v.start = make([]int, lists+1)
	seen := make([]bool, min(v.n, len(r.b)/8+1))
	for l, n := range sizes {
		code := r.take(n * codeSize)
		ids := r.take(8 * n)
		if r.err != nil {
			return nil
		}
		all = append(all, code...)
		for i := range n {
			id := le.Uint64(ids[8*i:])
			if id >= uint64(len(seen)) || seen[id] {
				r.fail("vector %d is not one of %d, or is there twice", id, v.n)
				return nil
			}
			seen[id] = true
			v.ids = append(v.ids, int32(id))
		}
		v.start[l+1] = v.start[l] + n
	}
	if len(v.ids) != v.n {
		r.fail("the lists hold %d of %d vectors", len(v.ids), v.n)
	}
	return all
}

func (r *reader) pq() *pqIndex {
	f := &pqIndex{inverted: r.inverted()}
	f.residual = r.byte() != 0
	size := r.size(0)
	d, parts, bits := r.size(0), r.size(0), r.size(0)
	if r.err == nil && (d != f.d || parts < 1 || d%parts != 0 || bits != 8 || size != parts || f.near != nearest.L2) {
		r.fail("%d parts of %d bits, of vectors of %d, in codes of %d bytes: parts of 8 bits, which divide %d numbers, by L2 were expected", parts, bits, d, size, f.d)
	}
	n := r.size(4)
	if r.err == nil && n != codes*d {
		r.fail("a book of %d numbers: %d were expected", n, codes*d)
	}
	f.parts, f.book = parts, r.floats(n)
	f.codes = r.lists(&f.inverted, parts)
	if r.err == nil {
		f.prepare()
	}
	return f
}
