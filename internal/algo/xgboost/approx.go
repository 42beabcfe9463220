// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// sketcher grows trees by histogram, with bins made anew for each: tree_method
// approx. The bins of a feature hold about equally much of the second
// derivatives, so that there are more of them where the loss still bends.
//
// Source: Chen and Guestrin, KDD 2016, section 3.2, the global variant of the
// approximate algorithm, and appendix A.
type sketcher struct {
	*grower
	t       *booster
	m       *algo.Matrix
	plain   cutting // as of hist
	columns []column
	memory  *spill.Space // of the bins; nil while they are plain
}

// sketchBits is how many bits the weight of one of so many rows has, at most. A
// summary tells of less than 2^40 per value.
func sketchBits(rows uint64) int { return min(max(39-bits.Len64(rows), 4), 20) }

// bends tells whether the second derivatives of an objective change. Where they
// do not the bins stay those of hist, as in XGBoost.
func bends(objective string) bool {
	return objective != "reg:squarederror" && objective != "reg:absoluteerror"
}

// newSketcher makes one of g, whose bins are plain.
func newSketcher(t *booster, m *algo.Matrix, g *grower, plain cutting) *sketcher {
	return &sketcher{grower: g, t: t, m: m, plain: plain}
}

// grow grows one tree; see maker.
func (s *sketcher) grow(ctx context.Context, pairs []gradPair, number uint64) (*grown, error) {
	if bends(s.t.o.name) {
		if err := s.rebin(ctx, pairs); err != nil {
			return nil, err
		}
	}
	return s.grower.grow(ctx, pairs, number)
}

// rebin makes bins for pairs.
func (s *sketcher) rebin(ctx context.Context, pairs []gradPair) error {
	most := 0.0
	weight := make([]float32, len(pairs))
	for r, p := range pairs {
		w := p.h
		if len(s.m.Weight) == s.m.Rows { // not by query group
			w *= s.m.Weight[r] // they count once more, as in XGBoost
		}
		weight[r] = w
		most = max(most, float64(w))
	}
	bound := []float64{most}
	if err := s.t.peers.MaxFloats(ctx, bound); err != nil {
		return err
	}
	if !(bound[0] <= math.MaxFloat32) {
		return errDiverged
	}
	perUnit := 1 / unit(bound[0], sketchBits(s.place.all))
	heavy := make([]int, len(pairs))
	for r, w := range weight {
		heavy[r] = max(1, int(float64(w)*perUnit))
	}
	bins, err := s.cut(ctx, heavy)
	if err != nil {
		return err
	}
	p := s.grower
	// The bins of the tree before are given back, in memory or in files.
	memory := spill.Of(s.t.memory.Scratch())
	b, err := newBinned(memory, s.m, bins, p.threads)
	if err != nil {
		memory.Close()
		return err
	}
	s.memory.Close()
	s.memory = memory
	s.grower = newGrower(b, p.regular, p.threads, p.seed, p.place)
	return nil
}

// cut finds the bins of rows of such weights. With several hosts it is the same
// as on one, but for what cutAcross tells of.
func (s *sketcher) cut(ctx context.Context, heavy []int) (cutting, error) {
	if s.columns == nil {
		s.columns = columnsWithRows(s.m)
		vec.Parallel(s.threads, len(s.columns), func(_, f int) { s.columns[f].sort() })
	}
	maxBin := limitBins(s.maxBin)
	c := cutting{make([][]float32, s.m.Cols), s.plain.missing}
	finish := func(f int, runs []run) {
		c.bounds[f] = sketchCuts(runs, binsOf(maxBin, c.missing[f]))
		if s.cats != nil && s.cats[f] {
			c.bounds[f] = s.plain.bounds[f]
		}
	}
	if s.t.peers.Size() == 1 {
		vec.Parallel(s.threads, s.m.Cols, func(_, f int) { finish(f, s.columns[f].runs(heavy)) })
		return c, nil
	}
	most := summaryRuns * maxBin
	if s.t.exact > 0 {
		most = mostRuns(maxBin, s.t.exact)
	}
	rows := []float64{float64(s.m.Rows)}
	if err := s.t.peers.MaxFloats(ctx, rows); err != nil {
		return c, err
	}
	group := summaryFeatures(most, int(rows[0]))
	for from := 0; from < s.m.Cols; from += group {
		n := min(group, s.m.Cols-from)
		told := make([][]byte, n)
		vec.Parallel(s.threads, n, func(_, i int) {
			column := &s.columns[from+i]
			told[i] = appendSummary(nil, len(column.rows) < s.m.Rows, thinRuns(column.runs(heavy), most))
		})
		features, err := gatherRuns(ctx, s.t.peers, told, func(int) {})
		if err != nil {
			return c, fmt.Errorf("find common bins: %w", err)
		}
		vec.Parallel(s.threads, n, func(_, i int) { finish(from+i, features[i]) })
	}
	return c, nil
}

// sketchCuts gives the upper bounds of at most maxBin bins of about equal
// weight. They lie at the values at which the weight up to there, the value's
// included, reaches the next part of maxBin; so that the rare values at both
// ends share a bin even where there are bins enough for all.
func sketchCuts(runs []run, maxBin int) []float32 {
	if len(runs) == 0 {
		return emptyCuts()
	}
	total := 0
	for _, r := range runs {
		total += r.n
	}
	var kept []float32
	below, goal := 0, 0.0
	for i, r := range runs {
		below += r.n
		if i == len(runs)-1 || float64(below) >= goal && len(kept) < maxBin {
			kept = append(kept, floatOf(r.key))
			goal = float64(len(kept)) * float64(total) / float64(maxBin)
		}
	}
	// The first bin begins below all values.
	return append(slices.Clone(kept[1:max(1, min(len(kept), maxBin))]), topBound(kept[len(kept)-1]))
}

// runs gives the values of a sorted column, and what the rows of each weigh.
func (c *column) runs(heavy []int) []run {
	var runs []run
	for i, v := range c.values {
		if i == 0 || v != c.values[i-1] {
			runs = append(runs, run{key: sortKey(v)})
		}
		runs[len(runs)-1].n += heavy[c.rows[i]]
	}
	return runs
}

// thinRuns is summarize for runs: it gives at most 2·most+1 of them.
func thinRuns(runs []run, most int) []run {
	if len(runs) <= most {
		return runs
	}
	total := 0
	for _, r := range runs {
		total += r.n
	}
	full := (total + most - 1) / most // what closes a run
	var out []run
	var open run
	for _, r := range runs {
		if open.n > 0 && open.n+r.n > full {
			out = append(out, open)
			open = run{}
		}
		if open = (run{r.key, open.n + r.n}); open.n >= full {
			out = append(out, open)
			open = run{}
		}
	}
	if open.n > 0 {
		out = append(out, open)
	}
	return out
}
