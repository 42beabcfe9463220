// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// maker grows trees over one training matrix.
type maker interface {
	// grow grows one for the gradient pairs by row. number tells the trees of a
	// model apart in what is drawn at random. All hosts grow the same tree.
	grow(ctx context.Context, pairs []gradPair, number uint64) (*grown, error)
	// addLeaves adds to margins, rows×width, at column k the leaf of every row
	// in t, which is the tree grown last.
	addLeaves(t *grown, margins []float32, width, k int)
}

var (
	_ maker = (*grower)(nil)
	_ maker = (*sketcher)(nil)
	_ maker = (*exact)(nil)
)

// maker gives what grows trees over train, nil where none are grown. at says
// where its rows stand.
func (t *booster) maker(ctx context.Context, train *algo.Matrix, at place) (maker, error) {
	if err := t.markCategories(train.Cols); err != nil {
		return nil, err
	}
	p := t.regular
	p.eta /= float64(t.parallelTrees)
	switch {
	case t.booster == linearBooster || t.update:
		return nil, nil
	case t.method == byValue:
		return newExact(train, p, t.prune, t.workers, uint64(t.seed))
	}
	bins, err := cutAcross(ctx, t.peers, t.memory, train, t.maxBin, cmp.Or(t.exact, exactRuns), t.workers)
	if err != nil {
		return nil, fmt.Errorf("train channel: %w", err)
	}
	if err := t.cutCategories(ctx, t.peers, train, &bins, "train"); err != nil {
		return nil, err
	}
	b, err := newBinned(t.memory, train, bins, t.workers)
	if err != nil {
		return nil, err
	}
	g := newGrower(b, p, t.workers, uint64(t.seed), at)
	if t.method == bySketch {
		return newSketcher(t, train, g, bins), nil
	}
	return g, nil
}

// learn is what a round learns from the gradient pairs, by class.
func (t *booster) learn(ctx context.Context, pairs [][]gradPair) error {
	trees := func() error {
		for k := range pairs {
			for range t.parallelTrees {
				if err := t.addTree(ctx, pairs[k], k); err != nil {
					return err
				}
			}
		}
		return nil
	}
	switch {
	case t.booster == linearBooster:
		return t.learnLinear(pairs)
	case t.update:
		return t.updateTrees(ctx, pairs)
	case t.booster == dartBooster:
		return t.growLeftOut(trees)
	}
	return trees()
}

// keepRounds makes the model one of its first rounds, as the container does with
// those up to the best.
func (m *Model) keepRounds(rounds int) {
	m.bounds = m.bounds[:rounds+1]
	n := m.bounds[rounds]
	m.trees, m.class = m.trees[:n], m.class[:n]
	if m.booster == dartBooster {
		m.weights = m.weights[:n]
	}
	m.rounds = min(m.rounds, rounds)
}
