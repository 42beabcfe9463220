// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// stats is what is known of the values of one stretch of time.
type stats struct {
	count, sum, min, max float64

	// Exactly one of the two holds the spread of the values that came one by
	// one; a statistic set tells no spread and makes the sample blind.
	exact []weighted // ordered by value
	hist  *histogram
	blind bool
}

type weighted struct{ value, count float64 }

// maxExact is how many distinct values a sample keeps apart.
const maxExact = 128

// add takes count observations of v.
func (s *stats) add(v, count float64) {
	s.total(count, v*count, v, v)
	s.spread(v, count)
}

// total takes observations whose spread is told elsewhere or nowhere.
func (s *stats) total(count, sum, lo, hi float64) {
	if s.count == 0 {
		s.min, s.max = lo, hi
	}
	s.count, s.sum = s.count+count, s.sum+sum
	s.min, s.max = min(s.min, lo), max(s.max, hi)
}

func (s *stats) spread(v, count float64) {
	if s.hist != nil {
		s.hist.add(v, count)
		return
	}
	i, ok := slices.BinarySearchFunc(s.exact, v, func(w weighted, v float64) int { return cmp.Compare(w.value, v) })
	if ok {
		s.exact[i].count += count
		return
	}
	s.exact = slices.Insert(s.exact, i, weighted{v, count})
	if len(s.exact) > maxExact {
		s.hist = &histogram{}
		for _, w := range s.exact {
			s.hist.add(w.value, w.count)
		}
		s.exact = nil
	}
}

// merge takes all that o knows.
func (s *stats) merge(o *stats) {
	if o.count == 0 {
		return
	}
	s.total(o.count, o.sum, o.min, o.max)
	s.blind = s.blind || o.blind
	for _, w := range o.exact {
		s.spread(w.value, w.count)
	}
	if o.hist == nil {
		return
	}
	if s.hist == nil {
		s.hist = &histogram{}
		for _, w := range s.exact {
			s.hist.add(w.value, w.count)
		}
		s.exact = nil
	}
	s.hist.merge(o.hist)
}

// percentile is the smallest value that at least p per cent of the values do
// not exceed. ok is false when the spread is not known, which is so for
// statistic sets, unless all their values are equal.
func (s *stats) percentile(p float64) (v float64, ok bool) {
	if s.min == s.max {
		return s.min, true
	}
	if s.blind {
		return 0, false
	}
	rank := max(p/100*s.count, math.SmallestNonzeroFloat64)
	if s.hist != nil {
		return min(max(s.hist.at(rank), s.min), s.max), true
	}
	for _, w := range s.exact {
		if rank -= w.count; rank <= 1e-9 {
			return w.value, true
		}
	}
	return s.max, true
}

// histogram counts values in buckets (γ^(i-1), γ^i], for positive values and for
// negative ones, so that a bucket's middle is within (γ-1)/(γ+1), just below one
// per cent, of each value in it.
//
// Source: Masson, Rim and Lee, "DDSketch", VLDB 2019, section 2.
type histogram struct {
	zero     float64
	pos, neg map[int32]float64
}

const (
	gamma      = 1.02
	nearZero   = 1e-12 // values closer to zero than this count as zero
	maxBuckets = 2048  // of one sign; 17 orders of magnitude fit in
	joined     = 64    // buckets made one when there are too many
)

var logGamma = math.Log(gamma)

func (h *histogram) add(v, count float64) {
	switch {
	case v > nearZero:
		h.put(&h.pos, bucket(v), count)
	case v < -nearZero:
		h.put(&h.neg, bucket(-v), count)
	default:
		h.zero += count
	}
}

func bucket(v float64) int32 { return int32(math.Ceil(math.Log(v) / logGamma)) }

// put counts into a bucket. When there are too many, some of those nearest to
// zero are made one: the error grows there and nowhere else.
func (h *histogram) put(to *map[int32]float64, i int32, count float64) {
	if *to == nil {
		*to = map[int32]float64{}
	}
	m := *to
	m[i] += count
	if len(m) > maxBuckets {
		keys := slices.Sorted(maps.Keys(m))[:joined]
		for _, k := range keys[:joined-1] {
			m[keys[joined-1]] += m[k]
			delete(m, k)
		}
	}
}

func (h *histogram) merge(o *histogram) {
	h.zero += o.zero
	for i, c := range o.pos {
		h.put(&h.pos, i, c)
	}
	for i, c := range o.neg {
		h.put(&h.neg, i, c)
	}
}

func (h *histogram) at(rank float64) float64 {
	last := 0.0
	for _, i := range slices.Backward(slices.Sorted(maps.Keys(h.neg))) {
		last = -middle(i)
		if rank -= h.neg[i]; rank <= 1e-9 {
			return last
		}
	}
	if h.zero > 0 {
		last = 0
		if rank -= h.zero; rank <= 1e-9 {
			return 0
		}
	}
	for _, i := range slices.Sorted(maps.Keys(h.pos)) {
		last = middle(i)
		if rank -= h.pos[i]; rank <= 1e-9 {
			return last
		}
	}
	return last
}

func middle(i int32) float64 { return 2 * math.Pow(gamma, float64(i)) / (gamma + 1) }

// A stored sample begins with a byte of these.
const (
	isSingle = 1 << iota // one value: its count and itself follow
	isBlind
	isHist
)

// encode writes the sample.
func (s *stats) encode() []byte {
	if len(s.exact) == 1 && !s.blind && s.hist == nil && s.sum == s.min*s.count {
		return float(float([]byte{isSingle}, s.count), s.min)
	}
	flags := byte(0)
	if s.blind {
		flags |= isBlind
	}
	if s.hist != nil {
		flags |= isHist
	}
	b := []byte{flags}
	for _, f := range []float64{s.count, s.sum, s.min, s.max} {
		b = float(b, f)
	}
	if s.hist == nil {
		b = binary.AppendUvarint(b, uint64(len(s.exact)))
		for _, w := range s.exact {
			b = weight(float(b, w.value), w.count)
		}
		return b
	}
	b = float(b, s.hist.zero)
	for _, m := range []map[int32]float64{s.hist.pos, s.hist.neg} {
		b = binary.AppendUvarint(b, uint64(len(m)))
		last := int32(0)
		for _, i := range slices.Sorted(maps.Keys(m)) {
			b = weight(binary.AppendVarint(b, int64(i-last)), m[i])
			last = i
		}
	}
	return b
}

func float(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

// weight writes a count, which is nearly always a small whole number: that
// number, one up, or 0 and the float.
func weight(b []byte, c float64) []byte {
	if c >= 0 && c < 1<<50 && c == math.Trunc(c) {
		return binary.AppendUvarint(b, uint64(c)+1)
	}
	return float(append(b, 0), c)
}

var errSample = errors.New("metric sample is damaged")

// decode reads a sample.
func decode(b []byte) (*stats, error) {
	if len(b) == 0 || b[0] >= isHist<<1 {
		return nil, errSample
	}
	flags := b[0]
	r := reader{b: b[1:]}
	s := &stats{count: r.float()}
	if flags&isSingle != 0 {
		s.min = r.float()
		s.max, s.sum, s.exact = s.min, s.min*s.count, []weighted{{s.min, s.count}}
	} else {
		s.sum, s.min, s.max, s.blind = r.float(), r.float(), r.float(), flags&isBlind != 0
		if flags&isHist != 0 {
			s.hist = &histogram{zero: r.float()}
			s.hist.pos, s.hist.neg = r.buckets(), r.buckets()
		} else {
			for range r.size(9) {
				s.exact = append(s.exact, weighted{r.float(), r.weight()})
			}
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errSample
	}
	return s, nil
}

// reader takes numbers from the front of b; bad says that one was not there.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.b, r.bad = nil, true
		return 0
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return f
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}

// size reads how many entries follow, of at least so many bytes each.
func (r *reader) size(bytes int) int {
	n, used := binary.Uvarint(r.b)
	r.skip(used)
	if n > uint64(len(r.b)/bytes) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

func (r *reader) weight() float64 {
	n, used := binary.Uvarint(r.b)
	if r.skip(used); n == 0 {
		return r.float()
	}
	return float64(n - 1)
}

func (r *reader) buckets() map[int32]float64 {
	n := r.size(2)
	if n == 0 {
		return nil
	}
	m := make(map[int32]float64, n)
	last := int32(0)
	for range n {
		d, used := binary.Varint(r.b)
		r.skip(used)
		last += int32(d)
		m[last] = r.weight()
	}
	return m
}
