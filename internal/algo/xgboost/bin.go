// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// binned is a training matrix with each value replaced by the number of its
// bin. Bins are numbered through: feature f has the bins ptr[f] to ptr[f+1].
//
// One of three layouts holds the numbers, the first that fits:
//   - words: dense, one byte per feature (bin within the feature), eight
//     features to a uint64, stride words per row. A missing value is 255, and a
//     feature with missing values has at most 255 bins. The same bytes lie
//     column by column in bytes: histograms want the features of a row together,
//     partitions one feature of many rows.
//   - shorts: dense, one uint16 per feature; a missing value is 65535.
//   - index: compressed rows of numbered-through bins, ascending; missing
//     values are not stored. Where not too much of it is empty there is bytes too.
type binned struct {
	rows, cols int
	cuts       []float32 // upper bound of each bin
	keys       []uint32  // sortKey of cuts
	ptr        []uint32  // cols+1
	missing    []bool    // by feature: some row lacks it

	words  []uint64
	stride int
	bytes  []uint8 // feature f has bytes[f*rows:(f+1)*rows]

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
	// columnShare is that from which bytes are worth their memory: finding a
	// feature in a compressed row takes ten times as long.
	columnShare = 1. / 16
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
// that is infinite is a client error, as in XGBoost. memory is where m lies.
func cut(memory *spill.Space, m *algo.Matrix, maxBin, threads int) (cutting, error) {
	maxBin = limitBins(maxBin)
	c := cutting{make([][]float32, m.Cols), make([]bool, m.Cols)}
	wrong := make([]bool, m.Cols)
	eachColumn(memory, m, threads, 0, m.Cols, func(f int, values, tmp []float32) {
		if wrong[f] = hasInfinity(values); wrong[f] {
			return
		}
		c.missing[f] = len(values) < m.Rows
		c.bounds[f] = cutsOf(values, tmp, binsOf(maxBin, c.missing[f]))
	})
	if f := slices.Index(wrong, true); f >= 0 {
		return c, infinite(f)
	}
	return c, nil
}

// newBinned puts the values of m, which has as many columns as c, into its bins.
// Both lie in memory. The error is that of the disk.
func newBinned(memory *spill.Space, m *algo.Matrix, c cutting, threads int) (*binned, error) {
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
	share := 1.
	if m.Sparse() {
		share = float64(len(m.Values)) / (float64(m.Rows) * float64(m.Cols))
	}
	var err error
	switch {
	case share < denseShare:
		if share >= columnShare && widest <= missingByte+1 {
			err = b.fillBytes(memory, m, threads)
		}
		if err == nil {
			err = b.fillIndex(memory, m, threads)
		}
	case widest <= missingByte+1:
		err = b.fillWords(memory, m, threads)
	default:
		err = b.fillShorts(memory, m, threads)
	}
	spill.Rest(memory, m.Values)
	spill.Rest(memory, m.Index)
	return b, err
}

// find gives the bin of v, numbered within feature f.
func (b *binned) find(f int, v float32) int {
	keys := b.keys[b.ptr[f]:b.ptr[f+1]]
	key := int64(sortKey(v))
	base, n := 0, len(keys)
	for n > 1 {
		half := n / 2
		// All ones where the bound is not above key: a branch would be foretold
		// wrongly every other time.
		base += half & int((int64(keys[base+half-1])-key-1)>>63)
		n -= half
	}
	return base // the last bound is above every value of the training data
}

// bin gives the bin of row r within feature f, and false when it is missing.
func (b *binned) bin(r uint32, f int) (int, bool) {
	switch {
	case b.bytes != nil:
		v := int(b.bytes[f*b.rows+int(r)])
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
