// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// updateTrees goes over the trees of the next round of the model that is
// updated, as process_type=update asks, in place of growing new ones.
func (t *booster) updateTrees(ctx context.Context, pairs [][]gradPair) error {
	for k := range pairs {
		for range t.parallelTrees {
			number := len(t.model.trees)
			one := t.from.trees[number].clone()
			if t.refresh {
				if err := t.refreshTree(ctx, &one, pairs[k]); err != nil {
					return err
				}
			}
			p := t.regular
			p.eta /= float64(t.parallelTrees)
			if t.prune {
				one.prune(&p)
			}
			t.model.trees, t.model.class = append(t.model.trees, one), append(t.model.class, int32(k))
			f := forest{width: t.o.classes}
			if err := f.grow(&one, int32(k), t.model.features); err != nil {
				return fmt.Errorf("flatten an updated tree: %w", err)
			}
			for _, set := range t.sets {
				if err := f.add(ctx, set.m, set.margins, t.workers); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// updatable checks that the trees of t.from can be gone over, and gives its
// intercept, which the updated model keeps.
func (t *booster) updatable(features int) ([]float32, error) {
	m := t.from
	switch {
	case m == nil || m.compact:
		return nil, algo.ClientErrorf("process_type: update goes over the trees of a model, and there is none to go on with")
	case m.booster != "":
		return nil, algo.ClientErrorf("process_type: update is for models of the booster gbtree, and this one is of %s", m.booster)
	case m.width != t.o.classes || m.parallel != t.parallelTrees:
		return nil, algo.ClientErrorf("process_type: update of a model with %d outputs and %d parallel trees, where %d and %d are asked for",
			m.width, m.parallel, t.o.classes, t.parallelTrees)
	case m.features != features:
		return nil, algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d: the model that is updated", m.features, features)
	case t.rounds > m.NumRounds():
		return nil, algo.ClientErrorf("No more tree left for updating. For updating existing trees, boosting rounds can not exceed "+
			"previous training rounds: num_round is %d, and the model has %d", t.rounds, m.NumRounds())
	}
	base := slices.Clone(m.base)
	for len(base) < t.o.classes {
		base = append(base, base[0])
	}
	return base, nil
}

// clone gives a copy that shares no memory.
func (t *tree) clone() tree {
	c := tree{cats: maps.Clone(t.cats)}
	for i := range t.left {
		c.leaf(t.parent[i], t.value[i], t.hess[i])
		c.left[i], c.right[i], c.feature[i], c.missingLeft[i] = t.left[i], t.right[i], t.feature[i], t.missingLeft[i]
		c.gain[i], c.base[i] = t.gain[i], t.base[i]
	}
	return c
}

// refreshTree computes the sums of one's nodes from all rows, drawn or not, and
// what follows from them; the weights of the leaves too, unless refresh_leaf is
// 0. XGBoost takes the largest sum of several hosts; here they are added up.
func (t *booster) refreshTree(ctx context.Context, one *tree, pairs []gradPair) error {
	f := forest{width: 1}
	labelled := one.clone()
	for i := range labelled.left {
		if labelled.left[i] < 0 {
			labelled.value[i] = float32(i) // the walk gives the leaf's number
		}
	}
	if len(one.left) > 1<<24 {
		return algo.ClientErrorf("a tree of %d nodes cannot be refreshed", len(one.left))
	}
	if err := f.grow(&labelled, 0, t.model.features); err != nil {
		return fmt.Errorf("flatten a tree: %w", err)
	}
	m := t.sets[0].m
	leaf := make([]float32, m.Rows)
	if err := f.add(ctx, m, leaf, t.workers); err != nil {
		return err
	}
	var q quantized
	if err := q.quantize(ctx, t.peers, pairs, t.workers); err != nil {
		return err
	}
	at := make([]int64, 2*len(one.left))
	for r, l := range leaf {
		s := q.of(uint32(r))
		at[2*int(l)] += s.g
		at[2*int(l)+1] += s.h
	}
	if err := t.peers.SumInts(ctx, at); err != nil {
		return err
	}
	p := t.regular
	p.eta /= float64(t.parallelTrees)
	var refresh func(id int32) sums
	refresh = func(id int32) sums {
		s := sums{at[2*id], at[2*id+1]}
		split := one.left[id] >= 0
		if split {
			left, right := refresh(one.left[id]), refresh(one.right[id])
			s = left.plus(right)
			one.gain[id] = float32(p.gain(float64(left.g)*q.unitG, float64(left.h)*q.unitH) +
				p.gain(float64(right.g)*q.unitG, float64(right.h)*q.unitH) -
				p.gain(float64(s.g)*q.unitG, float64(s.h)*q.unitH))
		}
		g, h := float64(s.g)*q.unitG, float64(s.h)*q.unitH
		one.hess[id], one.base[id] = float32(h), float32(p.weight(g, h))
		if !split && t.refreshLeaf {
			one.value[id] = one.base[id] * float32(p.eta)
		}
		return s
	}
	refresh(0)
	return nil
}

// prune makes leaves of splits of two leaves that gain less than gamma, or lie
// too deep, from the bottom up. It gives, by the old numbers of the nodes, in
// which node of the new tree their rows are; nil when nothing has changed.
func (t *tree) prune(p *regular) []int32 {
	left, right := slices.Clone(t.left), slices.Clone(t.right)
	changed := false
	var cut func(id int32, depth int)
	cut = func(id int32, depth int) {
		l, r := t.left[id], t.right[id]
		if l < 0 {
			return
		}
		cut(l, depth+1)
		cut(r, depth+1)
		if t.left[l] >= 0 || t.left[r] >= 0 {
			return
		}
		// XGBoost asks at the leaves, which lie one deeper.
		if float64(t.gain[id]) < p.gamma || p.maxDepth > 0 && depth+1 > p.maxDepth {
			t.left[id], t.right[id], t.value[id] = -1, -1, t.base[id]*float32(p.eta)
			changed = true
		}
	}
	cut(0, 0)
	if !changed {
		return nil
	}
	// What is left is numbered anew, level by level.
	old := *t
	*t = tree{}
	number := make([]int32, len(left))
	t.leaf(-1, old.value[0], old.hess[0])
	for queue := []int32{0}; len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		n := number[id]
		t.base[n] = old.base[id]
		l, r := old.left[id], old.right[id]
		if l < 0 {
			below(left, right, id, func(gone int32) { number[gone] = n })
			continue
		}
		t.feature[n], t.missingLeft[n], t.gain[n], t.value[n] = old.feature[id], old.missingLeft[id], old.gain[id], old.value[id]
		if set, ok := old.cats[id]; ok {
			if t.cats == nil {
				t.cats = map[int32]categories{}
			}
			t.cats[n] = set
		}
		number[l], number[r] = t.leaf(n, old.value[l], old.hess[l]), t.leaf(n, old.value[r], old.hess[r])
		t.left[n], t.right[n] = number[l], number[r]
		queue = append(queue, l, r)
	}
	return number
}

// below calls f for all nodes below id.
func below(left, right []int32, id int32, f func(int32)) {
	if left[id] < 0 {
		return
	}
	for _, child := range [2]int32{left[id], right[id]} {
		f(child)
		below(left, right, child, f)
	}
}
