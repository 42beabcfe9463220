// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math/rand/v2"
	"slices"
)

// mix is the finisher of SplitMix64: it makes well-spread bits of a counter.
//
// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
// Generators", OOPSLA 2014.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sample sets the rows in use: all, or each with probability subsample, at
// least one over all hosts. It gives pairs with those of the other rows zeroed,
// in a copy. A row's fate hangs on seed, number and its place among the rows of
// all hosts alone.
func (g *grower) sample(ctx context.Context, pairs []gradPair, number uint64) ([]gradPair, error) {
	g.rows = g.rows[:0]
	if g.subsample >= 1 {
		for r := range pairs {
			g.rows = append(g.rows, uint32(r))
		}
		return pairs, nil
	}
	if g.gradientBased {
		return g.sampleByGradient(ctx, pairs, number)
	}
	key := mix(mix(g.seed) ^ number)
	limit := uint64(g.subsample * (1 << 53))
	kept := make([]gradPair, len(pairs))
	g.out = make([]bool, len(pairs))
	for r := range pairs {
		if mix(key^mix(g.place.first+uint64(r)))>>11 < limit {
			g.rows = append(g.rows, uint32(r))
			kept[r] = pairs[r]
		} else {
			g.out[r] = true
		}
	}
	used := []int64{int64(len(g.rows))}
	if err := g.place.peers.SumInts(ctx, used); err != nil {
		return nil, err
	}
	if used[0] == 0 && g.place.all > 0 {
		// Below the first row of this host it wraps around to far beyond the last.
		if r := key%g.place.all - g.place.first; r < uint64(len(pairs)) {
			g.rows = append(g.rows, uint32(r))
			kept[r], g.out[r] = pairs[r], false
		}
	}
	return kept, nil
}

// columns says which features a tree may split, by level and node.
type columns struct {
	p      regular
	key    uint64
	tree   []int32
	groups []int // of eight features, those that tree touches
}

func newColumns(p regular, cols int, seed, number uint64) *columns {
	all := make([]int32, cols)
	for i := range all {
		all[i] = int32(i)
	}
	c := &columns{p: p, key: mix(mix(seed^0xc01) ^ number)}
	c.tree = choose(all, p.byTree, c.key)
	for _, f := range c.tree {
		if group := int(f >> 3); len(c.groups) == 0 || c.groups[len(c.groups)-1] != group {
			c.groups = append(c.groups, group)
		}
	}
	return c
}

// of gives the features that n may split, ascending. It is safe for concurrent
// use: what it draws hangs on the node alone.
func (c *columns) of(n *openNode) []int32 {
	features := c.tree
	if c.p.byLevel < 1 {
		features = choose(features, c.p.byLevel, mix(c.key^uint64(n.depth)<<1))
	}
	if c.p.byNode < 1 {
		features = choose(features, c.p.byNode, mix(c.key^(uint64(n.id)<<1|1)))
	}
	return features
}

// choose draws the given share of from, at least one, in ascending order.
func choose(from []int32, share float64, key uint64) []int32 {
	if share >= 1 || len(from) == 0 {
		return from
	}
	rng := rand.New(rand.NewPCG(key, mix(key)))
	some := slices.Clone(from)
	n := max(1, int(share*float64(len(from))))
	for i := range n {
		j := i + rng.IntN(len(some)-i)
		some[i], some[j] = some[j], some[i]
	}
	some = some[:n]
	slices.Sort(some)
	return some
}
