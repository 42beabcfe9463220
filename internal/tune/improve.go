// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Candidates of the search for the largest improvement: random points, points
// near the best, and how many of them are followed uphill.
const (
	randomCandidates = 120
	nearBest         = 5
	nearEach         = 12
	climbs           = 3
	climbSteps       = 15
)

// means are what is believed of the observed points, and the indexes of those of
// this search; of all where it has none.
func (b *belief) means() (own []int, means []float64) {
	means = make([]float64, len(b.y))
	var all []int
	for i := range b.x {
		// The mean at an observed point, without another look at all others.
		means[i] = b.y[i] - math.Exp(b.theta[len(b.space)+1])*b.alpha[i]
		if all = append(all, i); b.source[i] == 0 {
			own = append(own, i)
		}
	}
	if len(own) == 0 {
		own = all
	}
	return own, means
}

// incumbent is the lowest mean of the observed points of all spaces: what a new
// point is to improve on. Noise has a part in the lowest value itself.
func incumbent(beliefs []belief) float64 {
	least := math.Inf(1)
	for _, b := range beliefs {
		if b.process == nil {
			continue
		}
		own, means := b.means()
		for _, i := range own {
			least = min(least, means[i])
		}
	}
	return least
}

// explore is how far the point of the nth trial is to be better than the best, in
// spreads of the objective. If it were nought each time, a search could stay where
// it found something for too long.
func explore(n int) float64 { return [4]float64{0, 0.1, 0, 0.5}[n%4] }

// improve finds the point with the largest expected improvement on a value that
// was not tried, and the improvement's logarithm.
func (b *belief) improve(sp Space, incumbent float64, rng *rand.Rand, tried func([]float64) bool) (x []float64, value float64, ok bool) {
	order, means := b.means()
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(means[i], means[j]) })
	score := func(x []float64) float64 {
		mean, spread := b.predict(x, nil, nil)
		v, _, _ := logImprovement(incumbent, mean, spread)
		return v
	}
	type candidate struct {
		x []float64
		v float64
	}
	var all []candidate
	add := func(x []float64) {
		for j := range sp {
			x[j] = sp[j].snap(x[j])
		}
		all = append(all, candidate{x, score(x)})
	}
	for range randomCandidates {
		add(sp.draw(rng))
	}
	for _, i := range order[:min(nearBest, len(order))] {
		for k := range nearEach {
			add(sp.near(b.x[i], []float64{0.003, 0.03, 0.1, 0.3}[k%4], rng))
		}
	}
	byValue := func(a, b candidate) int { return cmp.Compare(b.v, a.v) }
	slices.SortStableFunc(all, byValue)
	numbers := false
	low, high := make([]float64, len(sp)), make([]float64, len(sp))
	for j, p := range sp {
		numbers = numbers || p.Kind != Categorical
		high[j] = 1
		if p.Kind == Categorical {
			high[j] = float64(len(p.Values))
		}
	}
	gm, gs := make([]float64, len(sp)), make([]float64, len(sp))
	climb := func(x []float64) {
		if numbers {
			x, _ = minimize(func(x, grad []float64) float64 {
				mean, spread := b.predict(x, gm, gs)
				v, byMean, bySpread := logImprovement(incumbent, mean, spread)
				for j := range grad {
					grad[j] = -byMean*gm[j] - bySpread*gs[j]
				}
				return -v
			}, x, low, high, climbSteps)
		}
		add(x)
		// Then one step at a time of what is no continuous number.
		at := all[len(all)-1]
		for range 3 {
			better := at
			for j, p := range sp {
				for _, u := range p.neighbours(at.x[j]) {
					y := slices.Clone(at.x)
					y[j] = u
					if v := score(y); v > better.v {
						better = candidate{y, v}
					}
				}
			}
			if better.v <= at.v {
				break
			}
			at = better
			all = append(all, at)
		}
	}
	for _, c := range slices.Clone(all[:climbs]) {
		climb(c.x)
	}
	slices.SortStableFunc(all, byValue)
	for _, c := range all {
		if !tried(c.x) {
			return c.x, c.v, true
		}
	}
	return nil, 0, false
}

// near gives a point near x: some of its coordinates are moved by a random number
// of this spread, some categories are drawn anew.
func (s Space) near(x []float64, spread float64, rng *rand.Rand) []float64 {
	out := slices.Clone(x)
	must := rng.IntN(len(s))
	for j, p := range s {
		if j != must && rng.Float64() < 0.4 {
			continue
		}
		switch {
		case p.Kind == Categorical:
			if j == must || rng.Float64() < 0.3 {
				out[j] = float64(rng.IntN(len(p.Values)))
			}
		default:
			out[j] = min(max(x[j]+spread*rng.NormFloat64(), 0), 1)
		}
	}
	return out
}

// neighbours are the coordinates one step from u: the next integers, the other
// categories.
func (p Param) neighbours(u float64) []float64 {
	switch p.Kind {
	case Integer:
		v, _ := p.at(p.value(u))
		low, high := p.bounds()
		x := math.Round(p.backward(low + v*(high-low)))
		var out []float64
		for _, n := range []float64{x - 1, x + 1} {
			if n >= math.Ceil(p.Min) && n <= math.Floor(p.Max) {
				out = append(out, (p.forward(n)-low)/(high-low))
			}
		}
		return out
	case Categorical:
		var out []float64
		for i := range p.Values {
			if float64(i) != u {
				out = append(out, float64(i))
			}
		}
		return out
	}
	return nil
}
