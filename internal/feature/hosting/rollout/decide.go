// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is what a deployment is at.
type Phase string

// The phases, in their order.
const (
	Provisioning Phase = "Provisioning" // green instances are started
	Activating   Phase = "Activating"   // a share of the traffic moves to green
	Baking       Phase = "Baking"       // alarms are watched
	Waiting      Phase = "Waiting"      // all traffic is green's; blue is kept a while
	Done         Phase = "Done"         // blue may go; green is the fleet
	RollingBack  Phase = "RollingBack"  // traffic moves back to blue
	RolledBack   Phase = "RolledBack"   // green may go; blue is the fleet
	Stuck        Phase = "Stuck"        // blue did not come back either: UpdateRollbackFailed
)

// Ended tells whether nothing changes any more.
func (ph Phase) Ended() bool { return ph == Done || ph == RolledBack || ph == Stuck }

// Stage is how far a deployment has come. It is kept in the endpoint's record.
type Stage struct {
	Phase   Phase     `json:"phase"`
	Shifted int       `json:"shifted,omitempty"` // steps whose traffic was moved
	Retired int       `json:"retired,omitempty"` // steps after which blue was reduced
	Back    int       `json:"back,omitempty"`    // batches of blue that came back in a rollback
	Began   time.Time `json:"began"`
	Since   time.Time `json:"since"`            // of the phase
	Reason  string    `json:"reason,omitempty"` // of the rollback
}

// Start is the first stage.
func Start(now time.Time) Stage { return Stage{Phase: Provisioning, Began: now, Since: now} }

// Seen is what is seen of both fleets.
type Seen struct {
	Counts     []Count  // beside the plan's variants
	Alarms     []string // names of the deployment's alarms that are in ALARM
	GreenFault string   // why an instance of green is given up, "" if none is
	BlueFault  string   // the same for blue
}

// Count is what is seen of one variant's instances.
type Count struct {
	Green, Blue int // in service
	BlueLeft    int // that there are, be they starting, in service or ending
}

// Decision is what is wanted now. Counts stand beside the plan's variants.
type Decision struct {
	Stage       Stage // to be kept before the next look
	Green, Blue []int // instances wanted
	// Share is how much of the traffic green gets, 0 to 1. It never sends any to
	// a fleet with a variant that has no instance in service, while the other
	// fleet has one of each.
	Share                   float64
	ActiveGreen, ActiveBlue []int     // how many instances that is for: rounded up, 0 only where nothing is sent
	Again                   time.Time // look again then, if nothing happens before; zero when ended
}

// Decide is the whole policy. It moves a deployment by one stage at most: the
// Stage that it gives has to be kept, and what it wants done, before the next
// look.
func (p *Plan) Decide(s Stage, seen Seen, now time.Time) Decision {
	return p.want(p.advance(s, seen, now), seen, now)
}

func (p *Plan) advance(s Stage, seen Seen, now time.Time) Stage {
	to := func(ph Phase) Stage {
		s.Phase, s.Since = ph, now
		return s
	}
	switch {
	case s.Phase.Ended():
		return s
	case s.Phase == RollingBack:
		return p.retreat(s, seen, now)
	}
	if reason := p.trouble(s, seen, now); reason != "" {
		s.Reason = reason
		return to(RollingBack)
	}
	switch s.Phase {
	case Provisioning:
		if ready(seen, p.steps[s.Shifted].green) {
			s.Shifted++
			return to(Activating)
		}
	case Activating:
		return to(Baking)
	case Baking:
		if now.Sub(s.Since) < p.wait || !ready(seen, p.steps[s.Shifted-1].green) {
			return s
		}
		s.Retired = s.Shifted
		switch {
		case s.Shifted < len(p.steps):
			return to(Provisioning)
		case p.rolling:
			return to(Done)
		}
		return to(Waiting)
	case Waiting:
		over := now.Sub(s.Since) >= p.termination || now.Sub(s.Began) >= p.timeout
		if over && p.usable(seen, false) {
			return to(Done)
		}
	}
	return s
}

// trouble is why the deployment has to be rolled back, "" if it has not. Alarms
// count before the first step and while blue is kept, too: it costs nothing
// then.
func (p *Plan) trouble(s Stage, seen Seen, now time.Time) string {
	switch {
	case len(seen.Alarms) > 0:
		return fmt.Sprintf("The deployment was rolled back because one or more auto-rollback alarms went into ALARM state: %s.", strings.Join(seen.Alarms, ", "))
	case seen.GreenFault != "":
		return seen.GreenFault
	case now.Sub(s.Began) >= p.timeout && (s.Phase != Waiting || !p.usable(seen, false)):
		return fmt.Sprintf("The deployment was rolled back because it did not complete within the maximum execution timeout of %d seconds.", int(p.timeout.Seconds()))
	}
	return ""
}

// retreat moves a rollback on. Where blue is still whole there is nothing to
// wait for, but that it has instances in service at all.
func (p *Plan) retreat(s Stage, seen Seen, now time.Time) Stage {
	to := func(ph Phase) Stage {
		s.Phase, s.Since = ph, now
		return s
	}
	whole := s.Retired == 0 || !p.rolling
	switch {
	case whole && p.usable(seen, true):
		return to(RolledBack)
	case !whole && readyBlue(seen, p.returning(s, s.Back+1)):
		s.Back++
		if p.covered(s) == 1 {
			return to(RolledBack)
		}
		return s
	case seen.BlueFault != "":
		s.Reason += " The rollback failed, too: " + seen.BlueFault
		return to(Stuck)
	case now.Sub(s.Since) >= p.timeout:
		s.Reason += fmt.Sprintf(" The rollback did not complete within %d seconds.", int(p.timeout.Seconds()))
		return to(Stuck)
	}
	return s
}

func (p *Plan) want(s Stage, seen Seen, now time.Time) Decision {
	d := Decision{Stage: s, Green: p.green(s.Shifted), Blue: p.kept(s.Retired)}
	switch s.Phase {
	case Provisioning:
		d.Share = p.share(s.Shifted)
		// The next batch takes the room of the last one, which has to be gone.
		if !p.rolling || retired(seen, d.Blue) {
			d.Green = slices.Clone(p.steps[s.Shifted].green)
		}
	case Activating, Baking, Waiting:
		d.Share = p.share(s.Shifted)
	case Done:
		d.Share, d.Blue = 1, make([]int, len(p.variants))
	case RollingBack, Stuck, RolledBack:
		if p.rolling && s.Phase != RolledBack {
			d.Share = min(p.share(s.Retired), 1-p.covered(s))
		}
		d.Blue = p.returning(s, s.Back+1)
		for i, v := range p.variants {
			d.Green[i] = min(d.Green[i], up(float64(v.New)*d.Share))
		}
	}
	nominal := d.Share
	if s.Phase != Done && s.Phase != RolledBack {
		switch green, blue := p.usable(seen, false), p.usable(seen, true); {
		case d.Share > 0 && !green && blue:
			d.Share = 0
		case d.Share < 1 && !blue && green:
			d.Share = 1
			for i, v := range p.variants { // who serves stays
				d.Green[i] = max(d.Green[i], min(v.New, seen.Counts[i].Green))
			}
		}
	}
	d.ActiveGreen, d.ActiveBlue = p.active(s, d, nominal)
	d.Again = p.again(s, now)
	return d
}

// active tells how many instances of each fleet the traffic is for.
func (p *Plan) active(s Stage, d Decision, nominal float64) (green, blue []int) {
	green, blue = slices.Clone(d.Green), slices.Clone(d.Blue)
	for i, v := range p.variants {
		switch {
		case d.Share == 0:
			green[i] = 0
		case d.Share == nominal && s.Shifted > 0 && s.Phase != RollingBack && s.Phase != Stuck:
			green[i] = p.steps[s.Shifted-1].active[i]
		}
		if d.Share == 1 {
			blue[i] = 0
		} else if d.Share > 0 {
			blue[i] = min(blue[i], up(float64(v.Old)*(1-d.Share)))
		}
	}
	return green, blue
}

// again is when a stage ends by itself.
func (p *Plan) again(s Stage, now time.Time) time.Time {
	end := s.Began.Add(p.timeout)
	sooner := func(t time.Time) time.Time {
		if t.After(now) && t.Before(end) {
			return t
		}
		return end
	}
	switch s.Phase {
	case Activating:
		return now
	case Baking:
		if p.wait == 0 && s.Since.Equal(now) {
			return now
		}
		return sooner(s.Since.Add(p.wait))
	case Waiting:
		if p.termination == 0 && s.Since.Equal(now) {
			return now
		}
		return sooner(s.Since.Add(p.termination))
	case RollingBack:
		if s.Since.Equal(now) {
			return now // blue may be there
		}
		return s.Since.Add(p.timeout)
	case Done, RolledBack, Stuck:
		return time.Time{}
	}
	return end
}

// share is green's once n steps have been taken.
func (p *Plan) share(n int) float64 {
	if n == 0 {
		return 0
	}
	return p.steps[n-1].share
}

// green is what the first n steps need.
func (p *Plan) green(n int) []int {
	if n == 0 {
		return make([]int, len(p.variants))
	}
	return slices.Clone(p.steps[n-1].green)
}

// kept is what is left of blue after n steps were baked.
func (p *Plan) kept(n int) []int {
	if n == 0 {
		return p.counts(func(v Variant) int { return v.Old })
	}
	return slices.Clone(p.steps[n-1].blue)
}

// returning is blue after n batches of a rollback.
func (p *Plan) returning(s Stage, n int) []int {
	out := p.kept(s.Retired)
	for i, v := range p.variants {
		out[i] = min(v.Old, out[i]+n*sizeOf(p.back, v.Old))
	}
	return out
}

// covered is the share of the traffic that blue can take after the batches that
// have come back.
func (p *Plan) covered(s Stage) float64 {
	share := 1.0
	for i, n := range p.returning(s, s.Back) {
		if old := p.variants[i].Old; old > 0 {
			share = min(share, float64(n)/float64(old))
		}
	}
	return share
}

// usable tells whether a fleet has an instance in service of each variant.
func (p *Plan) usable(seen Seen, blue bool) bool {
	for i, v := range p.variants {
		want, have := v.New, seen.Counts[i].Green
		if blue {
			want, have = v.Old, seen.Counts[i].Blue
		}
		if want > 0 && have == 0 {
			return false
		}
	}
	return true
}

func ready(seen Seen, green []int) bool {
	return each(green, func(i, n int) bool { return seen.Counts[i].Green >= n })
}

func readyBlue(seen Seen, blue []int) bool {
	return each(blue, func(i, n int) bool { return seen.Counts[i].Blue >= n })
}

// retired tells whether no more of blue is left than is wanted.
func retired(seen Seen, blue []int) bool {
	return each(blue, func(i, n int) bool { return seen.Counts[i].BlueLeft <= n })
}

func each(counts []int, holds func(i, n int) bool) bool {
	for i, n := range counts {
		if !holds(i, n) {
			return false
		}
	}
	return true
}
