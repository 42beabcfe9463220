// SPDX-License-Identifier: Apache-2.0

package linear

import (
	le "encoding/binary"

	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
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

// gatherScored gives every host the scored rows of all, sorted.
func (w *work) gatherScored(own []firstparty.Scored) ([]firstparty.Scored, error) {
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
				own = append(own, firstparty.Scored(le.LittleEndian.Uint64(b)))
			}
		}
	}
	return firstparty.Sorted(own), nil
}

// threshold chooses the score from which on sorted rows are labelled 1: half way
// between two of them.
func (w *work) threshold(list []firstparty.Scored) float64 {
	counts, scores := make([]int64, 0, 2*len(list)), make([]float64, 0, len(list))
	for i := 0; i < len(list); i++ {
		if i == 0 || list[i]>>1 != list[i-1]>>1 {
			counts = append(counts, 0, 0)
			scores = append(scores, float64(list[i].Score()))
		}
		counts[len(counts)-2+list[i].Label()]++
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
