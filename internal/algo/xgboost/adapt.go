// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// median is XGBoost's: without weights it lies between the two values in the
// middle, with weights it is the first value at which half of the weight is
// reached. pick gives the rows' values in an order of its own and may be
// reordered; weight is nil for equal ones. It is NaN of no values.
func median(values []float32, weight func(i int) float32) float32 {
	n := len(values)
	if n == 0 {
		return float32(math.NaN())
	}
	if weight == nil {
		slices.Sort(values)
		if n%2 == 1 {
			return values[n/2]
		}
		lo, hi := values[n/2-1], values[n/2]
		return float32(float64(lo) + 0.5*float64(hi-lo))
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	sums := make([]float32, n)
	var sum float32
	for i, at := range order {
		sum += weight(at)
		sums[i] = sum
	}
	half := sum * 0.5
	at, _ := slices.BinarySearch(sums, half)
	return values[order[min(at, n-1)]]
}

// medianLabel is the intercept of reg:absoluteerror: the median of the labels.
// Of several hosts it is the mean of theirs, each by the weight of its rows, as
// in XGBoost.
func medianLabel(ctx context.Context, peers *collective.Group, m *algo.Matrix) ([]float32, error) {
	var weight func(i int) float32
	total := float64(m.Rows)
	if m.Weight != nil {
		weight = func(i int) float32 { return m.Weight[i] }
		total = 0
		for _, w := range m.Weight {
			total += float64(w)
		}
	}
	if peers.Size() == 1 {
		return []float32{median(slices.Clone(m.Label), weight)}, nil
	}
	v := []float64{0, total}
	if m.Rows > 0 {
		v[0] = float64(median(slices.Clone(m.Label), weight)) * total
	}
	if err := peers.SumFloats(ctx, v); err != nil {
		return nil, err
	}
	return []float32{float32(v[0] / max(v[1], smallest))}, nil
}

// leavesToMedians makes each leaf of a grown tree eta times the median of what
// the model leaves of the labels of its rows: the best leaf for the absolute
// error, which its derivatives do not tell. Rows that subsample left out do not
// count. Of several hosts it is the mean of the medians of those that have rows
// there.
func (t *booster) leavesToMedians(ctx context.Context, grown *grown, k int) error {
	m, width := t.sets[0].m, t.o.classes
	nodes := len(grown.left)
	// The leaf of each row, found by a tree whose leaves are their own numbers.
	value := grown.value
	grown.value = slices.Clone(value)
	for at := range nodes {
		if grown.left[at] < 0 {
			grown.value[at] = float32(at)
		}
	}
	leaf := make([]float32, m.Rows)
	t.grow.addLeaves(grown, leaf, 1, 0)
	grown.value = value
	rows := make([][]int32, nodes)
	out := leftOut(t.grow)
	for r, at := range leaf {
		if out == nil || !out[r] {
			rows[int(at)] = append(rows[int(at)], int32(r))
		}
	}
	found := make([]float64, 2*nodes) // medians, and how many hosts have one
	vec.Parallel(t.workers, nodes, func(_, at int) {
		if len(rows[at]) == 0 {
			return
		}
		left := make([]float32, len(rows[at]))
		for j, r := range rows[at] {
			left[j] = m.Label[r] - t.before[int(r)*width+k]
		}
		var weight func(j int) float32
		if m.Weight != nil {
			weight = func(j int) float32 { return m.Weight[rows[at][j]] }
		}
		found[2*at], found[2*at+1] = float64(median(left, weight)), 1
	})
	if err := t.peers.SumFloats(ctx, found); err != nil {
		return err
	}
	eta := float32(t.eta / float64(t.parallelTrees))
	for at := range nodes {
		if hosts := found[2*at+1]; hosts > 0 {
			grown.value[at] = float32(found[2*at]/hosts) * eta
		}
	}
	return nil
}

// leftOut says which rows subsample left out of the tree grown last; nil for none.
func leftOut(m maker) []bool {
	switch m := m.(type) {
	case *grower:
		return m.out
	case *sketcher:
		return m.out
	case *exact:
		return m.out
	}
	return nil
}
