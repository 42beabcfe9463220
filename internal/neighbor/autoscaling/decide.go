// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"math"
	"time"
)

// point is one finished period of a metric.
type point struct {
	at    time.Time // its beginning
	value float64
}

// reading is one policy and what it has to say now.
type reading struct {
	policy  string
	out, in time.Duration // cooldowns

	track *tracking
	step  *stepping
}

// tracking is a target-tracking policy and its metric.
type tracking struct {
	target              float64
	outPoints, inPoints int     // that must all agree
	points              []point // by time
	disableScaleIn      bool
	highAlarm, lowAlarm string
}

// stepping is a step policy that an alarm has invoked.
type stepping struct {
	alarm    string
	distance float64 // of the metric from the alarm's threshold
	below    bool    // the alarm goes off below its threshold
	kind     string
	steps    []step
	minimum  int // MinAdjustmentMagnitude
}

// step is one adjustment; its bounds may be infinite.
type step struct {
	lower, upper float64
	by           int
}

// change is a capacity change that has ended well.
type change struct {
	from, to int
	ended    time.Time
	cooldown time.Duration
}

// view is all that a decision rests on besides the policies.
type view struct {
	now                       time.Time
	capacity                  int
	lowest, highest           int // the target's bounds
	outSuspended, inSuspended bool
	// changes are those that still matter, by the time they ended.
	changes []change
}

// decision is what is to be done.
type decision struct {
	to       int // the capacity wanted; the present one for nothing to do
	policy   string
	alarm    string
	cooldown time.Duration
	blocked  string // why a policy that wants a change gets none: AlreadyAtMaxCapacity, …
}

// wish is what one policy wants.
type wish struct {
	to      int
	reading *reading
	alarm   string
}

// lowShare is how far below the target the metric must be before capacity goes:
// the alarm of AWS's target tracking has 90 % of the target as its threshold.
const lowShare = 0.9

// decide makes one decision of what the policies say. It touches nothing.
//
// Of policies that want more the one that wants most is followed. Capacity goes
// only when none wants more and every target-tracking policy that may scale in
// wants less; then the one that keeps most is followed. Source: "How multiple
// scaling policies work together" and "Define cooldown periods" of the user guide.
func decide(v view, readings []reading) decision {
	none := decision{to: v.capacity}
	var out, trackedIn, steppedIn *wish
	agreed := true
	for i := range readings {
		r := &readings[i]
		w, want := r.wish(v)
		switch {
		case want > 0:
			out = larger(out, w)
		case want < 0 && r.track != nil:
			trackedIn = larger(trackedIn, w)
		case want < 0:
			steppedIn = larger(steppedIn, w)
		}
		if r.track != nil && !r.track.disableScaleIn && want >= 0 {
			agreed = false
		}
	}
	in := steppedIn
	if trackedIn != nil && agreed {
		in = trackedIn
		if steppedIn != nil {
			in = larger(trackedIn, *steppedIn)
		}
	}
	switch {
	case out != nil && v.outSuspended, in == nil && out == nil:
		return none
	case out != nil:
		return v.raise(*out)
	case v.inSuspended:
		return none
	}
	return v.lower(*in)
}

func larger(a *wish, b wish) *wish {
	if a == nil || b.to > a.to {
		return &b
	}
	return a
}

func (v view) raise(w wish) decision {
	d := decision{to: v.capacity, policy: w.reading.policy, alarm: w.alarm, cooldown: w.reading.out}
	to := min(w.to, v.highest)
	switch {
	case to > v.capacity:
		d.to = to
	case w.to <= v.capacity: // a cooldown holds it, or the rule finds the capacity right
		return decision{to: v.capacity}
	default:
		d.blocked = "AlreadyAtMaxCapacity"
	}
	return d
}

func (v view) lower(w wish) decision {
	d := decision{to: v.capacity, policy: w.reading.policy, alarm: w.alarm, cooldown: w.reading.in}
	if last, ok := v.lastChange(); ok && last.to < last.from && v.now.Before(last.ended.Add(last.cooldown)) {
		return decision{to: v.capacity}
	}
	to := max(w.to, v.lowest)
	switch {
	case to < v.capacity:
		d.to = to
	case w.to >= v.capacity:
		return decision{to: v.capacity}
	default:
		d.blocked = "AlreadyAtMinCapacity"
	}
	return d
}

func (v view) lastChange() (change, bool) {
	if len(v.changes) == 0 {
		return change{}, false
	}
	return v.changes[len(v.changes)-1], true
}

// base is the capacity that a policy adds to. During the cooldown of a scale-out
// what that has added counts as a part of the next one, so that only a larger
// one goes on.
func (v view) base() int {
	if last, ok := v.lastChange(); ok && last.to > last.from && v.now.Before(last.ended.Add(last.cooldown)) {
		return min(last.from, v.capacity)
	}
	return v.capacity
}

// at is the capacity that a data point was measured at: a metric per instance
// tells nothing about the instances that came later.
func (v view) at(t time.Time) int {
	for _, c := range v.changes {
		if t.Before(c.ended) {
			return c.from
		}
	}
	return v.capacity
}

// wish is what the policy wants: more (want > 0), less (< 0), or nothing. The
// capacity wanted may nevertheless be the present one.
func (r *reading) wish(v view) (w wish, want int) {
	if r.track != nil {
		return r.tracked(v)
	}
	return r.stepped(v)
}

func (r *reading) tracked(v view) (wish, int) {
	t := r.track
	n := len(t.points)
	if n >= t.outPoints && all(t.points[n-t.outPoints:], func(x float64) bool { return x > t.target }) {
		last := t.points[n-1]
		return wish{proportional(min(v.at(last.at), v.base()), last.value/t.target), r, t.highAlarm}, 1
	}
	if t.disableScaleIn || n < t.inPoints || !all(t.points[n-t.inPoints:], func(x float64) bool { return x < lowShare*t.target }) {
		return wish{}, 0
	}
	// The busiest of the periods is what must still be served.
	to := 0
	for _, p := range t.points[n-t.inPoints:] {
		if p.value > 0 {
			to = max(to, proportional(v.at(p.at), p.value/t.target))
		}
	}
	return wish{to, r, t.lowAlarm}, -1
}

// proportional is the capacity at which the metric would be at its target, if it
// is shared evenly. From nothing at all, one is what the metric is shared by.
func proportional(capacity int, ratio float64) int {
	const slack = 1e-9 // 3 × (1/3) must not become 2
	to := math.Ceil(float64(max(capacity, 1))*ratio - slack)
	return int(min(to, math.MaxInt32))
}

func all(points []point, is func(float64) bool) bool {
	for _, p := range points {
		if !is(p.value) {
			return false
		}
	}
	return true
}

func (r *reading) stepped(v view) (wish, int) {
	s := r.step
	for _, a := range s.steps {
		if !a.takes(s.distance, s.below) {
			continue
		}
		to := s.adjust(v.capacity, a.by)
		if to > v.capacity {
			to = s.adjust(v.base(), a.by)
			if to <= v.capacity {
				return wish{to, r, s.alarm}, 0
			}
			return wish{to, r, s.alarm}, 1
		}
		if to < v.capacity {
			return wish{to, r, s.alarm}, -1
		}
	}
	return wish{}, 0
}

// takes tells whether a distance falls into the step. Above the threshold the
// lower bound belongs to the step, below it the upper one, and the threshold
// itself is on the side where the alarm goes off. Source: "Step scaling
// policies" of the user guide.
func (a step) takes(distance float64, below bool) bool {
	if distance < 0 || distance == 0 && below {
		return distance > a.lower && distance <= a.upper
	}
	return distance >= a.lower && distance < a.upper
}

// adjust is the capacity after an adjustment. Per cents are rounded towards zero,
// but to one at least.
func (s *stepping) adjust(capacity, by int) int {
	switch s.kind {
	case "ExactCapacity":
		return by
	case "PercentChangeInCapacity":
		f := float64(capacity) * float64(by) / 100
		n := int(max(math.MinInt32, min(f, math.MaxInt32)))
		if n == 0 && f != 0 {
			n = int(math.Copysign(1, f))
		}
		if by != 0 && max(n, -n) < s.minimum {
			n = s.minimum
			if by < 0 {
				n = -n
			}
		}
		return max(capacity+n, 0)
	}
	return max(capacity+by, 0)
}
