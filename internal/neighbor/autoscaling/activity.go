// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// Status codes of activities. Source: "Scaling activities for Application Auto
// Scaling" of the user guide.
const (
	statusPending    = "Pending"    // SageMaker has not been asked, or has not answered
	statusInProgress = "InProgress" // it has taken the change
	statusSuccessful = "Successful"
	statusFailed     = "Failed"
	statusOverridden = "Overridden" // someone else set another capacity meanwhile
)

// keptActivities is how long activities can be looked up.
const keptActivities = 6 * 7 * 24 * time.Hour

// activity is a row of the table of activities.
type activity struct {
	id            int64
	doc           aas.ScalingActivity
	before, after int
	cooldown      time.Duration
	notScaled     bool
	worked        bool
}

// newActivity is an activity of a target that begins now.
func newActivity(k key, now time.Time, description, cause, status string) activity {
	return activity{doc: aas.ScalingActivity{ActivityId: uuid.NewString(), ServiceNamespace: namespace, ResourceId: k.resource,
		ScalableDimension: k.dimension, Description: description, Cause: cause, StartTime: wire.At(now), StatusCode: status}}
}

// end settles the activity.
func (a *activity) end(now time.Time, status, format string, args ...any) {
	a.doc.StatusCode, a.doc.EndTime = status, wire.At(now)
	a.doc.StatusMessage = fmt.Sprintf(format, args...)
	a.worked = status == statusSuccessful && a.before != a.after
}

func (a *activity) open() bool { return a.doc.EndTime.IsZero() }

// insert writes a new activity.
func (a *activity) insert(w sqlfile.Writer, k key) error {
	text, err := json.Marshal(a.doc)
	if err != nil {
		return err
	}
	res, err := w.Exec(`INSERT INTO activity (account, region, resource, dimension, doc, open, started, ended, not_scaled, worked, before, after, cooldown)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, k.account, k.region, k.resource, k.dimension, string(text), a.open(),
		ms(a.doc.StartTime.Time), a.ended(), a.notScaled, a.worked, a.before, a.after, a.cooldown.Milliseconds())
	if err != nil {
		return err
	}
	a.id, err = res.LastInsertId()
	return err
}

// update writes what became of an activity, unless it was settled meanwhile.
func (a *activity) update(w sqlfile.Writer) error {
	text, err := json.Marshal(a.doc)
	if err != nil {
		return err
	}
	_, err = w.Exec("UPDATE activity SET doc = ?, open = ?, ended = ?, worked = ? WHERE id = ? AND open", string(text), a.open(), a.ended(), a.worked, a.id)
	return err
}

func (a *activity) ended() any {
	if a.open() {
		return nil
	}
	return ms(a.doc.EndTime.Time)
}

const activityColumns = "SELECT id, doc, before, after, cooldown FROM activity"

func (a *activity) scan(row *sql.Rows) error {
	var text string
	var cooldown int64
	if err := row.Scan(&a.id, &text, &a.before, &a.after, &cooldown); err != nil {
		return err
	}
	a.cooldown = time.Duration(cooldown) * time.Millisecond
	return json.Unmarshal([]byte(text), &a.doc)
}

func activitiesAt(ctx context.Context, q sqlfile.Querier, clause string, args ...any) ([]activity, error) {
	return list(ctx, q, activityColumns+clause, args, (*activity).scan)
}

const ofKey = " WHERE account = ? AND region = ? AND resource = ? AND dimension = ?"

func (k key) args(more ...any) []any {
	return append([]any{k.account, k.region, k.resource, k.dimension}, more...)
}

// openOf is the activity of a target that is under way.
func openOf(ctx context.Context, q sqlfile.Querier, k key) (*activity, error) {
	found, err := activitiesAt(ctx, q, ofKey+" AND open ORDER BY id DESC LIMIT 1", k.args()...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// changesOf are the changes of a target's capacity that still matter: the last
// one, for its cooldown, and those that data points may be older than.
func changesOf(ctx context.Context, q sqlfile.Querier, k key, since time.Time) ([]change, error) {
	type row struct{ from, to, ended, cooldown int64 }
	found, err := list(ctx, q, "SELECT before, after, ended, cooldown FROM activity"+ofKey+" AND worked ORDER BY id DESC LIMIT 100", k.args(),
		func(r *row, rows *sql.Rows) error { return rows.Scan(&r.from, &r.to, &r.ended, &r.cooldown) })
	var out []change
	for i, r := range found {
		if i > 0 && ofMS(r.ended).Before(since) {
			break
		}
		out = append([]change{{int(r.from), int(r.to), ofMS(r.ended), time.Duration(r.cooldown) * time.Millisecond}}, out...)
	}
	return out, err
}

// retryAfter is how long a change that failed is not asked for again.
const retryAfter = 5 * time.Minute

// failedJustNow tells whether the last change of a target was the same one, and
// failed a short while ago.
func failedJustNow(ctx context.Context, q sqlfile.Querier, k key, to int, now time.Time) (bool, error) {
	found, err := activitiesAt(ctx, q, ofKey+" AND NOT not_scaled AND before != after ORDER BY id DESC LIMIT 1", k.args()...)
	if err != nil || len(found) == 0 {
		return false, err
	}
	a := found[0]
	return a.doc.StatusCode == statusFailed && a.after == to && now.Sub(a.doc.EndTime.Time) < retryAfter, nil
}

// overrideOpen settles what is under way for a target that goes.
func (s *Service) overrideOpen(ctx context.Context, w sqlfile.Writer, k key) error {
	a, err := openOf(ctx, w, k)
	if err != nil || a == nil {
		return err
	}
	a.end(s.Now(), statusOverridden, "The scalable target was deregistered.")
	return a.update(w)
}

// describeScalingActivities is API_DescribeScalingActivities: those of the last
// six weeks, the newest first.
func (s *Service) describeScalingActivities(ctx context.Context, in *aas.DescribeScalingActivitiesInput) (*aas.DescribeScalingActivitiesOutput, error) {
	if err := needsResource(in.ResourceId, in.ScalableDimension); err != nil {
		return nil, err
	}
	p, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	f := filterOf(ctx, in.ServiceNamespace).is("resource", in.ResourceId).is("dimension", in.ScalableDimension)
	f.text, f.args = f.text+" AND started >= ?", append(f.args, ms(s.Now().Add(-keptActivities)))
	if p.after > 0 {
		f.text, f.args = f.text+" AND id < ?", append(f.args, p.after)
	}
	if in.IncludeNotScaledActivities == nil || !*in.IncludeNotScaledActivities {
		f.text += " AND NOT not_scaled"
	}
	out := &aas.DescribeScalingActivitiesOutput{ScalingActivities: []aas.ScalingActivity{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		found, err := activitiesAt(ctx, q, f.text+" ORDER BY id DESC LIMIT ?", append(f.args, p.size+1)...)
		if len(found) > p.size {
			found = found[:p.size]
			out.NextToken = makeToken(found[p.size-1].id)
		}
		for _, a := range found {
			out.ScalingActivities = append(out.ScalingActivities, a.doc)
		}
		return err
	})
	return out, err
}

// clean removes activities that nobody can look up any more, once an hour.
func (s *Service) clean(ctx context.Context, now time.Time) error {
	if now.Sub(s.cleaned) < time.Hour {
		return nil
	}
	s.cleaned = now
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		_, err := w.Exec("DELETE FROM activity WHERE started < ? AND NOT open", ms(now.Add(-keptActivities)))
		return err
	})
}
