// SPDX-License-Identifier: Apache-2.0

package xgboost

import "math"

// histogram holds, for each bin of all features, the sum over the rows of a
// node that lie in it.
type histogram []sums

// scratch is what one worker needs to fill histograms.
type scratch struct {
	packed []int64 // sums of packed pairs, zero between calls; nil until the first
	pairs  [strip]int64
	sink   uint64 // keeps loads that only warm the cache
	local  histogram
}

// strip is how many rows are worked through feature group by feature group, so
// that their bins stay in the first-level cache.
const strip = 256

func newScratch(b *binned) *scratch { return &scratch{local: make(histogram, len(b.cuts))} }

// pack makes s.packed: a million columns of few rows take gigabytes that they
// never use.
func (s *scratch) pack(b *binned) {
	if s.packed != nil {
		return
	}
	n := len(b.cuts)
	if b.words != nil {
		n = b.stride * 8 * (missingByte + 1)
	}
	s.packed = make([]int64, n)
}

// fill adds the pairs of rows to h. groups says which groups of eight features
// are wanted; the sums of other features may stay out.
func (b *binned) fill(h histogram, rows []uint32, q *quantized, groups []int, s *scratch) {
	// Clearing and emptying packed costs as much as some updates for each bin.
	few := min(len(rows), packRows)*max(b.width(), 1) < 2*len(b.cuts)
	if q.packed == nil || few {
		b.fillWide(h, rows, q, groups)
		return
	}
	s.pack(b)
	switch {
	case b.words != nil:
		for len(rows) > 0 {
			n := min(len(rows), packRows)
			b.addWords(rows[:n], q.packed, groups, s)
			b.emptyWords(h, groups, s)
			rows = rows[n:]
		}
	case b.shorts != nil:
		for len(rows) > 0 {
			n := min(len(rows), packRows)
			b.addShorts(rows[:n], q.packed, groups, s)
			b.emptyFlat(h, s)
			rows = rows[n:]
		}
	default:
		for len(rows) > 0 {
			n := min(len(rows), packRows)
			packed := s.packed
			for _, r := range rows[:n] {
				pair := q.packed[r]
				for _, bin := range b.index[b.start[r]:b.start[r+1]] {
					packed[bin] += pair
				}
			}
			b.emptyFlat(h, s)
			rows = rows[n:]
		}
	}
}

// width is the number of values per row, on average.
func (b *binned) width() int {
	if b.index != nil {
		return len(b.index) / max(b.rows, 1)
	}
	return b.cols
}

// addWords is the hot loop of training: one load fetches the bins of eight
// features, and each is one addition.
func (b *binned) addWords(rows []uint32, packed []int64, groups []int, s *scratch) {
	const size = missingByte + 1
	words, stride := b.words, b.stride
	for len(rows) > 0 {
		n := min(len(rows), strip)
		part := rows[:n]
		pairs := s.pairs[:n]
		for i, r := range part {
			pairs[i] = packed[r]
		}
		for at, group := range groups {
			if at == 0 || group&7 == 0 {
				// The rows of a node lie far apart. Additions would fill the
				// processor's window after a few of them; loads alone bring many
				// rows to the cache at once.
				var sink uint64
				for _, r := range part {
					sink |= words[int(r)*stride+group]
				}
				s.sink = sink
			}
			h := (*[8 * size]int64)(s.packed[group*8*size:])
			if group*8+4 >= b.cols {
				addHalves(h, words[group:], stride, part, pairs)
				continue
			}
			addWhole(h, words[group:], stride, part, pairs)
		}
		rows = rows[n:]
	}
}

// addWhole adds the pairs of rows to h at the eight bins of their words.
func addWhole(h *[8 * (missingByte + 1)]int64, words []uint64, stride int, rows []uint32, pairs []int64) {
	const size = missingByte + 1
	pairs = pairs[:len(rows)]
	for i, r := range rows {
		w := words[int(r)*stride]
		pair := pairs[i]
		h[w&0xff] += pair
		h[w>>8&0xff+1*size] += pair
		h[w>>16&0xff+2*size] += pair
		h[w>>24&0xff+3*size] += pair
		h[w>>32&0xff+4*size] += pair
		h[w>>40&0xff+5*size] += pair
		h[w>>48&0xff+6*size] += pair
		h[w>>56+7*size] += pair
	}
}

// addHalves is addWhole for words of which at most the first four bins are in use.
func addHalves(h *[8 * (missingByte + 1)]int64, words []uint64, stride int, rows []uint32, pairs []int64) {
	const size = missingByte + 1
	pairs = pairs[:len(rows)]
	for i, r := range rows {
		w := words[int(r)*stride]
		pair := pairs[i]
		h[w&0xff] += pair
		h[w>>8&0xff+1*size] += pair
		h[w>>16&0xff+2*size] += pair
		h[w>>24&0xff+3*size] += pair
	}
}

// emptyWords moves what addWords gathered into h.
func (b *binned) emptyWords(h histogram, groups []int, s *scratch) {
	const size = missingByte + 1
	for _, group := range groups {
		for f := group * 8; f < min(group*8+8, b.cols); f++ {
			from := s.packed[f*size : (f+1)*size]
			to := h[b.ptr[f]:b.ptr[f+1]]
			for i := range to {
				v := from[i]
				to[i].g += v >> 32
				to[i].h += v & math.MaxUint32
			}
		}
		clear(s.packed[group*8*size : (group+1)*8*size])
	}
}

func (b *binned) addShorts(rows []uint32, packed []int64, groups []int, s *scratch) {
	for _, r := range rows {
		pair := packed[r]
		row := b.shorts[int(r)*b.cols : (int(r)+1)*b.cols]
		for _, group := range groups {
			for f := group * 8; f < min(group*8+8, b.cols); f++ {
				if v := row[f]; v != missingShort {
					s.packed[b.ptr[f]+uint32(v)] += pair
				}
			}
		}
	}
}

// emptyFlat moves the sums of numbered-through bins into h.
func (b *binned) emptyFlat(h histogram, s *scratch) {
	for i, v := range s.packed {
		if v != 0 {
			h[i].g += v >> 32
			h[i].h += v & math.MaxUint32
			s.packed[i] = 0
		}
	}
}

// fillWide adds pair by pair, without packing.
func (b *binned) fillWide(h histogram, rows []uint32, q *quantized, groups []int) {
	for _, r := range rows {
		pair := q.of(r)
		if b.index != nil {
			for _, bin := range b.index[b.start[r]:b.start[r+1]] {
				h[bin] = h[bin].plus(pair)
			}
			continue
		}
		for _, group := range groups {
			for f := group * 8; f < min(group*8+8, b.cols); f++ {
				if bin, ok := b.bin(r, f); ok {
					at := b.ptr[f] + uint32(bin)
					h[at] = h[at].plus(pair)
				}
			}
		}
	}
}

// add adds o to h.
func (h histogram) add(o histogram) {
	o = o[:len(h)]
	for i := range h {
		h[i] = h[i].plus(o[i])
	}
}

// subtract takes o from h.
func (h histogram) subtract(o histogram) {
	o = o[:len(h)]
	for i := range h {
		h[i] = h[i].minus(o[i])
	}
}
