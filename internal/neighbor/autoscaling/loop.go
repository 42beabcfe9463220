// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// look is one round of the loop over all targets.
func (s *Service) look(ctx context.Context) error {
	now := s.Now()
	s.bringAlarms(ctx)
	err := s.runActions(ctx, now)
	var targets []target
	err = errors.Join(err, s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
		targets, err = targetsAt(ctx, q, " ORDER BY id")
		return err
	}))
	for _, g := range targets {
		s.tell(ctx, &g, s.tend(as(ctx, g.account, g.region), &g, now))
	}
	return errors.Join(err, s.clean(ctx, now))
}

// tell logs the trouble with a target once, not every second.
func (s *Service) tell(ctx context.Context, g *target, err error) {
	if err == nil || errors.Is(err, errGone) || ctx.Err() != nil {
		delete(s.told, g.id)
		return
	}
	if text := err.Error(); s.told[g.id] != text {
		s.told[g.id] = text
		s.Log.Warn("scalable target not looked at", "resource", g.resource, "dimension", g.dimension, "err", err)
	}
}

// tend does the next thing for a target: follow the change under way, or bring
// the capacity between the bounds, or ask the policies.
func (s *Service) tend(ctx context.Context, g *target, now time.Time) error {
	var open *activity
	var policies []policy
	var changes []change
	err := s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
		if open, err = openOf(ctx, q, g.key); err != nil {
			return err
		}
		if policies, err = policiesOf(ctx, q, g.id); err != nil {
			return err
		}
		// No data point that a decision needs is older than this.
		changes, err = changesOf(ctx, q, g.key, now.Add(-(inPoints+lateBy+1)*time.Minute))
		return err
	})
	if err != nil {
		return err
	}
	if open != nil {
		return s.follow(ctx, g, open, now)
	}
	unbounded := g.asked != g.seen
	calls, err := s.alarmCalls(ctx, policies, now)
	if err != nil {
		return err
	}
	if !unbounded && len(calls) == 0 && !s.due(g, policies, now) {
		return nil
	}
	c, err := dimensions[g.dimension].read(ctx, s.Table, g.resource)
	switch {
	case err != nil:
		return err
	case c.absent != "":
		return s.vanish(ctx, g, unbounded || len(policies) > 0, c.absent, now)
	case !c.ready: // wait: nothing is marked as done
		return nil
	}
	if g.gone {
		g.gone, g.since = false, now
		if err := s.file.Write(ctx, func(w sqlfile.Writer) error {
			_, err := w.Exec("UPDATE target SET gone = 0, since = ? WHERE id = ?", ms(now), g.id)
			return err
		}); err != nil {
			return err
		}
	}
	if unbounded {
		if to := min(max(c.desired, g.lowest), g.highest); to != c.desired {
			return s.rebound(ctx, g, c.desired, to, now)
		}
		if err := s.file.Write(ctx, g.markSeen); err != nil {
			return err
		}
	}
	return s.ask(ctx, g, c.desired, policies, calls, changes, now)
}

func (g *target) markSeen(w sqlfile.Writer) error {
	_, err := w.Exec("UPDATE target SET seen = max(seen, ?) WHERE id = ?", g.asked, g.id)
	return err
}

// rebound brings the capacity to the bound that it is beyond.
func (s *Service) rebound(ctx context.Context, g *target, from, to int, now time.Time) error {
	why := fmt.Sprintf("maximum capacity was set to %d", to)
	if to > from {
		why = fmt.Sprintf("minimum capacity was set to %d", to)
	}
	return s.begin(ctx, g, from, to, why, 0, now, g.markSeen)
}

// vanish notes that a resource is not there: once, in a failed activity, if there
// was anything to do for it.
func (s *Service) vanish(ctx context.Context, g *target, tell bool, why string, now time.Time) error {
	if g.gone || !tell {
		return nil
	}
	a := newActivity(g.key, now, "Attempting to scale", "the resource of the scalable target was not found", statusPending)
	a.end(now, statusFailed, "Failed to read %s. Reason: %s", dimensions[g.dimension].noun, why)
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		if _, err := w.Exec("UPDATE target SET gone = 1 WHERE id = ?", g.id); err != nil {
			return err
		}
		return a.insert(w, g.key)
	})
}

// begin writes a change down, with what else goes with it, and asks for it.
func (s *Service) begin(ctx context.Context, g *target, from, to int, why string, cooldown time.Duration, now time.Time, also func(sqlfile.Writer) error) error {
	a := newActivity(g.key, now, fmt.Sprintf("Setting %s to %d.", dimensions[g.dimension].noun, to), why, statusPending)
	a.before, a.after, a.cooldown = from, to, cooldown
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		var n int
		if err := w.QueryRowContext(ctx, "SELECT count(*) FROM target WHERE id = ?", g.id).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return errGone
		}
		if err := also(w); err != nil {
			return err
		}
		return a.insert(w, g.key)
	})
	if err != nil {
		return err
	}
	s.Log.Info("scaling", "resource", g.resource, "dimension", g.dimension, "from", from, "to", to, "cause", why)
	return s.follow(ctx, g, &a, now)
}

// follow takes an activity on by what is seen of the resource. It may be called
// any number of times.
func (s *Service) follow(ctx context.Context, g *target, a *activity, now time.Time) error {
	d := dimensions[g.dimension]
	c, err := d.read(ctx, s.Table, g.resource)
	if err != nil {
		return err
	}
	was := a.doc
	fail := func(why string) {
		a.end(now, statusFailed, "Failed to set %s to %d. Reason: %s", d.noun, a.after, why)
	}
	switch {
	case c.absent != "":
		fail(c.absent)
	case c.failed:
		fail(cmp.Or(c.failure, "The resource has failed."))
	case !c.ready:
		return nil
	case c.desired == a.after:
		a.end(now, statusSuccessful, "Successfully set %s to %d. Change successfully fulfilled by %s.", d.noun, a.after, namespace)
	case a.doc.StatusCode == statusInProgress && c.failure != "":
		fail(c.failure)
	case a.doc.StatusCode == statusInProgress:
		a.end(now, statusOverridden, "The %s was set to %d by another request.", d.noun, c.desired)
	default:
		if err := d.set(ctx, s.Table, g.resource, a.after); err != nil {
			f := fault.Of(err)
			if f == nil || f.Server() && f.Code != "NotImplementedException" {
				return err
			}
			// It may have been taken out of service in this moment: then wait.
			if again, e := d.read(ctx, s.Table, g.resource); e != nil || again.absent == "" && !again.ready && !again.failed {
				return e
			}
			fail(f.Message)
			break
		}
		a.doc.StatusCode = statusInProgress
		a.doc.StatusMessage = fmt.Sprintf("Successfully set %s to %d. Waiting for change to be fulfilled by %s.", d.noun, a.after, namespace)
	}
	if was.StatusCode == a.doc.StatusCode {
		return nil
	}
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		if c.absent != "" {
			if _, err := w.Exec("UPDATE target SET gone = 1 WHERE id = ?", g.id); err != nil {
				return err
			}
		}
		return a.update(w)
	})
}

// due tells whether a policy's metric has a period that was not looked at yet.
func (s *Service) due(g *target, policies []policy, now time.Time) bool {
	return slices.ContainsFunc(policies, func(p policy) bool {
		c := p.doc.TargetTrackingScalingPolicyConfiguration
		return c != nil && tracked(g.key, c).settled(now).Unix() != s.asked[p.id]
	})
}

// call is an alarm that invokes a step policy.
type call struct {
	policy int64
	alarm  wcw.MetricAlarm
}

// againAfter is how often an alarm that stays in ALARM invokes its policies.
const againAfter = time.Minute

// alarmCalls are the invocations of step policies that are due: an alarm invokes
// its policies when it goes into ALARM, and then once a minute. What the policies
// remember is brought up to date, and stored with what is done.
func (s *Service) alarmCalls(ctx context.Context, policies []policy, now time.Time) ([]call, error) {
	var out []call
	for i := range policies {
		p := &policies[i]
		if p.doc.PolicyType != aas.PolicyTypeStepScaling {
			continue
		}
		alarms, err := s.alarmsOf(ctx, p.doc.PolicyARN, "ALARM")
		if err != nil {
			return nil, err
		}
		invoked := map[string]int64{}
		for _, a := range alarms {
			// ActionPrefix also takes a policy whose name only begins alike, and an
			// action of another state.
			if a.StateValue != "ALARM" || !slices.Contains(a.AlarmActions, p.doc.PolicyARN) || a.ActionsEnabled != nil && !*a.ActionsEnabled {
				continue
			}
			last, known := p.memory.Invoked[a.AlarmName]
			since := a.StateTransitionedTimestamp
			if since.IsZero() {
				since = a.StateUpdatedTimestamp
			}
			if !known || ms(since.Time) > last || now.Sub(ofMS(last)) >= againAfter {
				out = append(out, call{p.id, a})
				last = ms(now)
			}
			invoked[a.AlarmName] = last
		}
		p.memory.Invoked = invoked
	}
	return out, nil
}

// ask lets the policies decide, and does what was decided.
func (s *Service) ask(ctx context.Context, g *target, capacity int, policies []policy, calls []call, changes []change, now time.Time) error {
	readings, err := s.readings(ctx, g, policies, calls, now)
	if err != nil {
		return err
	}
	on := func(b *bool) bool { return b != nil && *b }
	d := decide(view{now: now, capacity: capacity, lowest: g.lowest, highest: g.highest, changes: changes,
		outSuspended: on(g.suspended.DynamicScalingOutSuspended), inSuspended: on(g.suspended.DynamicScalingInSuspended)}, readings)
	remember := func(w sqlfile.Writer) error {
		for i := range policies {
			if err := policies[i].remember(w); err != nil {
				return err
			}
		}
		return nil
	}
	why := "monitor alarm " + d.alarm + " in state ALARM triggered policy " + d.policy
	told := false
	for i := range policies {
		p := &policies[i]
		blocked := ""
		if d.policy == p.doc.PolicyName {
			blocked = d.blocked
		}
		told = told || blocked != "" && blocked == p.memory.Blocked
		p.memory.Blocked = blocked
	}
	refused := false
	if d.to != capacity {
		if err := s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
			refused, err = failedJustNow(ctx, q, g.key, d.to, now)
			return err
		}); err != nil {
			return err
		}
	}
	switch {
	case d.to != capacity && !refused:
		err = s.begin(ctx, g, capacity, d.to, why, d.cooldown, now, remember)
	case d.blocked != "" && !told:
		a := notScaled(g, capacity, d.blocked, why, now)
		err = s.file.Write(ctx, func(w sqlfile.Writer) error { return first(remember(w), a.insert(w, g.key)) })
	case len(policies) > 0:
		err = s.file.Write(ctx, remember)
	}
	if err != nil {
		return err
	}
	for _, p := range policies {
		if c := p.doc.TargetTrackingScalingPolicyConfiguration; c != nil {
			s.asked[p.id] = tracked(g.key, c).settled(now).Unix()
		}
	}
	return nil
}

// notScaled is the activity of a policy that wanted a change and got none.
func notScaled(g *target, capacity int, code, why string, now time.Time) *activity {
	r := aas.NotScaledReason{Code: code, CurrentCapacity: new(int64(capacity))}
	if code == "AlreadyAtMaxCapacity" {
		r.MaxCapacity = new(int64(g.highest))
	} else {
		r.MinCapacity = new(int64(g.lowest))
	}
	a := newActivity(g.key, now, "Attempting to scale due to alarm triggered", why, statusPending)
	a.end(now, statusFailed, "")
	a.doc.NotScaledReasons, a.notScaled = []aas.NotScaledReason{r}, true
	return &a
}

// readings are what the policies have to say: every target-tracking policy with
// its data points, and the step policies that are invoked.
func (s *Service) readings(ctx context.Context, g *target, policies []policy, calls []call, now time.Time) ([]reading, error) {
	var out []reading
	for _, p := range policies {
		c := p.doc.TargetTrackingScalingPolicyConfiguration
		if c == nil {
			continue
		}
		m := tracked(g.key, c)
		since := p.doc.CreationTime.Time
		if g.since.After(since) {
			since = g.since
		}
		points, err := s.points(ctx, m, m.inPoints(), since, now)
		if err != nil {
			return nil, fmt.Errorf("metric of policy %q: %w", p.doc.PolicyName, err)
		}
		out = append(out, reading{policy: p.doc.PolicyName, out: cooldown(c.ScaleOutCooldown), in: cooldown(c.ScaleInCooldown),
			track: &tracking{target: *c.TargetValue, outPoints: outPoints, inPoints: m.inPoints(), points: points,
				disableScaleIn: c.DisableScaleIn != nil && *c.DisableScaleIn,
				highAlarm:      alarmName(p.doc.Alarms, "AlarmHigh", g), lowAlarm: alarmName(p.doc.Alarms, "AlarmLow", g)}})
	}
	for _, l := range calls {
		i := slices.IndexFunc(policies, func(p policy) bool { return p.id == l.policy })
		r, err := s.stepReading(ctx, &policies[i], &l.alarm, now)
		if err != nil {
			return nil, fmt.Errorf("alarm %q of policy %q: %w", l.alarm.AlarmName, policies[i].doc.PolicyName, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func alarmName(alarms []aas.Alarm, side string, g *target) string {
	return cmp.Or(sideOf(alarms, g.resource, side), sidePrefix(g.resource, side))
}

// stepReading is a step policy that an alarm invokes, with how far the metric is
// from the alarm's threshold: the policy's aggregate of the data points that the
// alarm was judged by. An alarm without data, for which missing data are a breach,
// is at its threshold.
func (s *Service) stepReading(ctx context.Context, p *policy, a *wcw.MetricAlarm, now time.Time) (reading, error) {
	c := p.doc.StepScalingPolicyConfiguration
	r := reading{policy: p.doc.PolicyName, out: cooldown(c.Cooldown), in: cooldown(c.Cooldown),
		step: &stepping{alarm: a.AlarmName, kind: c.AdjustmentType, steps: stepsOf(c), below: strings.HasPrefix(a.ComparisonOperator, "LessThan")}}
	if c.MinAdjustmentMagnitude != nil {
		r.step.minimum = int(*c.MinAdjustmentMagnitude)
	}
	m, ok := watched(a)
	if !ok || a.Threshold == nil {
		return r, nil
	}
	n := 1
	if a.EvaluationPeriods != nil {
		n = int(*a.EvaluationPeriods)
	}
	// As CloudWatch looks, or the data would be others than the alarm went off by.
	end := now.Add(-alarmLag).Truncate(min(m.period, time.Minute))
	values, err := s.values(ctx, m, end.Add(-time.Duration(n+alarmMore)*m.period), end)
	if err != nil || len(values) == 0 {
		return r, err
	}
	var newest []float64
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(values))) {
		if len(newest) < n {
			newest = append(newest, values[at])
		}
	}
	r.step.distance = aggregate(c.MetricAggregationType, newest) - *a.Threshold
	return r, nil
}

// CloudWatch evaluates an alarm so long after the end of a period, and by the
// newest EvaluationPeriods data points in so many periods more.
const (
	alarmLag  = time.Second
	alarmMore = 2
)

func aggregate(kind string, values []float64) float64 {
	switch kind {
	case aas.MetricAggregationTypeMinimum:
		return slices.Min(values)
	case aas.MetricAggregationTypeMaximum:
		return slices.Max(values)
	}
	slices.Sort(values) // so that the sum is the same each time
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / math.Max(1, float64(len(values)))
}
