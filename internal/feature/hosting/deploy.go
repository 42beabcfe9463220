// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/rollout"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// alarmPoll is how often the alarms of a deployment are looked at.
const alarmPoll = time.Second

// pair is a variant of the current fleet, of the next, or of both; -1 where it
// is not.
type pair struct{ blue, green int }

// pairs are the variants of both fleets, by name, as a rollout counts them. A
// serverless variant is counted as it is now.
func pairs(blue, green *fleet) (out []pair, variants []rollout.Variant) {
	at := map[string]int{}
	for i, v := range blue.Variants {
		at[v.Name] = len(out)
		out = append(out, pair{i, -1})
		variants = append(variants, rollout.Variant{Name: v.Name, Old: v.Count})
	}
	for i, v := range green.Variants {
		k, both := at[v.Name]
		if !both {
			k = len(out)
			out = append(out, pair{-1, i})
			variants = append(variants, rollout.Variant{Name: v.Name})
		}
		out[k].green, variants[k].New = i, v.Count
	}
	return out, variants
}

// deploy moves traffic and instances from the current fleet to the next, as the
// policy has it, or back.
func (st *step) deploy(status string, blue, green *fleet, seen map[spot]look, alarms []string, now time.Time) {
	ps, variants := pairs(blue, green)
	plan := rollout.New(green.Policy, variants)
	stage := rollout.Start(now)
	if green.Stage != nil {
		stage = *green.Stage
	}
	look := rollout.Seen{Alarms: alarms, GreenFault: trouble(green, seen, now), BlueFault: trouble(blue, seen, now), Counts: make([]rollout.Count, len(ps))}
	for k, p := range ps {
		c := &look.Counts[k]
		if p.blue >= 0 {
			c.Blue, c.BlueLeft = len(instancesOf(blue, p.blue, healthy(seen))), left(blue, p.blue, seen)
		}
		if p.green >= 0 {
			c.Green = len(instancesOf(green, p.green, healthy(seen)))
		}
	}
	d := plan.Decide(stage, look, now)
	if green.Stage == nil || d.Stage != stage {
		st.stage = &d.Stage
	}
	st.statuses = map[string]statuses{}
	wantBlue, wantGreen := make([]int, len(blue.Variants)), make([]int, len(green.Variants))
	for k, p := range ps {
		if p.blue >= 0 {
			wantBlue[p.blue] = d.Blue[k]
		}
		if p.green >= 0 {
			wantGreen[p.green] = d.Green[k]
		}
		g, b := plan.Status(d, look, k)
		st.statuses[variants[k].Name] = statuses{g, b}
	}
	if !d.Again.IsZero() {
		st.again = min(st.again, max(d.Again.Sub(now), 0))
	}
	if c := green.Policy; c != nil && c.AutoRollbackConfiguration != nil {
		st.again = min(st.again, alarmPoll)
	}
	switch d.Stage.Phase {
	case rollout.Done:
		st.promote = true
		st.keep(green, seen, now, wantGreen)
	case rollout.RolledBack:
		st.fail = d.Stage.Reason
		st.keep(blue, seen, now, wantBlue)
	default:
		st.keep(blue, seen, now, wantBlue)
		st.keep(green, seen, now, wantGreen)
		st.shares = map[int]float64{blue.Generation: 1 - d.Share, green.Generation: d.Share}
	}
	if status == sm.EndpointStatusUpdating {
		switch d.Stage.Phase {
		case rollout.Done, rollout.RolledBack:
			st.status = sm.EndpointStatusInService
		case rollout.Stuck:
			st.status, st.stuck = sm.EndpointStatusUpdateRollbackFailed, d.Stage.Reason
		}
	}
}

// statuses are the VariantStatus of a variant in the new fleet and in the old.
type statuses struct{ green, blue []sm.ProductionVariantStatus }

// left are the instances of a variant of which anything is there.
func left(f *fleet, variant int, seen map[spot]look) int {
	there := map[int]bool{}
	for _, at := range f.spots() {
		if at.variant == variant && seen[at].phase != runtime.Missing && seen[at].phase != "" {
			there[at.index] = true
		}
	}
	return len(there)
}

// trouble is why a new fleet is given up, "" if it is not.
func trouble(f *fleet, seen map[spot]look, now time.Time) string {
	for _, at := range f.spots() {
		l, v := seen[at], &f.Variants[at.variant]
		switch {
		case at.index >= v.Count:
		case l.problem != "":
			return l.problem
		case l.crashes >= maxCrashes:
			return fmt.Sprintf("The %s container for production variant %s did not pass the ping health check: it ended %d times before it answered. Please check CloudWatch logs for this endpoint.", called(v, at), v.Name, l.crashes)
		case l.phase == runtime.Running && !l.healthy && !l.sick && now.Sub(l.started) > v.Startup:
			return fmt.Sprintf("The %s container for production variant %s did not pass the ping health check. Please check CloudWatch logs for this endpoint.", called(v, at), v.Name)
		}
	}
	return ""
}
