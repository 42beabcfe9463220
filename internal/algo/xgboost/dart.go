// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"
)

// dartBooster is the name of the booster that leaves trees out while it learns
// the next.
//
// Source: Rashmi and Gilad-Bachrach, "DART: Dropouts meet Multiple Additive
// Regression Trees", AISTATS 2015.
const dartBooster = "dart"

// writeDart writes the booster: that of its trees, and what each counts.
func (m *Model) writeDart(w sink) {
	w.open()
	w.key("gbtree")
	m.writeForest(w)
	w.key("name")
	w.text(dartBooster)
	w.key("weight_drop")
	w.each(m.weights)
	w.close()
}

// decodeDart reads the booster.
func (m *Model) decodeDart(c cursor) {
	m.booster = dartBooster
	before := len(m.trees)
	m.decodeTrees(c.get("gbtree").get("model"))
	m.weights = c.get("weight_drop").floats(len(m.trees) - before)
}

// dartPlan is how trees are left out.
type dartPlan struct {
	rate, skip float64 // rate_drop, skip_drop
	one        bool    // one_drop
	weighted   bool    // sample_type weighted: heavy trees are left out more often
	forest     bool    // normalize_type forest
}

// dropout is the trees that a round of dart leaves out.
type dropout struct {
	trees []int       // ascending
	sums  [][]float32 // by data set, then row and class: what these trees say
	fresh [][]float32 // the same for the trees of the round; memory for reuse
}

// chance is a number in [0, 1) drawn for the round and i.
func (t *booster) chance(round, i int) float64 {
	return float64(mix(mix(mix(uint64(t.seed)^0xda27)^uint64(round))^uint64(i))>>11) / (1 << 53)
}

// draw chooses the trees that a round leaves out. All hosts choose the same.
func (t *booster) draw(round int) []int {
	d, weights := t.dart, t.model.weights
	if len(weights) == 0 || d.skip > 0 && t.chance(round, 0) < d.skip {
		return nil
	}
	var sum float64
	for _, w := range weights {
		sum += float64(w)
	}
	var out []int
	for i, w := range weights {
		rate := d.rate
		if d.weighted {
			rate *= float64(len(weights)) * float64(w) / sum
		}
		if t.chance(round, 2+i) < rate {
			out = append(out, i)
		}
	}
	if d.one && len(out) == 0 {
		at := t.chance(round, 1)
		if !d.weighted {
			return []int{int(at * float64(len(weights)))}
		}
		for i, w := range weights {
			if at -= float64(w) / sum; at < 0 || i == len(weights)-1 {
				return []int{i}
			}
		}
	}
	return out
}

// leaveOut takes the trees that the round leaves out off the margins of all
// data sets.
func (t *booster) leaveOut(ctx context.Context, round int) error {
	t.out.trees = t.draw(round)
	if len(t.out.trees) == 0 {
		return nil
	}
	f := forest{width: t.o.classes}
	for _, i := range t.out.trees {
		if err := f.grow(&t.model.trees[i], t.model.class[i], t.model.features); err != nil {
			return fmt.Errorf("flatten a grown tree: %w", err)
		}
		f.weigh(t.model.weights[i])
	}
	for i, set := range t.sets {
		if len(t.out.sums) <= i {
			t.out.sums = append(t.out.sums, make([]float32, len(set.margins)))
			t.out.fresh = append(t.out.fresh, make([]float32, len(set.margins)))
		}
		sums := t.out.sums[i]
		clear(sums)
		if err := f.add(ctx, set.m, sums, t.workers); err != nil {
			return err
		}
		spans(t.workers, len(sums), func(_, _, lo, hi int) {
			for j, s := range sums[lo:hi] {
				set.margins[lo+j] -= s
			}
		})
	}
	t.transform(t.sets[0])
	return nil
}

// growLeftOut grows the trees of a round by add, and weighs them and those that
// were left out so that together they say about what these said before.
func (t *booster) growLeftOut(add func() error) error {
	before := len(t.model.trees)
	dropped := len(t.out.trees)
	if dropped > 0 { // the trees of the round speak into empty sums
		for i, set := range t.sets {
			clear(t.out.fresh[i])
			set.margins, t.out.fresh[i] = t.out.fresh[i], set.margins
		}
	}
	err := add()
	grown := len(t.model.trees) - before
	weight, factor := float32(1), float32(1)
	if dropped > 0 {
		lr := float64(float32(t.eta / float64(max(grown, 1))))
		if weight, factor = float32(1/(float64(dropped)+lr)), float32(float64(dropped)/(float64(dropped)+lr)); t.dart.forest {
			factor = float32(1 / (1 + lr))
			weight = factor
		}
		for i, set := range t.sets {
			set.margins, t.out.fresh[i] = t.out.fresh[i], set.margins
			fresh, sums := t.out.fresh[i], t.out.sums[i]
			spans(t.workers, len(sums), func(_, _, lo, hi int) {
				for j := lo; j < hi; j++ {
					set.margins[j] += factor*sums[j] + weight*fresh[j]
				}
			})
		}
	}
	for _, i := range t.out.trees {
		t.model.weights[i] *= factor
	}
	for range grown {
		t.model.weights = append(t.model.weights, weight)
	}
	return err
}
