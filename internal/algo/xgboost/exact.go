// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// exact grows trees level by level by weighing every bound between two values
// of the rows of a node: tree_method exact. Each level reads every column once,
// sorted. It takes all rows in one place.
//
// Source: Chen and Guestrin, KDD 2016, algorithm 1, "exact greedy".
type exact struct {
	regular
	m       *algo.Matrix
	columns []column // sorted by value
	prune   bool
	threads int
	seed    uint64

	at      []posted // by row
	was     []int32  // by row: the open node of the level before
	leaf    []int32  // by row: the node that it came to rest in
	out     []bool   // by row: left out by subsample; nil when all are in use
	workers []reader
}

// reader is what a worker knows of the open nodes.
type reader struct {
	of    []evaluator
	scans []scan
	bids  []bid // the best of each node among the columns that it has read
}

// column is the rows that have a feature, and its values.
type column struct {
	rows   []uint32
	values []float32
}

// posted is where a row is: the open node, -1 for none, and its gradient pair.
type posted struct {
	node int32
	g, h int32
}

// exactBits is how many bits the parts of a pair have in posted. Integer sums
// do not depend on the order, so that features which divide the rows alike gain
// alike, and the first wins.
const exactBits = 30

// scan is what one pass over a column knows of an open node.
type scan struct {
	sums
	last float32
}

// bid is a split of an open node.
type bid struct {
	feature     int
	gain        float64
	bound       float32
	missingLeft bool
	left        sums
}

// columnsWithRows gives the columns of m.
func columnsWithRows(m *algo.Matrix) []column {
	columns := make([]column, m.Cols)
	if !m.Sparse() {
		for f := range columns {
			c := &columns[f]
			for r := range m.Rows {
				if v := m.Values[r*m.Cols+f]; v == v {
					c.rows, c.values = append(c.rows, uint32(r)), append(c.values, v)
				}
			}
		}
		return columns
	}
	for r := range m.Rows {
		for i := m.Start[r]; i < m.Start[r+1]; i++ {
			if v := m.Values[i]; v == v {
				c := &columns[m.Index[i]]
				c.rows, c.values = append(c.rows, uint32(r)), append(c.values, v)
			}
		}
	}
	return columns
}

// sort orders the rows by value, those of one value as they came.
func (c *column) sort() {
	keys := make([]uint64, len(c.rows))
	for i, v := range c.values {
		keys[i] = uint64(sortKey(v))<<32 | uint64(i)
	}
	slices.Sort(keys)
	sorted := column{make([]uint32, len(keys)), make([]float32, len(keys))}
	for i, k := range keys {
		at := uint32(k)
		sorted.rows[i], sorted.values[i] = c.rows[at], c.values[at]
	}
	*c = sorted
}

// newExact sorts the columns of m.
func newExact(m *algo.Matrix, p regular, prune bool, threads int, seed uint64) (*exact, error) {
	x := &exact{
		regular: p, m: m, columns: columnsWithRows(m), prune: prune, threads: threads, seed: seed,
		at: make([]posted, m.Rows), was: make([]int32, m.Rows), leaf: make([]int32, m.Rows), workers: make([]reader, threads),
	}
	wrong := make([]bool, m.Cols)
	vec.Parallel(threads, m.Cols, func(_, f int) {
		wrong[f] = hasInfinity(x.columns[f].values)
		x.columns[f].sort()
	})
	if f := slices.Index(wrong, true); f >= 0 {
		return nil, fmt.Errorf("train channel: %w", infinite(f))
	}
	return x, nil
}

// grow grows one tree; see maker.
func (x *exact) grow(ctx context.Context, pairs []gradPair, number uint64) (*grown, error) {
	sampler := &grower{regular: x.regular, seed: x.seed, threads: x.threads, place: place{all: uint64(x.m.Rows)}}
	pairs, err := sampler.sample(ctx, pairs, number)
	if err != nil {
		return nil, err
	}
	x.out = sampler.out
	unitG, unitH, err := x.post(pairs)
	if err != nil {
		return nil, err
	}
	t := &grown{}
	columns := newColumns(x.regular, len(x.columns), x.seed, number)
	var total sums
	for _, p := range x.at {
		if p.node == 0 {
			total = total.plus(sums{int64(p.g), int64(p.h)})
		}
	}
	g := &grower{regular: x.regular}
	g.q.unitG, g.q.unitH = unitG, unitH
	root := &openNode{total: total}
	root.fence = x.unfenced(float64(total.g)*unitG, float64(total.h)*unitH)
	root.id = g.leaf(t, -1, total, root.fence)
	// The nodes of a level that are open; posted.node counts in it.
	for level := []*openNode{root}; len(level) > 0; {
		level = x.level(t, g, level, columns)
	}
	if x.prune {
		if rest := t.prune(&x.regular); rest != nil {
			for r, at := range x.leaf {
				x.leaf[r] = rest[at]
			}
		}
	}
	return t, nil
}

// post puts every row in use at the root.
func (x *exact) post(pairs []gradPair) (unitG, unitH float64, err error) {
	var mg, mh float32
	for _, p := range pairs {
		mg, mh = max(mg, float32(math.Abs(float64(p.g)))), max(mh, p.h)
	}
	if !(mg <= math.MaxFloat32 && mh <= math.MaxFloat32) {
		return 0, 0, errDiverged
	}
	unitG, unitH = unit(float64(mg), exactBits), unit(float64(mh), exactBits)
	spans(x.threads, len(pairs), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			p := pairs[r]
			x.at[r] = posted{0, int32(math.RoundToEven(float64(p.g) / unitG)), int32(math.RoundToEven(float64(p.h) / unitH))}
			x.leaf[r] = 0
			if x.out != nil && x.out[r] {
				x.at[r].node = -1
			}
		}
	})
	return unitG, unitH, nil
}

// level splits the nodes of a level and gives those of the next.
func (x *exact) level(t *grown, g *grower, level []*openNode, columns *columns) []*openNode {
	if level[0].depth >= x.maxDepth {
		return nil
	}
	allowed := make([]bool, len(level)) // may be split at all
	evaluators := make([]evaluator, len(level))
	for i, n := range level {
		allowed[i] = float64(n.total.h)*g.q.unitH >= 2*x.minChildWeight
		e := evaluator{
			regular: &x.regular, unitG: g.q.unitG, unitH: g.q.unitH,
			g: float64(n.total.g) * g.q.unitG, h: float64(n.total.h) * g.q.unitH,
			simple: x.maxDeltaStep == 0 && x.alpha == 0 && x.monotone == nil,
			fence:  n.fence,
		}
		if e.whole = x.gain(e.g, e.h); n.fence != nil {
			// Here a node's own bounds hold, where hist takes its parent's.
			e.whole = x.gainWithin(n.fence, e.g, e.h)
		}
		evaluators[i] = e
	}
	for i := range x.workers {
		w := &x.workers[i]
		w.of, w.scans, w.bids = slices.Clone(evaluators), make([]scan, len(level)), make([]bid, len(level))
	}
	features, open := x.open(level, allowed, columns)
	vec.Parallel(x.threads, len(features), func(worker, i int) {
		f := features[i]
		x.workers[worker].read(x, int(f), level, open(f))
	})
	var next []*openNode
	bids := make([]bid, len(level))
	places := make([][2]int32, len(level)) // of the children in next
	for i, n := range level {
		best := &bids[i]
		for w := range x.workers {
			b := &x.workers[w].bids[i]
			if b.gain > best.gain || b.gain == best.gain && b.gain > 0 && b.feature < best.feature {
				*best = *b
			}
		}
		if places[i] = [2]int32{-1, -1}; best.gain <= minGain {
			continue
		}
		n.best = split{gain: best.gain, feature: best.feature, missingLeft: best.missingLeft, left: best.left}
		left, right := g.splitAt(t, n, best.bound)
		places[i] = [2]int32{int32(len(next)), int32(len(next)) + 1}
		next = append(next, left, right)
	}
	x.move(level, bids, places, next)
	return next
}

// open gives the features that some node of a level may split, ascending, and
// which nodes may split one.
func (x *exact) open(level []*openNode, allowed []bool, columns *columns) (features []int32, open func(f int32) []bool) {
	if x.meet == nil && x.byNode == 1 { // the same for all
		return columns.of(level[0]), func(int32) []bool { return allowed }
	}
	by := map[int32][]bool{}
	for i, n := range level {
		if !allowed[i] {
			continue
		}
		for _, f := range n.fence.among(columns.of(n)) {
			if by[f] == nil {
				by[f] = make([]bool, len(level))
				features = append(features, f)
			}
			by[f][i] = true
		}
	}
	slices.Sort(features)
	return features, func(f int32) []bool { return by[f] }
}

// read weighs the bounds of column f for the open nodes that are allowed: from
// the largest value down, with missing values on the left, and before that, where
// there are some, from the smallest up, with them on the right.
func (w *reader) read(x *exact, f int, level []*openNode, allowed []bool) {
	c := &x.columns[f]
	if len(c.rows) == 0 {
		return
	}
	for i := range w.of {
		w.of[i].direction = x.direction(f)
	}
	if constant := c.values[0] == c.values[len(c.values)-1]; len(c.rows) < x.m.Rows && !constant {
		w.pass(x, f, 1, level, allowed)
	}
	w.pass(x, f, -1, level, allowed)
}

// pass is one direction of read.
func (w *reader) pass(x *exact, f, step int, level []*openNode, allowed []bool) {
	clear(w.scans)
	c := &x.columns[f]
	var ahead [32]posted // fetched together, so that one does not wait for the other
	for done := 0; done < len(c.rows); done += len(ahead) {
		n := min(len(ahead), len(c.rows)-done)
		lo := done
		if step < 0 {
			lo = len(c.rows) - done - n
		}
		rows, values := c.rows[lo:lo+n], c.values[lo:lo+n]
		for i, r := range rows {
			ahead[i] = x.at[r]
		}
		for k := range n {
			i := k
			if step < 0 {
				i = n - 1 - k
			}
			p := &ahead[i]
			at := p.node
			if at < 0 || !allowed[at] {
				continue
			}
			s, v := &w.scans[at], values[i]
			if v != s.last && s.h != 0 {
				bound := (v + s.last) * 0.5
				if bound == v { // two neighbours among the floats
					bound = s.last
				}
				w.weigh(f, step, level, at, bound)
			}
			s.g += int64(p.g)
			s.h += int64(p.h)
			s.last = v
		}
	}
	for at := range w.scans {
		// All rows that have the feature on one side.
		if s := &w.scans[at]; s.h != 0 {
			gap := float32(math.Abs(float64(s.last))) + minGain
			if step < 0 {
				gap = -gap
			}
			w.weigh(f, step, level, int32(at), s.last+gap)
		}
	}
}

// weigh tries the split of open node at that has what was scanned on one side.
func (w *reader) weigh(f, step int, level []*openNode, at int32, bound float32) {
	left := w.scans[at].sums
	if step < 0 {
		left = level[at].total.minus(left)
	}
	if e := &w.of[at]; e.try(left) {
		w.bids[at] = bid{f, e.found.gain, bound, step < 0, left}
	}
}

// move sends the rows of the split nodes to their children, and lets the others
// rest.
func (x *exact) move(level []*openNode, bids []bid, places [][2]int32, next []*openNode) {
	// First all go where missing values do, then those that have the feature are
	// put right.
	was := x.was
	spans(x.threads, x.m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			p := &x.at[r]
			if was[r] = p.node; p.node < 0 {
				continue
			}
			at := p.node
			x.leaf[r] = level[at].id
			if p.node = places[at][0]; p.node >= 0 && !level[at].best.missingLeft {
				p.node = places[at][1]
			}
			if p.node >= 0 {
				x.leaf[r] = next[p.node].id
			}
		}
	})
	var features []int
	for i, b := range bids {
		if places[i][0] >= 0 {
			features = append(features, b.feature)
		}
	}
	slices.Sort(features)
	features = slices.Compact(features)
	// Each row is moved by the one feature of its node.
	vec.Parallel(x.threads, len(features), func(_, k int) {
		f := features[k]
		c := &x.columns[f]
		for i, r := range c.rows {
			at := was[r]
			if at < 0 || places[at][0] < 0 || bids[at].feature != f {
				continue
			}
			side := 1
			if c.values[i] < bids[at].bound {
				side = 0
			}
			x.at[r].node = places[at][side]
			x.leaf[r] = next[places[at][side]].id
		}
	})
}

// addLeaves adds the leaves of t, the tree grown last; see maker.
func (x *exact) addLeaves(t *grown, margins []float32, width, k int) {
	f := forest{width: width}
	if x.out != nil {
		// The rows that had no part in growing t are walked down.
		if err := f.grow(&t.tree, int32(k), len(x.columns)); err != nil {
			panic(err) // t was just grown
		}
	}
	spans(x.threads, x.m.Rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			if x.out != nil && x.out[r] {
				f.addRows(x.m, margins, r, r+1)
			} else {
				margins[r*width+k] += t.value[x.leaf[r]]
			}
		}
	})
}
