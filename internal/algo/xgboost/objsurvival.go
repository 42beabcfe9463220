// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// noise is a distribution of the noise of survival:aft: its density, the
// density's first and second derivative.
type noise struct {
	density, slope, curve func(z float64) float64
	// What the derivatives of the loss tend to where the density has become too
	// small to divide by: at a label far above the prediction, and far below.
	gAbove, gBelow, hAbove, hBelow func(scale float64) float64
}

// The bounds of the derivatives, and what a density is not let fall below.
const (
	aftMost  = 15.0
	aftLeast = 1e-12
)

func always(v float64) func(float64) float64 { return func(float64) float64 { return v } }

// noises are the distributions by the names of aft_loss_distribution.
//
// Source: Barnwal, Cho and Hocking, "Survival regression with accelerated
// failure time model in XGBoost", JCGS 2022, arXiv:2006.04920, tables 2 to 5.
var noises = map[string]noise{
	"normal": {
		density: normalDensity,
		slope:   func(z float64) float64 { return -z * normalDensity(z) },
		curve:   func(z float64) float64 { return (z*z - 1) * normalDensity(z) },
		gAbove:  always(-aftMost), gBelow: always(aftMost),
		hAbove: func(s float64) float64 { return 1 / (s * s) }, hBelow: func(s float64) float64 { return 1 / (s * s) },
	},
	"logistic": {
		density: logisticDensity,
		slope: func(z float64) float64 {
			w := math.Exp(z)
			if math.IsInf(w, 1) {
				return 0
			}
			return logisticDensity(z) * (1 - w) / (1 + w)
		},
		curve: func(z float64) float64 {
			w := math.Exp(z)
			if math.IsInf(w*w, 1) {
				return 0
			}
			return logisticDensity(z) * (w*w - 4*w + 1) / ((1 + w) * (1 + w))
		},
		gAbove: func(s float64) float64 { return -1 / s }, gBelow: func(s float64) float64 { return 1 / s },
		hAbove: always(smallest), hBelow: always(smallest),
	},
	"extreme": {
		density: extremeDensity,
		slope: func(z float64) float64 {
			w := math.Exp(z)
			if math.IsInf(w, 1) {
				return 0
			}
			return (1 - w) * extremeDensity(z)
		},
		curve: func(z float64) float64 {
			w := math.Exp(z)
			if math.IsInf(w*w, 1) {
				return 0
			}
			return (w*w - 3*w + 1) * extremeDensity(z)
		},
		gAbove: always(-aftMost), gBelow: func(s float64) float64 { return 1 / s },
		hAbove: always(aftMost), hBelow: always(smallest),
	},
}

func normalDensity(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }

func logisticDensity(z float64) float64 {
	w := math.Exp(z)
	if math.IsInf(w*w, 1) {
		return 0
	}
	return w / ((1 + w) * (1 + w))
}

func extremeDensity(z float64) float64 {
	w := math.Exp(z)
	if math.IsInf(w, 1) {
		return 0
	}
	return w * math.Exp(-w)
}

// pair gives the derivatives of the loss of an event at time label. The channels
// have one label, so no time is an interval: nothing is censored.
func (n noise) pair(margin, label float32, scale float64) (g, h float32) {
	z := (math.Log(float64(label)) - float64(margin)) / scale
	f, slope, curve := n.density(z), n.slope(z), n.curve(z)
	unfit := func(v, below float64) bool { return below < aftLeast && (math.IsNaN(v) || math.IsInf(v, 0)) }
	first := slope / (scale * f)
	if unfit(first, scale*f) {
		first = n.gBelow(scale)
		if z > 0 {
			first = n.gAbove(scale)
		}
	}
	second := -(f*curve - slope*slope) / (scale * scale * f * f)
	if unfit(second, scale*scale*f*f) {
		second = n.hBelow(scale)
		if z > 0 {
			second = n.hAbove(scale)
		}
	}
	return float32(min(max(first, -aftMost), aftMost)), float32(min(max(second, smallest), aftMost))
}

// loss is the negative log-likelihood of an event at time label.
func (n noise) loss(label, margin, scale float64) float64 {
	z := (math.Log(label) - margin) / scale
	return -math.Log(max(n.density(z)/(scale*label), aftLeast))
}

// aft makes o the loss of the accelerated failure time model.
func (o *objective) aft(c *config) {
	n, scale := noises[c.aftNoise], float64(c.aftScale)
	o.metric, o.start, o.raw = "aft-nloglik", byHalf, true
	o.pair = func(margin, _, label float32) (g, h float32) { return n.pair(margin, label, scale) }
	o.lossOf = func(label, margin float64) float64 { return n.loss(label, margin, scale) }
	o.allows, o.demand = func(y float32) bool { return y > 0 }, "label must be a time greater than 0 for survival:aft"
	o.group = "aft_loss_param"
	o.params = map[string]string{"aft_loss_distribution": c.aftNoise, "aft_loss_distribution_scale": formatFloat(c.aftScale)}
}

// byTime gives the rows in the order of their times, the magnitudes of labels:
// a negative one says that the row was still without an event then.
func byTime(labels []float32) []int32 {
	order := make([]int32, len(labels))
	for i := range order {
		order[i] = int32(i)
	}
	abs := func(r int32) float64 { return math.Abs(float64(labels[r])) }
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(abs(a), abs(b)) })
	return order
}

// coxPairs fills into with the derivatives of the partial likelihood of Cox's
// proportional hazards, in Breslow's form for times that occur more than once.
func coxPairs(m *algo.Matrix, _, preds []float32, into []gradPair, _ int) {
	order := byTime(m.Label)
	var atRisk float64 // sum of the hazards of the rows that are still without an event
	for _, r := range order {
		atRisk += float64(preds[r])
	}
	var inverse, squares, left float64 // sums of 1/atRisk and its square over the events so far; hazards to leave
	last := 0.0
	for _, r := range order {
		p, y := float64(preds[r]), m.Label[r]
		time := math.Abs(float64(y))
		if last < time { // only then do the rows before leave
			atRisk -= left
			left = 0
		}
		left += p
		event := 0.0
		if y > 0 {
			event = 1
			inverse += 1 / atRisk
			squares += 1 / (atRisk * atRisk)
		}
		w := float32(1)
		if m.Weight != nil {
			w = m.Weight[r]
		}
		into[r] = gradPair{float32(p*inverse-event) * w, float32(p*inverse-p*p*squares) * w}
		last = time
	}
}

// coxLoss is the mean of the negative log partial likelihood over the events.
func coxLoss(s *seen) float64 {
	order := byTime(s.m.Label)
	var atRisk, left, loss float64
	for _, p := range s.preds {
		atRisk += float64(p)
	}
	events := 0
	for i, r := range order {
		p, y := float64(s.preds[r]), float64(s.m.Label[r])
		if y > 0 {
			loss -= math.Log(p) - math.Log(atRisk)
			events++
		}
		left += p
		if i+1 == len(order) || math.Abs(y) < math.Abs(float64(s.m.Label[order[i+1]])) {
			atRisk -= left
			left = 0
		}
	}
	return loss / float64(events)
}
