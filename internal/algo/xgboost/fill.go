// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// block is how many rows are put into their bins together: they fit the cache.
const block = 1 << 10

// fillBytes fills bytes.
func (b *binned) fillBytes(memory *spill.Space, m *algo.Matrix, threads int) (err error) {
	if b.bytes, err = spill.Make[uint8](memory, m.Rows*m.Cols); err != nil {
		return err
	}
	vec.Stretches(threads, m.Rows, block, func(_, lo, hi int) {
		if m.Sparse() {
			b.spread(m, lo, hi)
			return
		}
		defer spill.Rest(memory, m.Values[lo*m.Cols:hi*m.Cols])
		var values [block]float32
		for f := range m.Cols {
			column := values[:hi-lo]
			for i := range column {
				column[i] = m.Values[(lo+i)*m.Cols+f]
			}
			b.findAll(f, column, b.bytes[f*b.rows+lo:f*b.rows+hi])
		}
	})
	return nil
}

// fillWords fills words and bytes.
func (b *binned) fillWords(memory *spill.Space, m *algo.Matrix, threads int) (err error) {
	if err := b.fillBytes(memory, m, threads); err != nil {
		return err
	}
	b.stride = (m.Cols + 7) / 8
	if b.words, err = spill.Make[uint64](memory, m.Rows*b.stride); err != nil {
		return err
	}
	vec.Stretches(threads, m.Rows, block, func(_, lo, hi int) {
		for f := range m.Cols {
			word, shift := f>>3, f&7*8
			for i, bin := range b.bytes[f*b.rows+lo : f*b.rows+hi] {
				b.words[(lo+i)*b.stride+word] |= uint64(bin) << shift
			}
		}
	})
	return nil
}

// spread writes the bins of the sparse rows from lo to hi to bytes.
func (b *binned) spread(m *algo.Matrix, lo, hi int) {
	for f := range m.Cols {
		column := b.bytes[f*b.rows+lo : f*b.rows+hi]
		for i := range column {
			column[i] = missingByte
		}
	}
	for r := lo; r < hi; r++ {
		for i := m.Start[r]; i < m.Start[r+1]; i++ {
			if v := m.Values[i]; v == v {
				f := int(m.Index[i])
				b.bytes[f*b.rows+r] = uint8(b.find(f, v))
			}
		}
	}
}

// findAll gives the bins of values within feature f, missingByte for NaN. It is
// find without a branch, which would be foretold wrongly every other time.
func (b *binned) findAll(f int, values []float32, bins []uint8) {
	// How many bounds, but for the last, a value is not below is its bin. Those
	// that are not there are above all.
	var bounds [missingByte + 1]int64
	keys := b.keys[b.ptr[f]:b.ptr[f+1]]
	for i := range bounds {
		bounds[i] = math.MaxUint32
		if i < len(keys)-1 {
			bounds[i] = int64(keys[i])
		}
	}
	bins = bins[:len(values)]
	for i, v := range values {
		k := int64(sortKey(v))
		at := (bounds[127] - k - 1) >> 63 & 128 // 128 where the bound is not above k
		at |= (bounds[uint8(at+63)] - k - 1) >> 63 & 64
		at |= (bounds[uint8(at+31)] - k - 1) >> 63 & 32
		at |= (bounds[uint8(at+15)] - k - 1) >> 63 & 16
		at |= (bounds[uint8(at+7)] - k - 1) >> 63 & 8
		at |= (bounds[uint8(at+3)] - k - 1) >> 63 & 4
		at |= (bounds[uint8(at+1)] - k - 1) >> 63 & 2
		at |= (bounds[uint8(at)] - k - 1) >> 63 & 1
		bins[i] = uint8(at)
	}
	if b.missing[f] {
		for i, v := range values {
			if v != v {
				bins[i] = missingByte
			}
		}
	}
}

func (b *binned) fillShorts(memory *spill.Space, m *algo.Matrix, threads int) (err error) {
	if b.shorts, err = spill.Make[uint16](memory, m.Rows*m.Cols); err != nil {
		return err
	}
	spans(threads, m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row := b.shorts[r*m.Cols : (r+1)*m.Cols]
			for f := range row {
				row[f] = missingShort
			}
			if m.Sparse() {
				for i := m.Start[r]; i < m.Start[r+1]; i++ {
					if v := m.Values[i]; v == v {
						row[m.Index[i]] = uint16(b.find(int(m.Index[i]), v))
					}
				}
				continue
			}
			for f, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
				if v == v {
					row[f] = uint16(b.find(f, v))
				}
			}
		}
		if !m.Sparse() {
			spill.Rest(memory, m.Values[lo*m.Cols:hi*m.Cols])
		}
	})
	return nil
}

func (b *binned) fillIndex(memory *spill.Space, m *algo.Matrix, threads int) (err error) {
	if b.start, err = spill.Make[int64](memory, m.Rows+1); err != nil {
		return err
	}
	for r := range m.Rows {
		n := int64(0)
		for i := m.Start[r]; i < m.Start[r+1]; i++ {
			if v := m.Values[i]; v == v {
				n++
			}
		}
		b.start[r+1] = b.start[r] + n
	}
	if b.index, err = spill.Make[uint32](memory, int(b.start[m.Rows])); err != nil {
		return err
	}
	spans(threads, m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			at := b.start[r]
			for i := m.Start[r]; i < m.Start[r+1]; i++ {
				if v := m.Values[i]; v == v {
					f := int(m.Index[i])
					if b.bytes != nil {
						b.index[at] = b.ptr[f] + uint32(b.bytes[f*b.rows+r])
					} else {
						b.index[at] = b.ptr[f] + uint32(b.find(f, v))
					}
					at++
				}
			}
		}
	})
	return nil
}
