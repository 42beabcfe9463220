// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// binned is a training matrix with each value replaced by the number of its
// bin. Bins are numbered through: feature f has the bins ptr[f] to ptr[f+1].
//
// One of three layouts holds the numbers, the first that fits:
//   - words: dense, one byte per feature (bin within the feature), eight
//     features to a uint64, stride words per row. A missing value is 255, and a
//     feature with missing values has at most 255 bins.
//   - shorts: dense, one uint16 per feature; a missing value is 65535.
//   - index: compressed rows of numbered-through bins, ascending; missing
//     values are not stored.
type binned struct {
	rows, cols int
	cuts       []float32 // upper bound of each bin
	keys       []uint32  // sortKey of cuts
	ptr        []uint32  // cols+1
	missing    []bool    // by feature: some row lacks it

	words  []uint64
	stride int

	shorts []uint16

	start []int64
	index []uint32
}

const (
	missingByte  = math.MaxUint8
	missingShort = math.MaxUint16
	// denseShare is the share of stored values from which a sparse matrix is
	// kept dense: a byte per feature costs less than four per stored value.
	denseShare = 0.25
)

// cutting is how a training matrix is cut into bins.
type cutting struct {
	bounds  [][]float32 // by feature: upper bound of each bin
	missing []bool      // by feature: some row lacks it
}

// limitBins holds maxBin within what the layouts of binned can tell apart.
func limitBins(maxBin int) int { return min(max(maxBin, 2), missingShort-1) }

// binsOf is how many bins a feature may have: one byte tells 256, and one of
// them stands for a missing value.
func binsOf(maxBin int, missing bool) int {
	if missing && maxBin == missingByte+1 {
		return missingByte
	}
	return maxBin
}

func infinite(f int) error {
	return algo.ClientErrorf("input data contains an infinite value in feature %d", f)
}

func hasInfinity(values []float32) bool {
	for _, v := range values {
		if math.IsInf(float64(v), 0) {
			return true
		}
	}
	return false
}

// cut finds at most maxBin bins (at least 2) for every column of m. A value
// that is infinite is a client error, as in XGBoost.
func cut(m *algo.Matrix, maxBin, threads int) (cutting, error) {
	maxBin = limitBins(maxBin)
	c := cutting{make([][]float32, m.Cols), make([]bool, m.Cols)}
	columns := columnsOf(m)
	wrong := make([]bool, m.Cols)
	each(threads, m.Cols, func(_, f int) {
		values := columns(f)
		if wrong[f] = hasInfinity(values); wrong[f] {
			return
		}
		c.missing[f] = len(values) < m.Rows
		c.bounds[f] = cutsOf(values, make([]float32, len(values)), binsOf(maxBin, c.missing[f]))
	})
	if f := slices.Index(wrong, true); f >= 0 {
		return c, infinite(f)
	}
	return c, nil
}

// newBinned puts the values of m, which has as many columns as c, into its bins.
func newBinned(m *algo.Matrix, c cutting, threads int) *binned {
	b := &binned{rows: m.Rows, cols: m.Cols, missing: c.missing, ptr: make([]uint32, m.Cols+1)}
	widest := 0
	for f, bounds := range c.bounds {
		b.cuts = append(b.cuts, bounds...)
		b.ptr[f+1] = uint32(len(b.cuts))
		for _, v := range bounds {
			b.keys = append(b.keys, sortKey(v))
		}
		if b.missing[f] {
			widest = max(widest, len(bounds)+1)
		} else {
			widest = max(widest, len(bounds))
		}
	}
	switch {
	case m.Sparse() && float64(len(m.Values)) < denseShare*float64(m.Rows)*float64(m.Cols):
		b.fillIndex(m, threads)
	case widest <= missingByte+1:
		b.fillWords(m, threads)
	default:
		b.fillShorts(m, threads)
	}
	return b
}

// columnsOf gives a function that copies out the present values of a column.
func columnsOf(m *algo.Matrix) func(f int) []float32 {
	if !m.Sparse() {
		return func(f int) []float32 {
			values := make([]float32, 0, m.Rows)
			for at := f; at < m.Rows*m.Cols; at += m.Cols {
				if v := m.Values[at]; v == v {
					values = append(values, v)
				}
			}
			return values
		}
	}
	start := make([]int64, m.Cols+1)
	for i, f := range m.Index {
		if v := m.Values[i]; v == v {
			start[f+1]++
		}
	}
	for f := range m.Cols {
		start[f+1] += start[f]
	}
	values := make([]float32, start[m.Cols])
	next := append([]int64(nil), start[:m.Cols]...)
	for i, f := range m.Index {
		if v := m.Values[i]; v == v {
			values[next[f]] = v
			next[f]++
		}
	}
	return func(f int) []float32 { return values[start[f]:start[f+1]] }
}

// find gives the bin of v, numbered within feature f.
func (b *binned) find(f int, v float32) int {
	keys := b.keys[b.ptr[f]:b.ptr[f+1]]
	key := sortKey(v)
	base, n := 0, len(keys)
	for n > 1 {
		half := n / 2
		// Integers, because a conditional move does this without a branch.
		if next := base + half; keys[next-1] <= key {
			base = next
		}
		n -= half
	}
	return base // the last bound is above every value of the training data
}

func (b *binned) fillWords(m *algo.Matrix, threads int) {
	b.stride = (m.Cols + 7) / 8
	b.words = make([]uint64, m.Rows*b.stride)
	spans(threads, m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row := b.words[r*b.stride : (r+1)*b.stride]
			if m.Sparse() {
				for f := range m.Cols {
					row[f>>3] |= missingByte << (f & 7 * 8)
				}
				for i := m.Start[r]; i < m.Start[r+1]; i++ {
					if v := m.Values[i]; v == v {
						f := int(m.Index[i])
						row[f>>3] ^= uint64(missingByte^b.find(f, v)) << (f & 7 * 8)
					}
				}
				continue
			}
			for f, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
				bin := missingByte
				if v == v {
					bin = b.find(f, v)
				}
				row[f>>3] |= uint64(bin) << (f & 7 * 8)
			}
		}
	})
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

// bin gives the bin of row r within feature f, and false when it is missing.
func (b *binned) bin(r uint32, f int) (int, bool) {
	switch {
	case b.words != nil:
		v := int(b.words[int(r)*b.stride+f>>3] >> (f & 7 * 8) & missingByte)
		return v, !(b.missing[f] && v == missingByte)
	case b.shorts != nil:
		v := int(b.shorts[int(r)*b.cols+f])
		return v, v != missingShort
	}
	lo, hi := b.start[r], b.start[r+1]
	first, end := b.ptr[f], b.ptr[f+1]
	for lo < hi {
		mid := (lo + hi) / 2
		if b.index[mid] < first {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < b.start[r+1] && b.index[lo] < end {
		return int(b.index[lo] - first), true
	}
	return 0, false
}
