// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// minutes are data points of the minutes that end at start.
func minutes(values ...float64) []point {
	out := make([]point, len(values))
	for i, v := range values {
		out[i] = point{start.Add(-time.Duration(len(values)-i) * time.Minute), v}
	}
	return out
}

func same(n int, v float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func track(points []point, edit ...func(*tracking)) reading {
	t := &tracking{target: 100, outPoints: 3, inPoints: 15, points: points, highAlarm: "high", lowAlarm: "low"}
	for _, e := range edit {
		e(t)
	}
	return reading{policy: "track", out: 5 * time.Minute, in: 10 * time.Minute, track: t}
}

func stepped(kind string, distance float64, minimum int, steps ...step) reading {
	return reading{policy: "step", out: time.Minute, in: time.Minute, step: &stepping{alarm: "busy", kind: kind, distance: distance, steps: steps, minimum: minimum}}
}

func downward(r reading) reading {
	r.step.below = true
	return r
}

func TestDecide(t *testing.T) {
	inf := math.Inf(1)
	noIn := func(t *tracking) { t.disableScaleIn = true }
	at := func(capacity int, changes ...change) view {
		return view{now: start, capacity: capacity, lowest: 1, highest: 10, changes: changes}
	}
	// ago is a change that ended so many minutes before now.
	ago := func(from, to, ended int, cooldown time.Duration) change {
		return change{from, to, start.Add(-time.Duration(ended) * time.Minute), cooldown}
	}
	nothing := func(capacity int) decision { return decision{to: capacity} }
	out := func(to int) decision {
		return decision{to: to, policy: "track", alarm: "high", cooldown: 5 * time.Minute}
	}
	in := func(to int) decision {
		return decision{to: to, policy: "track", alarm: "low", cooldown: 10 * time.Minute}
	}
	both := func(to int) decision {
		return decision{to: to, policy: "step", alarm: "busy", cooldown: time.Minute}
	}
	suspended := func(v view, out, in bool) view { v.outSuspended, v.inSuspended = out, in; return v }
	low := minutes(same(15, 40)...)
	for _, c := range []struct {
		name     string
		view     view
		readings []reading
		want     decision
	}{
		{"no policy, no change", at(2), nil, nothing(2)},
		{"three minutes above the target add in proportion", at(2), []reading{track(minutes(150, 180, 210))}, out(5)},
		{"two minutes above are not enough", at(2), []reading{track(minutes(90, 180, 210))}, nothing(2)},
		{"on the target is not above it", at(2), []reading{track(minutes(100, 100, 100))}, nothing(2)},
		{"two data points are too few", at(2), []reading{track(minutes(180, 210))}, nothing(2)},
		{"a third of three instances is three, in spite of rounding", at(3), []reading{track(minutes(same(15, 100.0/3)...))}, in(1)},
		{"no more than the maximum", at(8), []reading{track(minutes(300, 300, 300))}, out(10)},
		{"at the maximum nothing is left to add", at(10), []reading{track(minutes(300, 300, 300))},
			decision{to: 10, policy: "track", alarm: "high", cooldown: 5 * time.Minute, blocked: "AlreadyAtMaxCapacity"}},
		{"fifteen minutes below 90 % take away", at(5), []reading{track(low)}, in(2)},
		{"the busiest of them is still served", at(5), []reading{track(minutes(append(same(14, 10), 79)...))}, in(4)},
		{"fourteen minutes are too few", at(5), []reading{track(minutes(append([]float64{95}, same(14, 40)...)...))}, nothing(5)},
		{"no less than the minimum", at(2), []reading{track(minutes(same(15, 0)...))}, in(1)},
		{"at the minimum nothing is left to take away", at(1), []reading{track(minutes(same(15, 0)...))},
			decision{to: 1, policy: "track", alarm: "low", cooldown: 10 * time.Minute, blocked: "AlreadyAtMinCapacity"}},
		{"below 90 %, but all are needed", at(2), []reading{track(minutes(same(15, 80)...))}, nothing(2)},
		{"scale-in is disabled", at(5), []reading{track(low, noIn)}, nothing(5)},
		{"without data nothing is said", at(5), []reading{track(nil)}, nothing(5)},
		{"a minimum of zero is reached", view{now: start, capacity: 2, highest: 10}, []reading{track(minutes(same(15, 0)...))}, in(0)},
		{"from zero the metric is what one would have", view{now: start, highest: 10}, []reading{track(minutes(250, 250, 250))}, out(3)},

		{"in the cooldown of a scale-out the same need adds nothing", at(4, ago(2, 4, 1, 5*time.Minute)), []reading{track(minutes(190, 190, 190))}, nothing(4)},
		{"a larger one goes on, from where the first began", at(4, ago(2, 4, 1, 5*time.Minute)), []reading{track(minutes(190, 250, 300))}, out(6)},
		{"after the cooldown all of it counts", at(4, ago(2, 4, 6, 5*time.Minute)), []reading{track(minutes(190, 190, 190))}, out(8)},
		{"data from before the last change tell of the capacity then", at(6, ago(2, 6, 0, 0)), []reading{track(minutes(290, 290, 290))}, nothing(6)},
		{"in the cooldown of a scale-in nothing is taken away", at(5, ago(6, 5, 9, 10*time.Minute)), []reading{track(low)}, nothing(5)},
		{"in the cooldown of a scale-in more is added at once", at(2, ago(6, 2, 1, 10*time.Minute)), []reading{track(minutes(150, 180, 210))}, out(5)},
		{"a scale-out ends the cooldown of a scale-in", at(5, ago(6, 2, 9, 10*time.Minute), ago(2, 5, 8, 0)), []reading{track(low)}, in(3)},
		{"after the cooldown of a scale-in more goes", at(5, ago(6, 5, 11, 10*time.Minute)), []reading{track(low)}, in(3)},

		{"of two that want more, the larger", at(2), []reading{track(minutes(150, 150, 150)), stepped("ChangeInCapacity", 5, 0, step{0, inf, 4})}, both(6)},
		{"one that wants more wins over one that wants less", at(5), []reading{track(low), stepped("ChangeInCapacity", 5, 0, step{0, inf, 1})}, both(6)},
		{"all that track must agree to take away", at(5), []reading{track(low), track(minutes(same(15, 95)...))}, nothing(5)},
		{"one that tracks and has no data does not agree", at(5), []reading{track(low), track(nil)}, nothing(5)},
		{"one that may not take away is not asked", at(5), []reading{track(low), track(minutes(same(15, 95)...), noIn)}, in(2)},
		{"of two that want less, the one that keeps more", at(5), []reading{track(low), track(minutes(same(15, 70)...))}, in(4)},

		{"no scale-out while it is suspended", suspended(at(2), true, false), []reading{track(minutes(150, 180, 210))}, nothing(2)},
		{"no scale-in while it is suspended", suspended(at(5), false, true), []reading{track(low)}, nothing(5)},
		{"scale-in goes on while scale-out is suspended", suspended(at(5), true, false), []reading{track(low)}, in(2)},

		{"the step is chosen by distance", at(2), []reading{stepped("ChangeInCapacity", 15, 0, step{0, 10, 1}, step{10, inf, 3})}, both(5)},
		{"above the threshold the lower bound belongs to a step", at(2), []reading{stepped("ChangeInCapacity", 10, 0, step{0, 10, 1}, step{10, inf, 3})}, both(5)},
		{"the threshold itself is above it", at(5), []reading{stepped("ChangeInCapacity", 0, 0, step{-inf, 0, -3}, step{0, inf, 1})}, both(6)},
		{"or below, for an alarm that goes off there", at(5), []reading{downward(stepped("ChangeInCapacity", 0, 0, step{-inf, 0, -3}, step{0, inf, 1}))}, both(2)},
		{"below it the upper bound does", at(5), []reading{stepped("ChangeInCapacity", -10, 0, step{-inf, -10, -3}, step{-10, 0, -1})}, both(2)},
		{"a distance without a step does nothing", at(2), []reading{stepped("ChangeInCapacity", -1, 0, step{0, inf, 3})}, nothing(2)},
		{"an exact capacity", at(2), []reading{stepped("ExactCapacity", 1, 0, step{0, inf, 7})}, both(7)},
		{"an exact capacity that is there", at(7), []reading{stepped("ExactCapacity", 1, 0, step{0, inf, 7})}, nothing(7)},
		{"per cents are rounded towards zero", at(5), []reading{stepped("PercentChangeInCapacity", 1, 0, step{0, inf, 50})}, both(7)},
		{"but to one at least", at(5), []reading{stepped("PercentChangeInCapacity", 1, 0, step{0, inf, 10})}, both(6)},
		{"and away as well", at(5), []reading{stepped("PercentChangeInCapacity", -1, 0, step{-inf, 0, -10})}, both(4)},
		{"at least the magnitude", at(5), []reading{stepped("PercentChangeInCapacity", 1, 3, step{0, inf, 10})}, both(8)},
		{"a step in its cooldown adds only what is more", at(4, ago(2, 4, 0, time.Minute)), []reading{stepped("ChangeInCapacity", 1, 0, step{0, inf, 3})}, both(5)},
		{"from zero by a step", view{now: start, highest: 4}, []reading{stepped("ChangeInCapacity", 0, 0, step{0, inf, 1})}, both(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decide(c.view, c.readings); got != c.want {
				t.Errorf("decided %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestDecideKeepsWithinBounds: whatever the policies say, a capacity between the
// bounds stays there.
func TestDecideKeepsWithinBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 20000 {
		v := view{now: start, lowest: rng.IntN(4), outSuspended: rng.IntN(8) == 0, inSuspended: rng.IntN(8) == 0}
		v.highest = v.lowest + rng.IntN(9)
		v.capacity = v.lowest + rng.IntN(v.highest-v.lowest+1)
		for range rng.IntN(3) {
			v.changes = append(v.changes, change{rng.IntN(12), rng.IntN(12), start.Add(-time.Duration(rng.IntN(900)) * time.Second), time.Duration(rng.IntN(600)) * time.Second})
		}
		var readings []reading
		for range rng.IntN(4) {
			if rng.IntN(2) == 0 {
				values := make([]float64, rng.IntN(18))
				level := math.Exp(rng.NormFloat64()*3) * 50
				for i := range values {
					values[i] = level * (0.9 + 0.2*rng.Float64())
				}
				readings = append(readings, track(minutes(values...)))
				continue
			}
			kind := []string{"ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"}[rng.IntN(3)]
			readings = append(readings, stepped(kind, rng.NormFloat64()*10, rng.IntN(3),
				step{math.Inf(-1), 0, -rng.IntN(5)}, step{0, math.Inf(1), rng.IntN(300)}))
		}
		d := decide(v, readings)
		if d.to < v.lowest || d.to > v.highest {
			t.Fatalf("%+v leads to %+v", v, d)
		}
		if d.to > v.capacity && v.outSuspended || d.to < v.capacity && v.inSuspended {
			t.Fatalf("%+v leads to %+v in spite of the suspension", v, d)
		}
		if d.to != v.capacity && d.policy == "" {
			t.Fatalf("%+v leads to %+v without a policy", v, d)
		}
	}
}
