// SPDX-License-Identifier: Apache-2.0

package linear

import (
	le "encoding/binary"
	"math"
)

// confusion counts rows by label and prediction.
type confusion struct {
	truePositive, falsePositive, trueNegative, falseNegative float64
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func (c confusion) accuracy() float64 {
	return ratio(c.truePositive+c.trueNegative, c.truePositive+c.trueNegative+c.falsePositive+c.falseNegative)
}

func (c confusion) precision() float64 { return ratio(c.truePositive, c.truePositive+c.falsePositive) }

func (c confusion) recall() float64 { return ratio(c.truePositive, c.truePositive+c.falseNegative) }

func (c confusion) fBeta(beta float64) float64 {
	b := beta * beta
	return ratio((1+b)*c.truePositive, (1+b)*c.truePositive+b*c.falseNegative+c.falsePositive)
}

// scored is a score and its label, 0 or 1, in 33 bits that order by the score.
type scored uint64

func scoredOf(score, label float32) scored {
	if score == 0 {
		score = 0 // not -0
	}
	b := math.Float32bits(score)
	if b>>31 != 0 {
		b = ^b
	} else {
		b |= 1 << 31
	}
	return scored(b)<<1 | scored(uint64(label))
}

func (s scored) label() int { return int(s & 1) }

func (s scored) score() float32 {
	b := uint32(s >> 1)
	if b>>31 != 0 {
		return math.Float32frombits(b &^ (1 << 31))
	}
	return math.Float32frombits(^b)
}

// sorted sorts list by radix.
func sorted(list []scored) []scored {
	other := make([]scored, len(list))
	for shift := 0; shift < 33; shift += 11 {
		var starts [1 << 11]int
		for _, v := range list {
			starts[v>>shift&(1<<11-1)]++
		}
		at := 0
		for i, n := range starts {
			starts[i] = at
			at += n
		}
		for _, v := range list {
			digit := v >> shift & (1<<11 - 1)
			other[starts[digit]] = v
			starts[digit]++
		}
		list, other = other, list
	}
	return list
}

// gatherScored gives every host the scored rows of all, sorted.
func (w *work) gatherScored(own []scored) ([]scored, error) {
	if w.in.Peers.Size() > 1 {
		b := make([]byte, 0, 8*len(own))
		for _, v := range own {
			b = le.LittleEndian.AppendUint64(b, uint64(v))
		}
		all, err := w.in.Peers.AllGather(w.all, b)
		if err != nil {
			return nil, err
		}
		own = nil
		for _, b := range all {
			for ; len(b) >= 8; b = b[8:] {
				own = append(own, scored(le.LittleEndian.Uint64(b)))
			}
		}
	}
	return sorted(own), nil
}

// areaUnder is the area under the ROC curve of sorted rows, 0.5 where a class has
// none. Rows of equal scores count half.
func areaUnder(list []scored) float64 {
	var zeros, ones, area float64
	for i := 0; i < len(list); {
		var z, o float64
		j := i
		for ; j < len(list) && list[j]>>1 == list[i]>>1; j++ {
			if list[j].label() == 1 {
				o++
			} else {
				z++
			}
		}
		area += o * (zeros + z/2)
		zeros, ones, i = zeros+z, ones+o, j
	}
	if zeros == 0 || ones == 0 {
		return 0.5
	}
	return area / (zeros * ones)
}

// threshold chooses the score from which on sorted rows are labelled 1: half way
// between two of them.
func (w *work) threshold(list []scored) float64 {
	counts, scores := make([]int64, 0, 2*len(list)), make([]float64, 0, len(list))
	for i := 0; i < len(list); i++ {
		if i == 0 || list[i]>>1 != list[i-1]>>1 {
			counts = append(counts, 0, 0)
			scores = append(scores, float64(list[i].score()))
		}
		counts[len(counts)-2+list[i].label()]++
	}
	last := len(scores)
	if last == 0 {
		return 0
	}
	at := func(cell int) float64 {
		switch cell {
		case 0:
			return min(scores[0]-1, 0)
		case last:
			return max(scores[last-1]+1, 0)
		}
		lo, hi := scores[cell-1], scores[cell]
		if lo < 0 && hi >= 0 {
			return 0
		}
		return lo + (hi-lo)/2
	}
	return at(w.bestCut(counts, at).cell)
}
