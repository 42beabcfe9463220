// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// across lets a metric look at a data set that lies on several hosts as one.
// The first error is kept, and what is computed after it is of no use.
type across struct {
	sum    func(v []float64)       // adds up v over all hosts
	gather func(b []byte) [][]byte // on the first host what all have, nil on others
	tell   func(v float64) float64 // what the first host has
	err    error
}

// newAcross gives nil for one host by itself.
func newAcross(ctx context.Context, peers *collective.Group) *across {
	if peers.Size() == 1 {
		return nil
	}
	a := &across{}
	keep := func(err error) {
		if a.err == nil {
			a.err = err
		}
	}
	a.sum = func(v []float64) { keep(peers.SumFloats(ctx, v)) }
	a.gather = func(b []byte) [][]byte {
		all, err := peers.Gather(ctx, b)
		keep(err)
		return all
	}
	a.tell = func(v float64) float64 {
		b, err := peers.Broadcast(ctx, binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		keep(err)
		if len(b) != 8 {
			keep(errPeer)
			return math.NaN()
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return a
}

// total is v added up over all hosts.
func (s *seen) total(v ...float64) []float64 {
	if s.across != nil {
		s.across.sum(v)
	}
	return v
}

// told is v of the first host.
func (s *seen) told(v float64) float64 {
	if s.across != nil {
		return s.across.tell(v)
	}
	return v
}

// levels gives the first host the levels of all hosts' rows, the largest
// prediction first, and the others nil. XGBoost takes the mean of the hosts'
// own areas here, which is an approximation.
func (s *seen) levels() []level {
	var own []level
	descend(s, func(l level) { own = append(own, l) })
	all := s.across.gather(encodeLevels(own))
	var merged []level
	for _, b := range all {
		ls, ok := decodeLevels(b)
		if !ok && s.across.err == nil {
			s.across.err = errPeer
		}
		merged = mergeLevels(merged, ls)
	}
	return merged
}

// encodeLevels writes for each level, the largest first, the step down from the
// key before, times two, plus 1 if the weights are whole numbers, and the two
// weights: whole ones as varints, others as float64.
func encodeLevels(levels []level) []byte {
	b := make([]byte, 0, 5*len(levels))
	last := uint32(math.MaxUint32)
	for _, l := range levels {
		step := uint64(last-l.key) << 1
		last = l.key
		if whole(l.negative) && whole(l.positive) {
			b = binary.AppendUvarint(b, step|1)
			b = binary.AppendUvarint(b, uint64(l.negative))
			b = binary.AppendUvarint(b, uint64(l.positive))
			continue
		}
		b = binary.AppendUvarint(b, step)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(l.negative))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(l.positive))
	}
	return b
}

// whole tells whether v is a whole number that a varint can stand for.
func whole(v float64) bool { return v >= 0 && v < 1<<53 && v == math.Trunc(v) }

// decodeLevels inverts encodeLevels; ok is false for what that would not write.
func decodeLevels(b []byte) (levels []level, ok bool) {
	key := uint64(math.MaxUint32)
	for first := true; len(b) > 0; first = false {
		step, n := binary.Uvarint(b)
		if n <= 0 || step>>1 > key || step>>1 == 0 && !first {
			return nil, false
		}
		b = b[n:]
		key -= step >> 1
		l := level{key: uint32(key)}
		for _, into := range []*float64{&l.negative, &l.positive} {
			if step&1 == 0 {
				if len(b) < 8 {
					return nil, false
				}
				*into, b = math.Float64frombits(binary.LittleEndian.Uint64(b)), b[8:]
				continue
			}
			v, n := binary.Uvarint(b)
			if n <= 0 || v >= 1<<53 {
				return nil, false
			}
			*into, b = float64(v), b[n:]
		}
		levels = append(levels, l)
	}
	return levels, true
}

// mergeLevels adds up b into a; both descend.
func mergeLevels(a, b []level) []level {
	out := make([]level, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].key > b[0].key:
			out, a = append(out, a[0]), a[1:]
		case a[0].key < b[0].key:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, level{a[0].key, a[0].negative + b[0].negative, a[0].positive + b[0].positive})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}
