// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	cw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// stopGrace is how long a serving container may take to end after SIGTERM.
// Source: "Use Your Own Inference Code with Hosting Services".
const stopGrace = 30 * time.Second

// reconcile looks at an endpoint, decides, acts and writes.
func (s *Service) reconcile(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	r, err := s.endpoints.Get(ctx, key)
	if errors.Is(err, resource.ErrNotFound) {
		s.routes.remove(key)
		return reconcile.Done, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if endpointLife.Settled(r.Status) {
		s.routes.remove(key)
		return reconcile.Done, nil
	}
	changed, release, err := s.releaseInstances(ctx, &r)
	if err != nil {
		return reconcile.Result{}, err
	}
	if changed {
		s.wake(key)
		return reconcile.Result{After: time.Hour}, nil
	}
	o := endpointOwner(&r)
	idle := s.overlay(o)
	seen, err := s.look(ctx, o)
	if err != nil {
		return reconcile.Result{}, err
	}
	s.noteHighest(o, seen)
	alarms, err := s.inAlarm(ctx, r.Key, &r.Private)
	if err != nil {
		return reconcile.Result{}, err
	}
	st := decide(r.Status, &r.Private, r.Doc.FailureReason, seen, alarms, s.Now())
	st.again = min(st.again, idle)
	if release > 0 {
		st.again = min(st.again, release)
	}
	return s.act(ctx, r, seen, st)
}

// look inspects every task that the endpoint may have, and sees to it that
// each running one is watched.
func (s *Service) look(ctx context.Context, o *owner) (map[spot]look, error) {
	seen := map[spot]look{}
	for _, at := range o.spots() {
		id := o.taskID(at)
		state, err := s.Runtime.Inspect(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("inspect task %s: %w", id, err)
		}
		in := s.watch(o, at, id, state)
		seen[at] = in.look(state)
	}
	return seen, nil
}

func (s *Service) act(ctx context.Context, r endpointRecord, seen map[spot]look, st step) (reconcile.Result, error) {
	// Routes change before instances stop, so that no request is sent to one
	// that is about to go.
	if r.Status == sm.EndpointStatusDeleting {
		s.routes.remove(r.Key)
		if err := s.dropAsync(ctx, &r); err != nil {
			return reconcile.Result{}, err
		}
	} else {
		s.serve(&r, st)
	}
	again := reconcile.Result{After: st.again}
	wait, err := s.actOn(ctx, endpointOwner(&r), st)
	if err != nil {
		return again, err
	}
	again.After = min(again.After, wait)
	if st.gone {
		if err := s.discard(ctx, &r); err != nil {
			return again, err
		}
		s.Log.Info("endpoint deleted", "name", r.Key.Name, "arn", r.ARN)
		return reconcile.Done, nil
	}
	if !st.changes() && !stale(&r, seen) {
		return again, nil
	}
	next, err := s.endpoints.Edit(ctx, r.Key, func(now *endpointRecord) error {
		if now.Version != r.Version {
			return resource.ErrStale
		}
		st.apply(now)
		describe(now, healthy(seen), st.statuses)
		return nil
	})
	if errors.Is(err, resource.ErrStale) || errors.Is(err, resource.ErrNotFound) {
		s.wake(r.Key) // something changed meanwhile: look again
		return again, nil
	}
	if err != nil {
		return again, err
	}
	if next.Status != r.Status {
		s.Log.Info("endpoint status", "name", r.Key.Name, "from", r.Status, "to", next.Status, "reason", next.Doc.FailureReason)
	}
	for _, g := range st.drop {
		s.removeFiles(r.Private.Seed, g)
	}
	s.wake(r.Key)
	return again, nil
}

// actOn stops, removes and starts the tasks of a step. What has to wait for
// requests under way is left for the next step, after the time that it answers.
func (s *Service) actOn(ctx context.Context, o *owner, st step) (again time.Duration, err error) {
	again = time.Hour
	for _, at := range st.stop {
		if wait := s.drain(o, at); wait > 0 {
			again = min(again, wait)
			continue
		}
		s.expectStop(o.taskID(at))
		if err := s.Runtime.Stop(ctx, o.taskID(at), stopGrace); err != nil {
			return again, fmt.Errorf("stop instance: %w", err)
		}
	}
	for _, at := range st.remove {
		id := o.taskID(at)
		if !s.drained(id) { // its log is not shipped to the end yet; the shipper wakes us
			continue
		}
		if err := s.Runtime.Remove(ctx, id); err != nil {
			return again, fmt.Errorf("remove instance: %w", err)
		}
		s.wake(o.key)
	}
	for _, at := range st.start {
		s.startInstance(ctx, o, at)
	}
	return again, nil
}

// inAlarm are the alarms of a deployment under way that are in ALARM.
func (s *Service) inAlarm(ctx context.Context, key resource.Key, d *deployment) ([]string, error) {
	f := d.fleetOf(next)
	if f == nil || d.fleetOf(current) == nil || f.Policy == nil || f.Policy.AutoRollbackConfiguration == nil {
		return nil, nil
	}
	ctx = auth.WithCaller(ctx, auth.Caller{Account: key.Account, Region: key.Region})
	var out []string
	states, err := s.alarmStates(ctx, f.Policy.AutoRollbackConfiguration)
	for name, state := range states {
		if state == "ALARM" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, err
}

// alarmStates are the states of the alarms of an auto-rollback; one that is not
// there is not among them.
func (s *Service) alarmStates(ctx context.Context, c *sm.AutoRollbackConfig) (map[string]string, error) {
	in := &cw.DescribeAlarmsInput{AlarmTypes: []string{"MetricAlarm", "CompositeAlarm"}}
	for _, a := range c.Alarms {
		in.AlarmNames = append(in.AlarmNames, a.AlarmName)
	}
	got, err := op.Call(ctx, s.Table, cw.DescribeAlarms, in)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, a := range got.MetricAlarms {
		out[a.AlarmName] = a.StateValue
	}
	for _, a := range got.CompositeAlarms {
		out[a.AlarmName] = a.StateValue
	}
	return out, nil
}

// stale tells whether the counts in the document differ from what is seen.
func stale(r *endpointRecord, seen map[spot]look) bool {
	f := r.Private.fleetOf(current)
	if f == nil {
		return false
	}
	for i := range r.Doc.ProductionVariants { // shadow variants come after them in a fleet
		v := summary(f, i, healthy(seen))
		was := r.Doc.ProductionVariants[i].CurrentInstanceCount
		if v.CurrentInstanceCount != nil && (was == nil || *v.CurrentInstanceCount != *was) {
			return true
		}
	}
	return false
}

// discard removes the record of an endpoint that has nothing left.
func (s *Service) discard(ctx context.Context, r *endpointRecord) error {
	if err := s.deregisterVariants(ctx, r); err != nil {
		return err
	}
	s.removeFiles(r.Private.Seed, 0)
	s.forget(r.Key)
	if err := s.endpoints.Remove(ctx, r.Key); err != nil && !errors.Is(err, resource.ErrNotFound) {
		return err
	}
	return nil
}
