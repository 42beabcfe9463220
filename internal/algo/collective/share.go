// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
)

// AllGather gives every host what each of them has, by rank. The slices are
// the caller's, but that of its own rank is own itself.
func (g *Group) AllGather(ctx context.Context, own []byte) ([][]byte, error) {
	if g == nil {
		return [][]byte{own}, nil
	}
	seq, end, err := g.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	wait := g.toAll(gatherOp, seq, func(int) []byte { return own })
	all, err := g.takeAll(seq, own)
	if err := errors.Join(err, wait()); err != nil {
		return nil, err
	}
	return all, nil
}

// AllGatherFloats is AllGather of numbers.
func (g *Group) AllGatherFloats(ctx context.Context, own []float32) ([][]float32, error) {
	b := make([]byte, 0, 4*len(own))
	for _, v := range own {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	parts, err := g.AllGather(ctx, b)
	if err != nil {
		return nil, err
	}
	all := make([][]float32, len(parts))
	for rank, b := range parts {
		all[rank] = make([]float32, len(b)/4)
		for i := range all[rank] {
			all[rank][i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return all, nil
}

// Place tells each host, which brings n of something, how many those before it
// bring and how many there are in all.
func (g *Group) Place(ctx context.Context, n int) (before, all int, err error) {
	counts := make([]int64, g.Size())
	counts[g.Rank()] = int64(n)
	if err := g.SumInts(ctx, counts); err != nil {
		return 0, 0, err
	}
	for rank, n := range counts {
		if rank < g.Rank() {
			before += int(n)
		}
		all += int(n)
	}
	return before, all, nil
}

// Gather gives the first host what each of them has, by rank, and the others
// nil.
func (g *Group) Gather(ctx context.Context, own []byte) ([][]byte, error) {
	if g == nil {
		return [][]byte{own}, nil
	}
	seq, end, err := g.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if g.rank > 0 {
		return nil, g.sendData(0, gatherOp, seq, own)
	}
	return g.takeAll(seq, own)
}

// Broadcast gives every host what the first one has; b of the others is not
// looked at.
func (g *Group) Broadcast(ctx context.Context, b []byte) ([]byte, error) {
	if g == nil {
		return b, nil
	}
	seq, end, err := g.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if g.rank > 0 {
		return g.takeLong(0, broadcastOp, seq)
	}
	if err := g.toAll(broadcastOp, seq, func(int) []byte { return b })(); err != nil {
		return nil, err
	}
	return b, nil
}

func (g *Group) takeAll(seq uint32, own []byte) ([][]byte, error) {
	all := make([][]byte, len(g.links))
	for rank := range g.links {
		if rank == g.rank {
			all[rank] = own
			continue
		}
		b, err := g.takeLong(rank, gatherOp, seq)
		if err != nil {
			return nil, err
		}
		all[rank] = b
	}
	return all, nil
}

// takeLong takes all pieces that rank sends.
func (g *Group) takeLong(rank int, op opKind, seq uint32) ([]byte, error) {
	m, err := g.take(rank, op, seq, -1)
	if err != nil {
		return nil, err
	}
	b := m.payload // now the caller's
	for m.more {
		if m, err = g.take(rank, op, seq, -1); err != nil {
			return nil, err
		}
		b = append(b, m.payload...)
		g.give(rank, m)
	}
	return b, nil
}
