// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"cmp"
	"math"
	"slices"
)

// halvingRate is which part of the trials goes on beyond a rung of Hyperband: one
// in so many. Source: Li et al., "Hyperband", JMLR 2018, section 2.6.
const halvingRate = 3

// The median rule wants so many curves to compare with, and a curve of so many
// epochs to judge. The service tells of neither.
const (
	leastCurves = 4
	leastEpochs = 2
)

// Stop gives the indexes of running trials that are not worth going on with, by
// the rule of the strategy: for Hyperband that of successive halving and what has
// gone on beyond MaxResource, for the others the median rule.
func (s Search) Stop(history []Trial) []int {
	var out []int
	for i, t := range history {
		if t.Source != 0 || t.State != Running || len(t.Curve) == 0 {
			continue
		}
		// A trial with just MaxResource epochs ends by itself.
		over := len(t.Curve) > s.MaxResource
		if s.Strategy == Hyperband && (over || s.halved(history, t)) || s.Strategy != Hyperband && s.belowMedian(history, t) {
			out = append(out, i)
		}
	}
	return out
}

// halved tells whether a trial is not among the best third of those that came to
// the last rung that it has reached. Rungs are MinResource, three times that, and
// so on below MaxResource. Nothing waits for others: who comes first goes on, and
// is judged again with those that come after.
//
// Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning",
// MLSys 2020.
func (s Search) halved(history []Trial, t Trial) bool {
	rung := 0
	for r := max(s.MinResource, 1); r <= len(t.Curve) && r < s.MaxResource; r *= halvingRate {
		rung = r
	}
	if rung == 0 {
		return false
	}
	mine := t.Curve[rung-1]
	reached, better := 0, 0
	for _, o := range history {
		if o.Source != 0 || o.Space != t.Space || len(o.Curve) < rung {
			continue
		}
		reached++
		if s.Better(o.Curve[rung-1], mine) {
			better++
		}
	}
	return better >= max(1, int(math.Ceil(float64(reached)/halvingRate)))
}

// belowMedian is the median rule: after each epoch a trial's objective is compared
// with the median of the earlier trials' averages up to that epoch.
//
// Source: Golovin et al., "Google Vizier", KDD 2017, section 3.2.2, and the
// developer guide's "Stop Training Jobs Early".
func (s Search) belowMedian(history []Trial, t Trial) bool {
	epoch := len(t.Curve)
	if epoch < leastEpochs {
		return false
	}
	var averages []float64
	for _, o := range history {
		if o.Source != 0 || o.Space != t.Space || o.State != Ended || len(o.Curve) < epoch {
			continue
		}
		sum := 0.0
		for _, v := range o.Curve[:epoch] {
			sum += v
		}
		averages = append(averages, sum/float64(epoch))
	}
	if len(averages) < leastCurves {
		return false
	}
	slices.Sort(averages)
	n := len(averages)
	median := (averages[(n-1)/2] + averages[n/2]) / 2
	return s.Better(median, t.Curve[epoch-1])
}

// A search has converged when so many trials have ended, the last of them have
// brought next to nothing, and the best further point is not expected to bring
// more: nothing is a hundredth of what the best has gained over the median.
const (
	convergedTrials = 10
	convergedSince  = 5
	convergedGain   = 0.01
)

// Converged tells whether there is little left to gain. It asks a Gaussian
// process, whatever the strategy.
func (s Search) Converged(history []Trial) bool {
	var ended []Trial
	for _, t := range history {
		if t.Source == 0 && t.State == Ended {
			ended = append(ended, t)
		}
	}
	enough := convergedTrials
	for _, sp := range s.Spaces {
		enough = max(enough, 2*len(sp)*len(s.Spaces))
	}
	if len(ended) < enough {
		return false
	}
	slices.SortStableFunc(ended, func(a, b Trial) int { return cmp.Compare(a.Order, b.Order) })
	var values []float64
	for _, t := range ended {
		if values = append(values, t.Value); s.Maximize {
			values[len(values)-1] = -t.Value
		}
	}
	// The best is nought now.
	if slices.Min(gained(values)[:len(values)-convergedSince]) > convergedGain {
		return false
	}
	beliefs, some := s.beliefs(history, gains)
	if !some {
		return false
	}
	improveOn := incumbent(beliefs)
	for i, b := range beliefs {
		if b.process == nil {
			continue
		}
		rng := s.rng(len(history))
		_, v, ok := b.improve(s.Spaces[i], improveOn, rng, func(x []float64) bool {
			return tried(history, Point{i, s.Spaces[i].decode(x)})
		})
		if ok && v > math.Log(convergedGain) {
			return false
		}
	}
	return true
}
