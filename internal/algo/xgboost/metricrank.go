// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// descending gives the rows in the order of falling predictions.
func descending(preds []float32) []uint32 {
	const bits, buckets = 11, 1 << 11
	from, to := make([]uint64, len(preds)), make([]uint64, len(preds))
	for i, p := range preds {
		from[i] = uint64(^sortKey(p))<<32 | uint64(i)
	}
	for pass := range 3 {
		shift := uint(32 + pass*bits)
		var at [buckets + 1]uint32
		for _, v := range from {
			at[v>>shift&(buckets-1)+1]++
		}
		for b := range buckets {
			at[b+1] += at[b]
		}
		for _, v := range from {
			b := v >> shift & (buckets - 1)
			to[at[b]] = v
			at[b]++
		}
		from, to = to, from
	}
	order := make([]uint32, len(preds))
	for i, v := range from {
		order[i] = uint32(v)
	}
	return order
}

// level is the weight of negatives and positives that have one prediction.
type level struct {
	key                uint32 // sortKey of the prediction
	negative, positive float64
}

// descend calls f for each different prediction of the rows that are here, the
// largest first.
func descend(s *seen, f func(level)) {
	order := descending(s.preds)
	var at level
	for i, r := range order {
		if key := sortKey(s.preds[r]); i == 0 || key != at.key {
			if i > 0 {
				f(at)
			}
			at = level{key: key}
		}
		y, w := float64(s.m.Label[r]), s.weight(int(r))
		at.negative += (1 - y) * w
		at.positive += y * w
	}
	if len(order) > 0 {
		f(at)
	}
}

// steps walks down the predictions of all rows and calls f once for each
// different one with the weight of negatives and positives that lie at or above
// it, before and after. It gives the totals. Of several hosts the first one
// walks; for the others there is nothing to see.
func steps(s *seen, f func(fp0, fp, tp0, tp float64)) (negative, positive float64) {
	var fp0, tp0, fp, tp float64
	down := func(l level) {
		fp, tp = fp0+l.negative, tp0+l.positive
		f(fp0, fp, tp0, tp)
		fp0, tp0 = fp, tp
	}
	if s.across == nil {
		descend(s, down)
	} else {
		for _, l := range s.levels() {
			down(l)
		}
	}
	return fp, tp
}

// auc is the area under the curve of true against false positives; 0.5 when
// one of the classes is absent, as in SageMaker's container. Query groups have
// an area each.
func auc(s *seen) float64 {
	if s.m.Groups != nil {
		return groupAUC(s)
	}
	var area float64
	negative, positive := steps(s, func(fp0, fp, tp0, tp float64) { area += (fp - fp0) * (tp + tp0) / 2 })
	if negative <= 0 || positive <= 0 {
		return s.told(0.5)
	}
	return s.told(area / (negative * positive))
}

// aucPR is the area under the curve of precision against recall, NaN when one
// of the classes is absent.
//
// Source: Davis and Goadrich, "The Relationship Between Precision-Recall and
// ROC Curves", ICML 2006: between two points false positives grow linearly
// with true ones; the integral of that is taken in closed form.
func aucPR(s *seen) float64 {
	if s.m.Groups != nil {
		return groupAUCPR(s)
	}
	if s.width > 1 {
		return classesAUCPR(s)
	}
	var all []rocStep
	negative, positive := steps(s, func(fp0, fp, tp0, tp float64) { all = append(all, rocStep{fp0, fp, tp0, tp}) })
	return s.told(areaUnder(all, negative, positive))
}

// classesAUCPR is the mean over the classes of the area of each against the rest.
func classesAUCPR(s *seen) float64 {
	var sum float64
	for k := range s.width {
		one := *s
		one.m = &algo.Matrix{Rows: s.m.Rows, Label: make([]float32, s.m.Rows), Weight: s.m.Weight}
		one.preds, one.width = make([]float32, s.m.Rows), 1
		for i, y := range s.m.Label {
			if int(y) == k {
				one.m.Label[i] = 1
			}
			one.preds[i] = s.preds[i*s.width+k]
		}
		sum += aucPR(&one)
	}
	return sum / float64(s.width)
}

// areaPR is the area of one group.
func areaPR(levels []level) float64 {
	var all []rocStep
	var fp, tp float64
	for _, l := range levels {
		all = append(all, rocStep{fp, fp + l.negative, tp, tp + l.positive})
		fp, tp = fp+l.negative, tp+l.positive
	}
	return areaUnder(all, fp, tp)
}

// rocStep is the weight of false and true positives before and at a prediction.
type rocStep struct{ fp0, fp, tp0, tp float64 }

func areaUnder(all []rocStep, negative, positive float64) float64 {
	if negative <= 0 || positive <= 0 {
		return math.NaN()
	}
	var area float64
	for _, s := range all {
		from, to := s.tp0/positive, s.tp/positive
		if s.tp == s.tp0 {
			continue
		}
		slope := (s.fp - s.fp0) / (s.tp - s.tp0)
		a, b := 1+slope, (s.fp0-slope*s.tp0)/positive
		if b == 0 {
			area += (to - from) / a
		} else {
			area += (to - from - b/a*(math.Log(a*to+b)-math.Log(a*from+b))) / a
		}
	}
	return area
}
