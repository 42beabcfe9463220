// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math"
	"math/rand/v2"
)

// setting is what one of the models differs in.
type setting struct {
	rate     float64
	wd, l1   float64
	positive float64 // weight of rows labelled 1
	step     int     // of the learning rate's schedule
	factor   float64
	minimum  float64
}

const (
	autoModels  = 32      // "auto": as many as the container trains
	autoWeights = 1 << 22 // but no more weights than these
)

// settings are those of n models, for steps in all and a balanced weight of rows
// labelled 1. The first is what the hyperparameters say, and the others
// "close parameters", as AWS's page has it: where a penalty or the learning rate
// is auto they are a grid about the default, where it is given a third and three
// times as much. A penalty that is given as 0 stays 0. Beyond the grid they are
// drawn between its ends.
func (w *work) settings(n, steps int, balanced float64) []setting {
	c := w.config
	rates, wds, l1s := c.rates(steps, w.width), penalties(c.wd, 1e-4, 1e-2, 0, 1e-3), penalties(c.l1, 0, 1e-4)
	positives := []float64{c.positive}
	switch {
	case c.positive == 0:
		positives = []float64{balanced}
	case c.positive < 0:
		positives = []float64{1, balanced}
	}
	all := make([]setting, 0, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		// The positive weight, the rate and then the penalties vary fastest, so
		// that a few models are the ones that differ most.
		at := i
		pick := func(list []float64) float64 {
			v := list[at%len(list)]
			at /= len(list)
			return v
		}
		s := setting{positive: pick(positives), rate: pick(rates), wd: pick(wds), l1: pick(l1s)}
		if at > 0 {
			s.rate *= math.Exp2(2*rng.Float64() - 1)
			s.wd *= math.Exp2(4*rng.Float64() - 2)
			s.l1 *= math.Exp2(4*rng.Float64() - 2)
		}
		all = append(all, c.scheduled(s, steps))
	}
	return all
}

// seed is of all random draws: the algorithm has no hyperparameter for it.
const seed = 0x5a6eb705

// rates are the learning rates to try. Adam and rmsprop move a weight by about
// the rate each step, so fewer steps ask for a higher one; sgd must stay below
// what the curvature of a loss of width normalised features allows.
func (c *config) rates(steps, width int) []float64 {
	if c.rate > 0 {
		return []float64{c.rate, 3 * c.rate, c.rate / 3}
	}
	if c.optimizer == "sgd" {
		r := min(0.5, 1/(c.loss.curvature()*float64(width)))
		return []float64{r, 4 * r, r / 4, r / 16}
	}
	r := min(0.1, max(0.005, 5/float64(steps)))
	if steps < 100 {
		return []float64{r, 0.3, r / 3, 1}
	}
	return []float64{r, 0.1, 0.02, r / 5}
}

// penalties are the given one and its neighbours, or def where it is auto.
func penalties(given float64, def ...float64) []float64 {
	switch {
	case given < 0:
		return def
	case given == 0:
		return []float64{0}
	}
	return []float64{given, given / 3, given * 3}
}

// scheduled is s with the schedule of its learning rate over so many steps. By
// default it falls by 1 % at a time, to a hundredth at the end of the last epoch,
// and less where there are few steps: those of a whole table have no noise, and
// far to go.
func (c *config) scheduled(s setting, steps int) setting {
	s.step, s.factor, s.minimum = c.step, c.factor, c.minimum
	end := max(0.01, min(1, 30/float64(steps)))
	switch {
	case s.step == 0 && s.factor == 0:
		s.step = max(1, int(float64(steps)*math.Log(0.99)/math.Log(min(end, 0.99))))
		s.factor = math.Pow(end, float64(s.step)/float64(steps))
	case s.step == 0:
		s.step = 10
	case s.factor == 0:
		s.factor = 0.99
	}
	if s.minimum == 0 {
		s.minimum = 1e-5
	}
	s.minimum = min(s.minimum, s.rate)
	if !c.schedule {
		s.factor = 1
	}
	return s
}

// rateAt is the learning rate of a step, which counts from 0.
func (s setting) rateAt(step int) float64 {
	return max(s.minimum, s.rate*math.Pow(s.factor, float64(step/s.step)))
}
