// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// reader reads numbers of a file and keeps the first error. left is what the file
// still has: nothing larger is ever made room for.
type reader struct {
	b    *bufio.Reader
	left int64
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// bytes gives the next n bytes, to be used before the next call; nil at the end.
func (r *reader) full(b []byte) bool {
	if r.err != nil {
		return false
	}
	if int64(len(b)) > r.left {
		r.fail("the file ends too soon")
		return false
	}
	n, err := io.ReadFull(r.b, b)
	if r.left -= int64(n); err != nil {
		r.fail("%w", err)
	}
	return r.err == nil
}

func (r *reader) int32() int32 {
	var b [4]byte
	r.full(b[:])
	return int32(binary.LittleEndian.Uint32(b[:]))
}

func (r *reader) int64() int64 {
	var b [8]byte
	r.full(b[:])
	return int64(binary.LittleEndian.Uint64(b[:]))
}

func (r *reader) byte() byte {
	var b [1]byte
	r.full(b[:])
	return b[0]
}

// word reads up to a zero byte.
func (r *reader) word() string {
	if r.err != nil {
		return ""
	}
	var all []byte
	for {
		b, err := r.b.ReadSlice(0)
		r.left -= int64(len(b))
		all = append(all, b...)
		switch {
		case err == nil:
			return string(all[:len(all)-1])
		case !errors.Is(err, bufio.ErrBufferFull):
			r.fail("a word has no end: %w", err)
			return ""
		}
	}
}

// count checks that n things of at least so many bytes can follow.
func (r *reader) count(what string, n, bytes int64) int {
	if r.err == nil && (n < 0 || n > math.MaxInt32 || bytes > 0 && n > r.left/bytes) {
		r.fail("it says that it has %d %s, which its size does not allow", n, what)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// readModel reads a file of fastText, of size bytes: a .bin or a quantised .ftz,
// of version 11 or 12.
func readModel(from io.Reader, size int64) (*Model, error) {
	r := &reader{b: bufio.NewReaderSize(from, int(min(max(size, 16), 1<<20))), left: size}
	m, err := r.model()
	if err != nil {
		return nil, fmt.Errorf("read a fastText model: %w", err)
	}
	return m, nil
}

func (r *reader) model() (*Model, error) {
	if mark := r.int32(); r.err == nil && mark != magic {
		return nil, errNoModel
	}
	v := r.int32()
	if r.err == nil && v != version && v != version-1 {
		r.fail("version %d; 11 and 12 can be read", v)
	}
	h := r.header()
	if v == version-1 && h.Model == modelSupervised {
		h.MaxChar = 0 // which version 11 wrote without meaning it
	}
	d, pruned := r.dictionary()
	if r.err == nil && h.Model == modelSupervised && d.labels() == 0 {
		r.fail("a classifier without labels")
	}
	if r.err != nil {
		return nil, r.err
	}
	quantised := r.byte() != 0
	var in rows
	inRows := 0
	if quantised {
		q := r.quantised(int(h.Dim))
		if r.err != nil {
			return nil, r.err
		}
		in, inRows = q, q.rows
	} else {
		if pruned != nil {
			r.fail("a pruned dictionary, but the matrix is not quantised")
		}
		t := r.sparse(int(h.Dim))
		if r.err != nil {
			return nil, r.err
		}
		in, inRows = t, len(t.at)
	}
	expected := d.nwords + int(h.Buckets)
	if pruned != nil {
		expected = d.nwords + len(pruned)
	}
	if inRows < expected {
		r.fail("the input matrix has %d rows, %d were expected", inRows, expected)
	}
	for _, to := range pruned {
		if int(to) < 0 || int(to)+d.nwords >= inRows {
			r.fail("a bucket lies in row %d of %d", int(to)+d.nwords, inRows)
		}
	}
	outQuantised := r.byte() != 0 && quantised
	var out *matrix
	if outQuantised {
		if q := r.quantised(int(h.Dim)); r.err == nil {
			out = q.dense()
		}
	} else {
		out = r.matrix(int(h.Dim))
	}
	if r.err == nil && h.Model == modelSupervised && out.rows < d.labels() {
		r.fail("the output matrix has %d rows, %d were expected", out.rows, d.labels())
	}
	if r.err != nil {
		return nil, r.err
	}
	if h.Model != modelSupervised && out.rows < d.nwords {
		out = nil // left out, as vectors do without
	}
	m := newModel(h, d, in, inRows, out)
	m.pruned = pruned
	return m, nil
}

var errNoModel = errors.New("it does not begin as files of fastText do")

func (r *reader) header() header {
	h := header{
		r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(), r.int32(),
		math.Float64frombits(uint64(r.int64())),
	}
	if r.err != nil {
		return h
	}
	if h.Dim < 1 || h.Dim > 1<<20 || h.WordNgrams < 0 || h.Buckets < 0 || h.MinChar < 0 || h.MaxChar < 0 ||
		h.Loss < lossTree || h.Loss > lossEach || h.Model < modelCBOW || h.Model > modelSupervised {
		r.fail("its parameters are none: %+v", h)
	}
	return h
}

func (r *reader) dictionary() (d *dictionary, pruned map[int32]int32) {
	const (
		leastEntry = 10      // an end of the word, a count, a kind
		mostTokens = 1 << 56 // of which sums do not overflow
	)
	n, nwords, nlabels := r.int32(), r.int32(), r.int32()
	tokens, left := r.int64(), r.int64()
	size := r.count("words", int64(n), leastEntry)
	if r.err == nil && (nwords < 0 || nlabels < 0 || nwords+nlabels != n) {
		r.fail("%d words and %d labels are not %d", nwords, nlabels, n)
	}
	words, counts, sum := make([]string, 0, size), make([]int64, 0, size), int64(0)
	for i := range size {
		words, counts = append(words, r.word()), append(counts, r.int64())
		if kind := r.byte(); r.err == nil && (kind == 0) != (i < int(nwords)) {
			r.fail("word %d is of the kind %d", i+1, kind)
		}
		if sum += counts[i]; r.err == nil && (counts[i] < 0 || counts[i] > mostTokens || sum > mostTokens) {
			r.fail("word %d occurs %d times", i+1, counts[i])
		}
		if r.err != nil {
			return nil, nil
		}
	}
	if left >= 0 {
		pruned = map[int32]int32{}
		for range r.count("buckets", left, 8) {
			from, to := r.int32(), r.int32()
			pruned[from] = to
		}
	}
	if r.err != nil {
		return nil, nil
	}
	return newDictionary(words, counts, int(nwords), tokens), pruned
}

// shape reads the size of a matrix of dim columns.
func (r *reader) shape(dim int) (rows int) {
	n, cols := r.int64(), r.int64()
	rows = r.count("rows", n, 4*int64(dim))
	if r.err == nil && cols != int64(dim) {
		r.fail("a matrix has %d columns, %d were expected", cols, dim)
	}
	return rows
}

// each reads rows and hands out their values, which are used before the next.
func (r *reader) each(rows, dim int, take func(i int, values []float32)) {
	b, values := make([]byte, 4*dim), make([]float32, dim)
	for i := range rows {
		if !r.full(b) {
			return
		}
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
		}
		take(i, values)
	}
}

func (r *reader) matrix(dim int) *matrix {
	m := &matrix{rows: r.shape(dim), dim: dim, stride: vec.Stride(dim)}
	m.v = make([]float32, m.rows*m.stride)
	r.each(m.rows, dim, func(i int, values []float32) { copy(m.row(i), values) })
	return m
}

// sparse reads a matrix without its rows of zeros, which are those of buckets
// that nothing was hashed to.
func (r *reader) sparse(dim int) dense {
	rows := r.shape(dim)
	d := dense{&matrix{dim: dim, stride: vec.Stride(dim)}, make([]int32, rows)}
	r.each(rows, dim, func(i int, values []float32) {
		d.at[i] = -1
		for _, v := range values {
			if v != 0 {
				d.at[i] = int32(d.rows)
				break
			}
		}
		if d.at[i] >= 0 {
			d.rows++
			d.v = append(d.v, make([]float32, d.stride)...)
			copy(d.row(d.rows-1), values)
		}
	})
	return d
}
