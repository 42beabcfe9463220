// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// action is a row of the table of schedules.
type action struct {
	id, target int64
	doc        aas.ScheduledAction
	due        *int64
}

const actionColumns = "SELECT schedule.id, schedule.target, schedule.doc, schedule.due FROM schedule"

func (a *action) scan(row interface{ Scan(...any) error }) error {
	var text string
	if err := row.Scan(&a.id, &a.target, &text, &a.due); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), &a.doc)
}

// next is the action's next run after a moment, as it is stored.
func (a *action) next(after time.Time) (*int64, error) {
	sch, err := parseSchedule(a.doc.Schedule, a.doc.Timezone)
	if err != nil {
		return nil, err
	}
	t, ok := sch.next(after, a.doc.CreationTime.Time, window{a.doc.StartTime.Time, a.doc.EndTime.Time})
	if !ok {
		return nil, nil
	}
	return new(ms(t)), nil
}

// maxActions is the quota of scheduled actions of a scalable target.
const maxActions = 200

// putScheduledAction is API_PutScheduledAction: a new action, or other members
// of one. It can answer ObjectNotFoundException, LimitExceededException and
// ValidationException.
func (s *Service) putScheduledAction(ctx context.Context, in *aas.PutScheduledActionInput) (*aas.PutScheduledActionOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	return &aas.PutScheduledActionOutput{}, s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := findTarget(ctx, w, k)
		if err != nil {
			return err
		}
		a, err := findAction(ctx, w, g.id, in.ScheduledActionName)
		made := errors.Is(err, sql.ErrNoRows)
		if made {
			id := uuid.NewString()
			a = action{target: g.id, doc: aas.ScheduledAction{ScheduledActionName: in.ScheduledActionName, ServiceNamespace: namespace,
				ResourceId: k.resource, ScalableDimension: k.dimension, CreationTime: wire.At(s.Now()),
				ScheduledActionARN: arn.ARN{Service: "autoscaling", Region: k.region, Account: k.account,
					Resource: "scheduledAction:" + id + ":resource/" + namespace + "/" + k.resource + ":scheduledActionName/" + in.ScheduledActionName}.String()}}
			err = nil
		}
		if err != nil {
			return err
		}
		if err := a.merge(in); err != nil {
			return err
		}
		if a.due, err = a.next(s.Now()); err != nil {
			return fault.Validation("Invalid schedule: %s", err)
		}
		if a.due == nil && strings.HasPrefix(a.doc.Schedule, "at(") {
			return fault.Validation("Invalid schedule: the time of %s is in the past, or after EndTime", a.doc.Schedule)
		}
		text, err := json.Marshal(a.doc)
		if err != nil {
			return err
		}
		if !made {
			_, err = w.Exec("UPDATE schedule SET doc = ?, due = ? WHERE id = ?", string(text), a.due, a.id)
			return err
		}
		var n int
		if err := w.QueryRowContext(ctx, "SELECT count(*) FROM schedule WHERE target = ?", g.id).Scan(&n); err != nil {
			return err
		}
		if n >= maxActions {
			return limitExceeded("Scheduled actions per scalable target limit of %d exceeded", maxActions)
		}
		_, err = w.Exec("INSERT INTO schedule (target, name, doc, due) VALUES (?, ?, ?, ?)", g.id, in.ScheduledActionName, string(text), a.due)
		return err
	})
}

// merge takes the members that a request gives.
func (a *action) merge(in *aas.PutScheduledActionInput) error {
	d := &a.doc
	if in.Schedule != "" {
		d.Schedule = in.Schedule
	}
	if in.Timezone != "" {
		d.Timezone = in.Timezone
	}
	if !in.StartTime.IsZero() {
		d.StartTime = in.StartTime
	}
	if !in.EndTime.IsZero() {
		d.EndTime = in.EndTime
	}
	if in.ScalableTargetAction != nil {
		d.ScalableTargetAction = in.ScalableTargetAction
	}
	to := d.ScalableTargetAction
	switch {
	case d.Schedule == "":
		return fault.Validation("Schedule must be specified")
	case to == nil || to.MinCapacity == nil && to.MaxCapacity == nil:
		return fault.Validation("ScalableTargetAction must specify MinCapacity or MaxCapacity")
	case to.MinCapacity != nil && *to.MinCapacity < 0:
		return fault.Validation("Minimum capacity cannot be less than 0")
	case to.MaxCapacity != nil && *to.MaxCapacity < 0:
		return fault.Validation("Maximum capacity cannot be less than 0")
	case to.MinCapacity != nil && to.MaxCapacity != nil && *to.MaxCapacity < *to.MinCapacity:
		return fault.Validation("Maximum capacity cannot be less than minimum capacity")
	case !d.StartTime.IsZero() && !d.EndTime.IsZero() && !d.StartTime.Before(d.EndTime.Time):
		return fault.Validation("StartTime must be before EndTime")
	}
	return nil
}

func findAction(ctx context.Context, q sqlfile.Querier, target int64, name string) (action, error) {
	var a action
	err := a.scan(q.QueryRowContext(ctx, actionColumns+" WHERE target = ? AND name = ?", target, name))
	return a, err
}

// describeScheduledActions is API_DescribeScheduledActions.
func (s *Service) describeScheduledActions(ctx context.Context, in *aas.DescribeScheduledActionsInput) (*aas.DescribeScheduledActionsOutput, error) {
	if err := needsResource(in.ResourceId, in.ScalableDimension); err != nil {
		return nil, err
	}
	p, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	f := filterOf(ctx, in.ServiceNamespace).is("resource", in.ResourceId).is("dimension", in.ScalableDimension).in("name", in.ScheduledActionNames)
	out := &aas.DescribeScheduledActionsOutput{ScheduledActions: []aas.ScheduledAction{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		found, err := list(ctx, q, actionColumns+" JOIN target ON target.id = schedule.target"+f.text+" AND schedule.id > ? ORDER BY schedule.id LIMIT ?",
			append(f.args, p.after, p.size+1), func(a *action, row *sql.Rows) error { return a.scan(row) })
		if len(found) > p.size {
			found = found[:p.size]
			out.NextToken = makeToken(found[p.size-1].id)
		}
		for _, a := range found {
			out.ScheduledActions = append(out.ScheduledActions, a.doc)
		}
		return err
	})
	return out, err
}

// deleteScheduledAction is API_DeleteScheduledAction.
func (s *Service) deleteScheduledAction(ctx context.Context, in *aas.DeleteScheduledActionInput) (*aas.DeleteScheduledActionOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	return &aas.DeleteScheduledActionOutput{}, s.file.Write(ctx, func(w sqlfile.Writer) error {
		none := objectNotFound("No scheduled action found for service namespace: %s, resource ID: %s, scalable dimension: %s, scheduled action name: %s",
			namespace, k.resource, k.dimension, in.ScheduledActionName)
		g, err := findTarget(ctx, w, k)
		if fault.Of(err) != nil {
			return none
		}
		if err != nil {
			return err
		}
		res, err := w.Exec("DELETE FROM schedule WHERE target = ? AND name = ?", g.id, in.ScheduledActionName)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return first(err, none)
		}
		return nil
	})
}

// runActions runs the scheduled actions of all targets that are due: the bounds
// of the target change, and the loop will see to the capacity. Those that were
// due several times while the server was down run once.
func (s *Service) runActions(ctx context.Context, now time.Time) error {
	var due []action
	err := s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
		due, err = list(ctx, q, actionColumns+" WHERE due <= ? ORDER BY due, id", []any{ms(now)},
			func(a *action, row *sql.Rows) error { return a.scan(row) })
		return err
	})
	for _, a := range due {
		err = errors.Join(err, s.file.Write(ctx, func(w sqlfile.Writer) error { return s.runAction(ctx, w, a.id, now) }))
	}
	return err
}

func (s *Service) runAction(ctx context.Context, w sqlfile.Writer, id int64, now time.Time) error {
	var a action
	err := a.scan(w.QueryRowContext(ctx, actionColumns+" WHERE id = ? AND due <= ?", id, ms(now)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil // deleted or changed meanwhile
	}
	if err != nil {
		return err
	}
	next, err := a.next(now)
	if err != nil {
		return fmt.Errorf("scheduled action %q: %w", a.doc.ScheduledActionName, err)
	}
	if _, err := w.Exec("UPDATE schedule SET due = ? WHERE id = ?", next, id); err != nil {
		return err
	}
	var g target
	if err := g.scan(w.QueryRowContext(ctx, targetColumns+" WHERE id = ?", a.target)); err != nil {
		return err
	}
	if off := g.suspended.ScheduledScalingSuspended; off != nil && *off {
		return nil
	}
	to := a.doc.ScalableTargetAction
	what := bounds(to)
	act := newActivity(g.key, now, "Setting "+what, "scheduled action name "+a.doc.ScheduledActionName+" was triggered", statusPending)
	if err := g.bound(to.MinCapacity, to.MaxCapacity); err != nil {
		act.end(now, statusFailed, "Failed to set %s. Reason: %s", what, cause(err))
		return act.insert(w, g.key)
	}
	act.end(now, statusSuccessful, "Successfully set %s", what)
	return first(act.insert(w, g.key), g.store(w))
}

// bounds says what an action sets: "min capacity to 2 and max capacity to 8".
func bounds(to *aas.ScalableTargetAction) string {
	var parts []string
	if to.MinCapacity != nil {
		parts = append(parts, fmt.Sprintf("min capacity to %d", *to.MinCapacity))
	}
	if to.MaxCapacity != nil {
		parts = append(parts, fmt.Sprintf("max capacity to %d", *to.MaxCapacity))
	}
	return strings.Join(parts, " and ")
}
