// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
)

// smallBytes is up to which size a vector is sent whole to everyone, in one
// step; a longer one is added up in parts, each by one host, and spread, which
// takes two steps and, for n hosts, 2/n of the bytes. Measured on the loopback:
// see BenchmarkSum.
const smallBytes = 64 << 10

// segment is how many values at most are on their way at once between two
// hosts.
const segment = maxPayload / 8

// SumInts replaces v by the sum of all hosts' v, which has the same length
// everywhere.
func (g *Group) SumInts(ctx context.Context, v []int64) error { return reduce(ctx, g, v, addInts) }

// SumFloats is SumInts for numbers whose sum hangs on the order: that of the
// hosts' ranks. All hosts get the same bits.
func (g *Group) SumFloats(ctx context.Context, v []float64) error {
	return reduce(ctx, g, v, addFloats)
}

// MaxFloats replaces v by the largest of all hosts, value by value. NaN is the
// largest of all.
func (g *Group) MaxFloats(ctx context.Context, v []float64) error {
	return reduce(ctx, g, v, maxFloats)
}

// ScatterInts adds up v over all hosts, but gives each host its own part of
// the sum only: v[bounds[rank]:bounds[rank+1]]. The rest of v is of no use
// afterwards. bounds is the same everywhere, rises from 0 to len(v) and has one
// more entry than there are hosts.
func (g *Group) ScatterInts(ctx context.Context, v []int64, bounds []int) error {
	if g == nil {
		return nil
	}
	if err := g.checkBounds(len(v), bounds); err != nil {
		return err
	}
	return inSegments(bounds, func(part []int) error { return scatter(ctx, g, v, part, addInts) })
}

func (g *Group) checkBounds(n int, bounds []int) error {
	ok := len(bounds) == len(g.hosts)+1 && bounds[0] == 0 && bounds[len(bounds)-1] == n
	for i := 1; ok && i < len(bounds); i++ {
		ok = bounds[i-1] <= bounds[i]
	}
	if !ok {
		return errors.New("collective: the bounds of a scatter do not fit the vector")
	}
	return nil
}

// word is what vectors are made of.
type word interface{ int64 | float64 }

// fold puts the values in b, little-endian, together with into.
type fold[T word] func(into []T, b []byte)

func addInts(into []int64, b []byte) {
	b = b[:8*len(into)]
	for i := range into {
		into[i] += int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
}

func addFloats(into []float64, b []byte) {
	for i := range into {
		into[i] += math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
}

func maxFloats(into []float64, b []byte) {
	for i := range into {
		into[i] = max(into[i], math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
	}
}

// encode writes v into b, whose memory is used again.
func encode[T word](b []byte, v []T) []byte {
	b = slices.Grow(b[:0], 8*len(v))[:8*len(v)]
	switch v := any(v).(type) {
	case []int64:
		for i, x := range v {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(x))
		}
	case []float64:
		for i, x := range v {
			binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(x))
		}
	}
	return b
}

func decode[T word](into []T, b []byte) {
	switch into := any(into).(type) {
	case []int64:
		for i := range into {
			into[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []float64:
		for i := range into {
			into[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
}

// reduce folds v over all hosts, in the order of ranks.
func reduce[T word](ctx context.Context, g *Group, v []T, f fold[T]) error {
	if g == nil || len(v) == 0 {
		return nil
	}
	if 8*len(v) <= smallBytes {
		return exchange(ctx, g, v, f)
	}
	bounds := make([]int, len(g.hosts)+1)
	for rank := range bounds {
		bounds[rank] = rank * len(v) / len(g.hosts)
	}
	return inSegments(bounds, func(part []int) error {
		if err := scatter(ctx, g, v, part, f); err != nil {
			return err
		}
		return spread(ctx, g, v, part)
	})
}

// inSegments calls do with starts and ends of the hosts' parts, such that none
// is longer than segment: part[2*rank] and part[2*rank+1].
func inSegments(bounds []int, do func(part []int) error) error {
	hosts := len(bounds) - 1
	part := make([]int, 2*hosts)
	for from := 0; ; from += segment {
		left := false
		for rank := range hosts {
			part[2*rank] = min(bounds[rank]+from, bounds[rank+1])
			part[2*rank+1] = min(bounds[rank]+from+segment, bounds[rank+1])
			left = left || part[2*rank] < part[2*rank+1]
		}
		if !left {
			return nil
		}
		if err := do(part); err != nil {
			return err
		}
	}
}

// exchange sends v to all and folds what they send.
func exchange[T word](ctx context.Context, g *Group, v []T, f fold[T]) error {
	seq, end, err := g.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	g.own = encode(g.own, v)
	own := g.own
	for rank := range g.links {
		if rank != g.rank {
			if err := g.sendData(rank, sumOp, seq, own); err != nil {
				return err
			}
		}
	}
	return g.foldAll(sumOp, seq, own, func(rank int, b []byte) {
		if rank == 0 {
			decode(v, b)
		} else {
			f(v, b)
		}
	})
}

// foldAll calls f with what each host sends, in the order of ranks; own is what
// this one has.
func (g *Group) foldAll(op opKind, seq uint32, own []byte, f func(rank int, b []byte)) error {
	for rank := range g.links {
		if rank == g.rank {
			f(rank, own)
			continue
		}
		m, err := g.take(rank, op, seq, len(own))
		if err != nil {
			return err
		}
		f(rank, m.payload)
		g.give(rank, m)
	}
	return nil
}

// toAll sends payload(rank) to every other host side by side. wait gives the
// first error once all are sent.
func (g *Group) toAll(op opKind, seq uint32, payload func(rank int) []byte) (wait func() error) {
	var sending sync.WaitGroup
	failed := make([]error, len(g.links))
	for rank := range g.links {
		if rank != g.rank {
			sending.Go(func() { failed[rank] = g.sendData(rank, op, seq, payload(rank)) })
		}
	}
	return func() error {
		sending.Wait()
		for _, err := range failed {
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// scatter sends each host its part of v, and folds the others' into the part
// of this one.
func scatter[T word](ctx context.Context, g *Group, v []T, part []int, f fold[T]) error {
	seq, end, err := g.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	wait := g.toAll(scatterOp, seq, func(rank int) []byte {
		l := g.links[rank]
		l.out = encode(l.out, v[part[2*rank]:part[2*rank+1]])
		return l.out
	})
	mine := v[part[2*g.rank]:part[2*g.rank+1]]
	// The first host's part is in its place already.
	g.own = encode(g.own, mine)
	err = g.foldAll(scatterOp, seq, g.own, func(rank int, b []byte) {
		switch {
		case rank == 0 && g.rank == 0:
		case rank == 0:
			decode(mine, b)
		default:
			f(mine, b)
		}
	})
	return errors.Join(err, wait())
}

// spread sends the part of this host to all.
func spread[T word](ctx context.Context, g *Group, v []T, part []int) error {
	seq, end, err := g.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	g.own = encode(g.own, v[part[2*g.rank]:part[2*g.rank+1]])
	own := g.own
	wait := g.toAll(spreadOp, seq, func(int) []byte { return own })
	for rank := range g.links {
		if rank == g.rank || err != nil {
			continue
		}
		into := v[part[2*rank]:part[2*rank+1]]
		var m message
		if m, err = g.take(rank, spreadOp, seq, 8*len(into)); err == nil {
			decode(into, m.payload)
			g.give(rank, m)
		}
	}
	return errors.Join(err, wait())
}
