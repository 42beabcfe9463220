// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math"
	"math/bits"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// gradPair is the first and second derivative of the loss of one row.
type gradPair struct{ g, h float32 }

// sums is a sum of gradient pairs in the fixed-point units of a quantized.
type sums struct{ g, h int64 }

func (a sums) plus(b sums) sums  { return sums{a.g + b.g, a.h + b.h} }
func (a sums) minus(b sums) sums { return sums{a.g - b.g, a.h - b.h} }

// quantized is the gradient pairs of all rows as integers. Integer sums are
// exact: they do not depend on the order, hence not on the number of threads,
// and a parent minus a child is precisely the other child.
//
// Usually a pair is packed into one int64, g in the upper half and h, which is
// never negative, in the lower: one addition then adds both. g has packBits
// bits and a sign, so sums of up to packRows rows fit. Where a few rows
// outweigh the others so far that packBits are too coarse, the pairs are kept
// in wide with all the bits that an int64 sum over all rows has room for.
type quantized struct {
	packed []int64
	wide   []sums
	// One unit of g and h in terms of the loss; powers of two.
	unitG, unitH float64
}

const (
	packBits = 20
	packRows = 1<<(31-packBits) - 1
	// coarse is how many times the mean magnitude the largest may be before
	// packBits are too few: then a typical pair still has about 10 bits.
	coarse = 1 << 10
)

// quantize converts pairs into q, reusing its memory, in units that are the
// same on all hosts. The rows not in use have the pair 0, 0. The error is
// errDiverged, and leaves q unfit for use, when a derivative is infinite or no
// number; any other is of peers.
func (q *quantized) quantize(ctx context.Context, peers *collective.Group, pairs []gradPair, threads int) error {
	n := len(pairs)
	blocks := (n + span - 1) / span
	maxG, maxH := make([]float64, blocks), make([]float64, blocks)
	sumG, sumH := make([]float64, blocks), make([]float64, blocks)
	spans(threads, n, func(_, block, lo, hi int) {
		var mg, mh float32
		var sg, sh float64
		for _, p := range pairs[lo:hi] {
			g := float32(math.Abs(float64(p.g)))
			mg, mh = max(mg, g), max(mh, p.h)
			sg += float64(g)
			sh += float64(p.h)
		}
		maxG[block], maxH[block], sumG[block], sumH[block] = float64(mg), float64(mh), sg, sh
	})
	var mg, mh, sg, sh float64
	for i := range blocks {
		mg, mh = max(mg, maxG[i]), max(mh, maxH[i])
		sg += sumG[i]
		sh += sumH[i]
	}
	all, err := gatherFloats(ctx, peers, mg, mh, sg, sh, float64(n))
	if err != nil {
		return err
	}
	var rows float64 // of all hosts
	mg, mh, sg, sh = 0, 0, 0, 0
	for _, v := range all {
		mg, mh = max(mg, v[0]), max(mh, v[1])
		sg, sh, rows = sg+v[2], sh+v[3], rows+v[4]
	}
	if !(mg <= math.MaxFloat32 && mh <= math.MaxFloat32) {
		return errDiverged
	}
	if mg*rows <= coarse*sg && mh*rows <= coarse*sh {
		q.unitG, q.unitH = unit(mg, packBits), unit(mh, packBits)
		if q.packed == nil {
			q.packed = make([]int64, n)
		}
		q.wide = nil
		perG, perH := float32(1/q.unitG), float32(1/q.unitH)
		spans(threads, n, func(_, _, lo, hi int) {
			for i, p := range pairs[lo:hi] {
				q.packed[lo+i] = int64(round(p.g*perG))<<32 + int64(round(p.h*perH))
			}
		})
		return nil
	}
	room := 62 - bits.Len64(uint64(rows))
	q.unitG, q.unitH = unit(mg, room), unit(mh, room)
	if q.wide == nil {
		q.wide = make([]sums, n)
	}
	q.packed = nil
	spans(threads, n, func(_, _, lo, hi int) {
		for i, p := range pairs[lo:hi] {
			q.wide[lo+i] = sums{
				int64(math.RoundToEven(float64(p.g) / q.unitG)),
				int64(math.RoundToEven(float64(p.h) / q.unitH)),
			}
		}
	})
	return nil
}

// unit is the power of two u for which largest/u needs at most n bits. What is
// smaller than 2^-80 counts as nothing: 1/u must be a float32.
func unit(largest float64, n int) float64 {
	if largest <= 0 {
		return 1
	}
	_, exp := math.Frexp(largest) // largest < 2^exp
	return math.Ldexp(1, max(exp, -80)-n)
}

// round is the nearest integer of x, |x| < 2^22, halves to even: adding
// 1.5·2^23 leaves no bits behind the point.
func round(x float32) int32 {
	const shift = 3 << 22
	return int32(float32(x+shift) - shift)
}

// of gives the pair of row r.
func (q *quantized) of(r uint32) sums {
	if q.packed != nil {
		return unpack(q.packed[r])
	}
	return q.wide[r]
}

func unpack(v int64) sums { return sums{v >> 32, v & math.MaxUint32} }

// total adds up the pairs of rows.
func (q *quantized) total(rows []uint32) sums {
	var s sums
	for _, r := range rows {
		s = s.plus(q.of(r))
	}
	return s
}
