// SPDX-License-Identifier: Apache-2.0

package xgboost

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// fillWords fills words and bytes, block by block of rows that fit the cache.
func (b *binned) fillWords(m *algo.Matrix, threads int) {
	const size = 1 << 10 // rows of a block
	b.stride = (m.Cols + 7) / 8
	b.words = make([]uint64, m.Rows*b.stride)
	b.bytes = make([]uint8, m.Rows*m.Cols)
	each(threads, (m.Rows+size-1)/size, func(_, block int) {
		lo := block * size
		hi := min(lo+size, m.Rows)
		if m.Sparse() {
			b.spread(m, lo, hi)
		} else {
			var values [size]float32
			for f := range m.Cols {
				column := values[:hi-lo]
				for i := range column {
					column[i] = m.Values[(lo+i)*m.Cols+f]
				}
				b.findAll(f, column, b.bytes[f*b.rows+lo:f*b.rows+hi])
			}
		}
		for f := range m.Cols {
			word, shift := f>>3, f&7*8
			for i, bin := range b.bytes[f*b.rows+lo : f*b.rows+hi] {
				b.words[(lo+i)*b.stride+word] |= uint64(bin) << shift
			}
		}
	})
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
// find for four values side by side: each waits for its last comparison, and
// the processor has room for more.
func (b *binned) findAll(f int, values []float32, bins []uint8) {
	keys := b.keys[b.ptr[f]:b.ptr[f+1]]
	bins = bins[:len(values)]
	i := 0
	for ; i+4 <= len(values); i += 4 {
		v := (*[4]float32)(values[i:])
		k0, k1, k2, k3 := sortKey(v[0]), sortKey(v[1]), sortKey(v[2]), sortKey(v[3])
		var b0, b1, b2, b3 int
		for n := len(keys); n > 1; {
			half := n / 2
			if next := b0 + half; keys[next-1] <= k0 {
				b0 = next
			}
			if next := b1 + half; keys[next-1] <= k1 {
				b1 = next
			}
			if next := b2 + half; keys[next-1] <= k2 {
				b2 = next
			}
			if next := b3 + half; keys[next-1] <= k3 {
				b3 = next
			}
			n -= half
		}
		out := (*[4]uint8)(bins[i:])
		out[0], out[1], out[2], out[3] = uint8(b0), uint8(b1), uint8(b2), uint8(b3)
	}
	for ; i < len(values); i++ {
		bins[i] = uint8(b.find(f, values[i]))
	}
	if b.missing[f] {
		for i, v := range values {
			if v != v {
				bins[i] = missingByte
			}
		}
	}
}

func (b *binned) fillShorts(m *algo.Matrix, threads int) {
	b.shorts = make([]uint16, m.Rows*m.Cols)
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
	})
}

func (b *binned) fillIndex(m *algo.Matrix, threads int) {
	b.start = make([]int64, m.Rows+1)
	for r := range m.Rows {
		n := int64(0)
		for i := m.Start[r]; i < m.Start[r+1]; i++ {
			if v := m.Values[i]; v == v {
				n++
			}
		}
		b.start[r+1] = b.start[r] + n
	}
	b.index = make([]uint32, b.start[m.Rows])
	spans(threads, m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			at := b.start[r]
			for i := m.Start[r]; i < m.Start[r+1]; i++ {
				if v := m.Values[i]; v == v {
					f := int(m.Index[i])
					b.index[at] = b.ptr[f] + uint32(b.find(f, v))
					at++
				}
			}
		}
	})
}
