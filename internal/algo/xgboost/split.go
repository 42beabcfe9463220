// SPDX-License-Identifier: Apache-2.0

package xgboost

import "math"

// regular is what shapes trees: the penalties and limits of splits.
type regular struct {
	eta, gamma, lambda, alpha    float64
	minChildWeight, maxDeltaStep float64
	maxDepth, maxLeaves          int
	lossguide                    bool
	byTree, byLevel, byNode      float64 // colsample_*
	subsample                    float64
	maxBin, parallelTrees        int
	gradientBased                bool      // subsample draws rows by their gradients
	monotone                     []int8    // by feature, up to the last that is not 0: 1 rises, -1 falls; nil for none
	meet                         [][]int32 // features that may meet on a way, ascending; nil for no limits
	cats                         []bool    // by feature: its values are categories; nil for none
	oneHot, mostCats             int       // max_cat_to_onehot, max_cat_threshold
}

// minGain is XGBoost's kRtEps: a smaller gain is rounding noise.
const minGain = 1e-6

// soft shrinks g towards 0 by alpha, the L1 penalty.
func soft(g, alpha float64) float64 {
	switch {
	case g > alpha:
		return g - alpha
	case g < -alpha:
		return g + alpha
	}
	return 0
}

// weight is the best weight of a leaf whose rows have the sums g and h, before
// eta: -soft(g)/(h+lambda), held within maxDeltaStep when that is not 0.
func (p *regular) weight(g, h float64) float64 {
	if h <= 0 || h < p.minChildWeight {
		return 0
	}
	w := -soft(g, p.alpha) / (h + p.lambda)
	if p.maxDeltaStep > 0 {
		w = min(max(w, -p.maxDeltaStep), p.maxDeltaStep)
	}
	return w
}

// gain is twice what a leaf with these sums takes off the loss.
func (p *regular) gain(g, h float64) float64 {
	if h <= 0 {
		return 0
	}
	if p.maxDeltaStep == 0 {
		s := soft(g, p.alpha)
		return s * s / (h + p.lambda)
	}
	w := p.weight(g, h)
	return -(2*g*w + (h+p.lambda)*w*w)
}

// split is a candidate: rows whose feature lies in a bin up to bin, or in none of
// cats, go left, and missing ones as missingLeft says. bin is numbered within
// the feature, and -1 where none is.
type split struct {
	gain        float64 // 0 or less when there is none
	feature     int
	bin         int
	missingLeft bool
	left        sums
	cats        *categories // nil for a split by value
}

// goesLeft tells where a bin of the feature goes.
func (s *split) goesLeft(bin int) bool {
	if s.cats != nil {
		return !s.cats.has(float32(bin))
	}
	return bin <= s.bin
}

// best finds the split of a node with the histogram h and the sums total that
// gains most within the node's fence. features are ascending; among equals the
// first one wins, as in XGBoost, and that splits missing rows to the right before
// the left.
func (p *regular) best(b *binned, q *quantized, h histogram, total sums, features []int32, within *fence) split {
	e := evaluator{
		regular: p, unitG: q.unitG, unitH: q.unitH,
		g: float64(total.g) * q.unitG, h: float64(total.h) * q.unitH,
		simple: p.maxDeltaStep == 0 && p.alpha == 0 && p.monotone == nil,
		fence:  within,
	}
	if e.whole = p.gain(e.g, e.h); within != nil {
		e.whole = within.whole
	}
	e.found.gain = 0
	for _, feature := range within.among(features) {
		f := int(feature)
		bins := h[b.ptr[f]:b.ptr[f+1]]
		e.direction = p.direction(f)
		if p.cats != nil && p.cats[f] {
			e.tryCategories(f, bins, total)
			continue
		}
		var left sums
		for i, s := range bins {
			if s == (sums{}) {
				continue
			}
			left = left.plus(s)
			if e.try(left) {
				e.found.feature, e.found.bin, e.found.missingLeft, e.found.left, e.found.cats = f, i, false, left, nil
			}
		}
		if !b.missing[f] || left == total {
			continue
		}
		var right sums
		last := 0
		if e.direction != 0 {
			last = -1 // missing ones against all others: the other way round the weights may not be allowed
		}
		for i := len(bins) - 1; i > last; i-- {
			if s := bins[i]; s != (sums{}) {
				right = right.plus(s)
				if left := total.minus(right); e.try(left) {
					e.found.feature, e.found.bin, e.found.missingLeft, e.found.left, e.found.cats = f, i-1, true, left, nil
				}
			}
		}
	}
	found := e.found
	if found.gain <= minGain || found.gain < p.gamma {
		found.gain = 0
	}
	return found
}

// evaluator weighs the splits of one node.
type evaluator struct {
	*regular
	unitG, unitH float64
	g, h, whole  float64 // sums of the node, and its gain as a leaf
	simple       bool    // neither alpha, max_delta_step nor monotone constraints
	fence        *fence
	direction    int8 // monotone constraint of the feature at hand
	found        split
}

// try reports whether a split with these sums to the left gains more than the
// best so far, and then notes its gain.
func (e *evaluator) try(left sums) bool {
	gl, hl := float64(left.g)*e.unitG, float64(left.h)*e.unitH
	gr, hr := e.g-gl, e.h-hl
	if hl < e.minChildWeight || hr < e.minChildWeight || hl <= 0 || hr <= 0 {
		return false
	}
	var gain float64
	if e.simple {
		// One division for the two terms gl²/(hl+lambda) + gr²/(hr+lambda).
		dl, dr := hl+e.lambda, hr+e.lambda
		gain = (gl*gl*dr+gr*gr*dl)/(dl*dr) - e.whole
	} else if e.monotone != nil {
		wl, wr := float32(e.weightWithin(e.fence, gl, hl)), float32(e.weightWithin(e.fence, gr, hr))
		if e.direction > 0 && wl > wr || e.direction < 0 && wl < wr {
			return false
		}
		gain = e.gainWithin(e.fence, gl, hl) + e.gainWithin(e.fence, gr, hr) - e.whole
	} else {
		gain = e.gain(gl, hl) + e.gain(gr, hr) - e.whole
	}
	if gain > e.found.gain && gain <= math.MaxFloat64 {
		e.found.gain = gain
		return true
	}
	return false
}
