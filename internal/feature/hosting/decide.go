// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/rollout"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// look is what is seen of one instance.
type look struct {
	phase    runtime.Phase
	started  time.Time
	healthy  bool      // the last ping was answered
	sick     bool      // was healthy once and has failed several pings
	crashes  int       // times it ended by itself, in a row
	notUntil time.Time // back-off after a crash: no start before this
	problem  string    // why it could not be prepared or started
}

// step is what to do next; all of it is safe to repeat.
type step struct {
	start, stop, remove []spot
	serve               []spot // instances that get traffic: all their containers answer
	promote             bool   // the next fleet takes over
	fail                string // the next fleet is given up, for this reason
	drop                []int  // generations of old fleets that are gone
	trim                bool   // removed instances are gone: forget them
	status              string // "" stays
	// Of a deployment from one fleet to another.
	stage    *rollout.Stage      // how far it has come, to be kept
	shares   map[int]float64     // of the traffic, by generation; nil for one fleet
	statuses map[string]statuses // of its variants, by name
	stuck    string              // why neither the deployment nor its rollback could be completed
	gone     bool                // nothing is left of a deleted endpoint
	again    time.Duration
}

// maxCrashes is how often an instance of a new fleet may end by itself before
// the deployment is given up. AWS waits for the health check's time-out; to be
// told at once why a container does not start is better.
const maxCrashes = 3

// pendingPoll is how soon an instance that is about to run is looked at again.
const pendingPoll = 50 * time.Millisecond

// decide is the whole policy of an endpoint: what was asked and what is seen,
// in; what to do next, out. Alarms are those of the deployment under way that
// are in ALARM. It touches nothing.
func decide(status string, d *deployment, reason string, seen map[spot]look, alarms []string, now time.Time) step {
	st := step{again: time.Hour}
	if status == sm.EndpointStatusDeleting {
		st.gone = st.clear(d.spots(), seen)
		return st
	}
	for i := range d.Fleets {
		if f := &d.Fleets[i]; f.Role == old && st.clear(f.spots(), seen) {
			st.drop = append(st.drop, f.Generation)
		}
	}
	c, n := d.fleetOf(current), d.fleetOf(next)
	switch {
	case c != nil && n != nil:
		st.deploy(status, c, n, seen, alarms, now)
	case n != nil:
		if st.fail = trouble(n, seen, now); st.fail == "" {
			st.keep(n, seen, now, n.counts())
			if ready(n, seen) {
				st.promote, st.status = true, sm.EndpointStatusInService
			}
		}
	case c != nil:
		st.keep(c, seen, now, c.counts())
		if status == sm.EndpointStatusUpdating && ready(c, seen) {
			st.status = sm.EndpointStatusInService
		}
	case status == sm.EndpointStatusCreating && reason != "" && len(st.drop) == len(d.Fleets):
		st.status = sm.EndpointStatusFailed
	}
	return st
}

// keep brings a wanted fleet to the counts that are wanted of its variants, and
// has those of its instances serve that answer.
func (st *step) keep(f *fleet, seen map[spot]look, now time.Time, wanted []int) {
	surplus, cleared := false, true
	for _, at := range f.spots() {
		l, v := seen[at], &f.Variants[at.variant]
		if at.index >= wanted[at.variant] {
			surplus = surplus || at.index >= v.Count && v.Serverless == nil // whose record knows no counts
			cleared = st.clear([]spot{at}, seen) && cleared
			continue
		}
		waited := now.Sub(l.started)
		switch l.phase {
		case runtime.Exited:
			st.remove = append(st.remove, at)
		case runtime.Missing, "":
			if wait := l.notUntil.Sub(now); wait > 0 {
				st.again = min(st.again, wait)
			} else {
				st.start = append(st.start, at)
			}
		case runtime.Pending: // its event wakes the loop, and may be missed
			st.again = min(st.again, pendingPoll)
		case runtime.Running:
			switch {
			case l.healthy:
			case l.sick, waited > v.Startup:
				st.stop = append(st.stop, at)
			default:
				st.again = min(st.again, v.Startup-waited+time.Second)
			}
		}
	}
	for v := range f.Variants {
		for _, at := range instancesOf(f, v, healthy(seen)) {
			if at.index < wanted[v] {
				st.serve = append(st.serve, at)
			}
		}
	}
	st.trim = st.trim || surplus && cleared
}

// called is how messages name a container.
func called(v *variant, at spot) string {
	if name := containerName(&v.Model, at.container); name != "" {
		return name
	}
	return "primary"
}

// clear stops and removes instances; true when none is left.
func (st *step) clear(spots []spot, seen map[spot]look) bool {
	done := true
	for _, at := range spots {
		switch seen[at].phase {
		case runtime.Running, runtime.Pending:
			st.stop = append(st.stop, at)
			done = false
		case runtime.Exited:
			st.remove = append(st.remove, at)
			done = false
		}
	}
	return done
}

// healthy tells whether a container is seen to answer.
func healthy(seen map[spot]look) func(spot) bool {
	return func(at spot) bool { return seen[at].phase == runtime.Running && seen[at].healthy }
}

// ready tells whether every wanted instance answers.
func ready(f *fleet, seen map[spot]look) bool {
	if f == nil {
		return false
	}
	for v := range f.Variants {
		if len(instancesOf(f, v, healthy(seen))) < f.Variants[v].Count {
			return false
		}
	}
	return true
}

// apply writes a step into the record.
func (st *step) apply(r *endpointRecord) { st.applyTo(&r.Private, &r.Status, &r.Doc.FailureReason) }

func (st *step) applyTo(d *deployment, status, reason *string) {
	if st.promote {
		for i := range d.Fleets {
			switch d.Fleets[i].Role {
			case current:
				d.Fleets[i].Role = old
			case next:
				d.Fleets[i].Role = current
			}
		}
		*reason = ""
	}
	if f := d.fleetOf(next); st.stage != nil && f != nil {
		f.Stage = st.stage
	}
	if st.fail != "" {
		if f := d.fleetOf(next); f != nil {
			f.Role = old
		}
		*reason = st.fail
	}
	if st.stuck != "" {
		*reason = st.stuck
	}
	kept := d.Fleets[:0:0]
	for _, f := range d.Fleets {
		dropped := false
		for _, g := range st.drop {
			dropped = dropped || g == f.Generation
		}
		if !dropped {
			kept = append(kept, f)
		}
	}
	d.Fleets = kept
	if st.trim {
		for i := range d.Fleets {
			for j := range d.Fleets[i].Variants {
				v := &d.Fleets[i].Variants[j]
				v.Highest = v.Count
			}
		}
	}
	if st.status != "" {
		*status = st.status
	}
}

// changes tells whether the step has anything to write.
func (st *step) changes() bool {
	return st.promote || st.fail != "" || st.stage != nil || len(st.drop) > 0 || st.trim || st.status != ""
}
