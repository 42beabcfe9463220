// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Over several hosts each adds up its own rows, and each weighs the splits of
// its own share of the features. Per level of a tree two things travel: each
// host's histograms of a share to the host that weighs it, and the best splits
// of all shares to everyone. The sums are integers, so that they do not depend
// on how the rows are distributed: the tree is that of one host with all rows.

// shares divides the features into stretches with about equally many bins.
func shares(b *binned, hosts int) []int {
	parts := make([]int, hosts+1)
	for h := 1; h < hosts; h++ {
		want := uint32(uint64(len(b.cuts)) * uint64(h) / uint64(hosts))
		parts[h] = sort.Search(b.cols, func(f int) bool { return b.ptr[f] >= want })
	}
	parts[hosts] = b.cols
	return parts
}

// waveBytes bounds the histograms that travel at once.
const waveBytes = 16 << 20

// sumAll adds up a sum over all hosts.
func (g *grower) sumAll(ctx context.Context, s sums) (sums, error) {
	v := []int64{s.g, s.h}
	err := g.place.peers.SumInts(ctx, v)
	return sums{v[0], v[1]}, err
}

// openAcross is build and evaluate for the root.
func (g *grower) openAcross(ctx context.Context, root *openNode, columns *columns) error {
	g.build(root, root.hist, columns)
	if err := g.exchange(ctx, []histogram{root.hist}); err != nil {
		return err
	}
	g.weigh(root, root.hist, columns)
	return g.choose(ctx, []*openNode{root})
}

// expandAcross is open over several hosts. What it does is the same on all of
// them: which histogram is added up and which one taken from the parent's hangs
// on the weight of the children, not on how many rows this host has of them.
func (g *grower) expandAcross(ctx context.Context, batch, children []*openNode, columns *columns) error {
	type family struct{ parent, few, many *openNode }
	var families []family
	var loose, open []*openNode
	for i, parent := range batch {
		few, many := children[2*i], children[2*i+1]
		if few.total.h > many.total.h {
			few, many = many, few
		}
		switch {
		case !g.mayWiden(few) && !g.mayWiden(many):
			g.release(parent)
			continue
		case parent.hist != nil && g.reserve(few):
			families = append(families, family{parent, few, many})
		default:
			g.release(parent)
			loose = append(loose, few, many)
		}
		open = append(open, few, many)
	}
	wave := max(1, waveBytes/(16*len(g.b.cuts)))
	for part := range slices.Chunk(families, wave) {
		big := func(i int) bool { return part[i].few.hi-part[i].few.lo >= wideRows }
		g.apart(len(part), big, func(i int) { g.build(part[i].few, part[i].few.hist, columns) }, func(worker, i int) {
			n := part[i].few
			g.b.fill(n.hist, g.rows[n.lo:n.hi], &g.q, columns.groups, g.scratch[worker])
		})
		hists := make([]histogram, len(part))
		for i, f := range part {
			hists[i] = f.few.hist
		}
		if err := g.exchange(ctx, hists); err != nil {
			return err
		}
		vec.Parallel(g.threads, len(part), func(_, i int) {
			parent, few, many := part[i].parent, part[i].few, part[i].many
			many.hist, parent.hist = parent.hist, nil
			lo, hi := g.share()
			many.hist[lo:hi].subtract(few.hist[lo:hi])
			g.weigh(few, few.hist, columns)
			g.weigh(many, many.hist, columns)
		})
	}
	var spare histogram // for those beyond the budget
	for _, n := range loose {
		var into histogram
		if g.reserve(n) {
			into = n.hist
		} else {
			if spare == nil {
				spare = make(histogram, len(g.b.cuts))
			}
			clear(spare)
			into = spare
		}
		g.build(n, into, columns)
		if err := g.exchange(ctx, []histogram{into}); err != nil {
			return err
		}
		g.weigh(n, into, columns)
	}
	return g.choose(ctx, open)
}

// share is the stretch of bins that this host weighs.
func (g *grower) share() (lo, hi uint32) {
	rank := g.place.peers.Rank()
	return g.b.ptr[g.parts[rank]], g.b.ptr[g.parts[rank+1]]
}

// exchange adds up histograms over all hosts, each of which gets its share. The
// rest of them is of no use afterwards.
func (g *grower) exchange(ctx context.Context, hists []histogram) error {
	hosts := g.place.peers.Size()
	g.wire = slices.Grow(g.wire[:0], 2*len(hists)*len(g.b.cuts))[:2*len(hists)*len(g.b.cuts)]
	bounds := make([]int, hosts+1)
	for h := range hosts {
		lo, hi := g.b.ptr[g.parts[h]], g.b.ptr[g.parts[h+1]]
		bounds[h+1] = bounds[h] + 2*len(hists)*int(hi-lo)
	}
	vec.Parallel(g.threads, hosts*len(hists), func(_, i int) {
		h, k := i/len(hists), i%len(hists)
		lo, hi := g.b.ptr[g.parts[h]], g.b.ptr[g.parts[h+1]]
		to := g.wire[bounds[h]+2*k*int(hi-lo):][:2*(hi-lo)]
		for j, s := range hists[k][lo:hi] {
			to[2*j], to[2*j+1] = s.g, s.h
		}
	})
	if err := g.place.peers.ScatterInts(ctx, g.wire, bounds); err != nil {
		return err
	}
	lo, hi := g.share()
	vec.Parallel(g.threads, len(hists), func(_, k int) {
		from := g.wire[bounds[g.place.peers.Rank()]+2*k*int(hi-lo):]
		for j := range hists[k][lo:hi] {
			hists[k][int(lo)+j] = sums{from[2*j], from[2*j+1]}
		}
	})
	return nil
}

// weigh finds the best split of n among the features that are this host's to
// weigh.
func (g *grower) weigh(n *openNode, h histogram, columns *columns) {
	if !g.mayWiden(n) {
		return
	}
	features := columns.of(n)
	rank := g.place.peers.Rank()
	from, _ := slices.BinarySearch(features, int32(g.parts[rank]))
	to, _ := slices.BinarySearch(features, int32(g.parts[rank+1]))
	n.best = g.best(g.b, &g.q, h, n.total, features[from:to], n.fence)
}

// splitBytes is the size of a split on its way.
const splitBytes = 8 + 4 + 4 + 1 + 8 + 8

func (s split) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.gain))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.feature))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.bin))
	missing := byte(0)
	if s.missingLeft {
		missing = 1
	}
	if s.cats != nil {
		missing |= 2
	}
	b = append(b, missing)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.left.g))
	return binary.LittleEndian.AppendUint64(b, uint64(s.left.h))
}

func readSplit(b []byte) split {
	s := split{
		gain:    math.Float64frombits(binary.LittleEndian.Uint64(b)),
		feature: int(binary.LittleEndian.Uint32(b[8:])), bin: int(int32(binary.LittleEndian.Uint32(b[12:]))),
		missingLeft: b[16]&1 == 1,
		left:        sums{int64(binary.LittleEndian.Uint64(b[17:])), int64(binary.LittleEndian.Uint64(b[25:]))},
	}
	if b[16]&2 != 0 {
		s.cats = new(categories) // told by shareCategories
	}
	return s
}

// choose gives each of nodes the best of the splits that the hosts have found.
// Their shares of the features ascend, so that among equals the first feature
// wins, as on one host.
func (g *grower) choose(ctx context.Context, nodes []*openNode) error {
	if len(nodes) == 0 {
		return nil
	}
	own := make([]byte, 0, len(nodes)*splitBytes)
	for _, n := range nodes {
		own = n.best.append(own)
	}
	all, err := g.place.peers.AllGather(ctx, own)
	if err != nil {
		return err
	}
	for _, b := range all {
		if len(b) != len(own) {
			return errPeer
		}
	}
	owners, mine := make([]int, len(nodes)), make([]*categories, len(nodes))
	for i, n := range nodes {
		mine[i] = n.best.cats
		n.best = split{}
		for host, b := range all {
			s := readSplit(b[i*splitBytes:])
			if s.feature >= g.b.cols || s.bin < -1 || s.bin >= int(g.b.ptr[s.feature+1]-g.b.ptr[s.feature]) {
				return errPeer
			}
			if s.gain > n.best.gain {
				n.best, owners[i] = s, host
			}
		}
		if n.best.gain <= 0 {
			g.release(n)
		}
	}
	return g.shareCategories(ctx, nodes, owners, mine)
}
