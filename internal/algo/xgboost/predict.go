// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Predict gives, for each row, what XGBoost's predict gives: a probability for
// logistic objectives, a mean for count:poisson and its like, the class for
// multi:softmax, one probability per class for multi:softprob, the margin for
// the rest. Columns that rows lack are missing values; a row with more columns
// than the model has features is a client error.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	p, err := m.PredictMargin(ctx, rows)
	if err != nil {
		return p, err
	}
	t := transformOf(m.objective)
	t.apply(p.Values, p.Width)
	if t == toClass {
		for i := range rows.Rows {
			p.Values[i] = p.Values[i*p.Width]
		}
		p.Values, p.Width = p.Values[:rows.Rows], 1
	}
	return p, nil
}

// PredictMargin gives the sums of the leaves and the intercept: one number per
// row, or one per class.
func (m *Model) PredictMargin(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	if rows.Cols > m.features {
		return algo.Prediction{}, algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d", m.features, rows.Cols)
	}
	p := algo.Prediction{Values: make([]float32, rows.Rows*m.width), Width: m.width}
	for at := 0; at < len(p.Values); at += m.width {
		copy(p.Values[at:], m.margins)
	}
	f := forest{m.nodes, m.roots, m.class, m.width, m.touched}
	return p, f.add(ctx, rows, p.Values, runtime.GOMAXPROCS(0))
}

// forest is flattened trees and what is needed to walk them.
type forest struct {
	nodes   []node
	roots   []int32
	class   []int32 // by tree
	width   int
	touched int // 1 + the largest feature in use
}

const (
	// batch is how many rows at most walk a tree before the next tree is
	// fetched, and batchKeys how many values they may have together.
	batch     = 64
	batchKeys = 1 << 15
	// steadyWork is how many walks are worth a goroutine.
	steadyWork = 1 << 13
	// widestRow is up to how many features a sparse row is spread out; beyond,
	// its values are searched for.
	widestRow = 1 << 18
)

// missingKey stands for a missing value among sort keys; it is none itself.
const missingKey = math.MaxUint32

// add adds the leaves of every row to margins, rows×width.
func (f forest) add(ctx context.Context, m *algo.Matrix, margins []float32, threads int) error {
	if threads <= 1 || m.Rows <= batch || m.Rows*len(f.roots) < steadyWork {
		for lo := 0; lo < m.Rows && ctx.Err() == nil; lo += batch {
			f.addRows(m, margins, lo, min(lo+batch, m.Rows))
		}
		return ctx.Err()
	}
	each(threads, (m.Rows+batch-1)/batch, func(_, i int) {
		if ctx.Err() == nil {
			f.addRows(m, margins, i*batch, min((i+1)*batch, m.Rows))
		}
	})
	return ctx.Err()
}

// keyPool keeps slices of missingKey for reuse.
var keyPool sync.Pool

// addRows spreads rows lo to hi out as sort keys, a few at a time, and adds
// their leaves.
func (f forest) addRows(m *algo.Matrix, margins []float32, lo, hi int) {
	if m.Sparse() && f.touched > widestRow {
		for r := lo; r < hi; r++ {
			for t, root := range f.roots {
				margins[r*f.width+int(f.class[t])] += f.search(root, m, r)
			}
		}
		return
	}
	few := min(max(batchKeys/max(f.touched, 1), 1), hi-lo)
	kept, _ := keyPool.Get().(*[]uint32)
	if kept == nil || len(*kept) < few*f.touched {
		kept = new(slices.Repeat([]uint32{missingKey}, few*f.touched))
	}
	defer keyPool.Put(kept)
	for ; lo < hi; lo += few {
		n := min(few, hi-lo)
		keys := (*kept)[:n*f.touched]
		f.spread(m, lo, keys)
		for t, root := range f.roots {
			class := int(f.class[t])
			for i := range n {
				margins[(lo+i)*f.width+class] += walk(f.nodes, root, keys[i*f.touched:(i+1)*f.touched])
			}
		}
		if !m.Sparse() {
			for i := range keys {
				keys[i] = missingKey
			}
			continue
		}
		for i := range n {
			for _, c := range m.Index[m.Start[lo+i]:m.Start[lo+i+1]] {
				if int(c) < f.touched {
					keys[i*f.touched+int(c)] = missingKey
				}
			}
		}
	}
}

// spread writes the sort keys of the features in use of the rows from lo on
// into keys, which is all missingKey.
func (f forest) spread(m *algo.Matrix, lo int, keys []uint32) {
	for r := lo; len(keys) > 0 && f.touched > 0; r++ {
		row := keys[:f.touched]
		keys = keys[f.touched:]
		if m.Sparse() {
			for i := m.Start[r]; i < m.Start[r+1]; i++ {
				if v := m.Values[i]; v == v && int(m.Index[i]) < f.touched {
					row[m.Index[i]] = sortKey(v)
				}
			}
			continue
		}
		values := m.Values[r*m.Cols : (r+1)*m.Cols]
		for i, v := range values[:min(len(values), f.touched)] {
			if v == v {
				row[i] = sortKey(v)
			}
		}
	}
}

// walk goes from root to the leaf of a row of sort keys. Which way a value
// sends it cannot be foretold, so that is arithmetic and not a branch.
func walk(nodes []node, at int32, row []uint32) float32 {
	for {
		n := &nodes[at]
		if n.left < 0 {
			return n.leaf
		}
		key := row[n.feature&^missingLeftBit]
		if key == missingKey {
			at = n.left + int32(^n.feature>>31)
			continue
		}
		at = n.left + 1 + int32((int64(key)-int64(n.bound))>>63)
	}
}

// search is walk on a sparse row, each value found by bisection.
func (f forest) search(at int32, m *algo.Matrix, r int) float32 {
	index := m.Index[m.Start[r]:m.Start[r+1]]
	values := m.Values[m.Start[r]:m.Start[r+1]]
	for {
		n := &f.nodes[at]
		if n.left < 0 {
			return n.leaf
		}
		key := uint32(missingKey)
		if i, ok := slices.BinarySearch(index, int32(n.feature&^missingLeftBit)); ok && values[i] == values[i] {
			key = sortKey(values[i])
		}
		switch {
		case key == missingKey:
			at = n.left + int32(^n.feature>>31)
		case key < n.bound:
			at = n.left
		default:
			at = n.left + 1
		}
	}
}
