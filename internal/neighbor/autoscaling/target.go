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
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// target is a row of the table of scalable targets.
type target struct {
	key
	id              int64
	uid             string
	lowest, highest int
	created, since  time.Time
	suspended       aas.SuspendedState
	tags            map[string]string
	asked, seen     int64
	gone            bool
}

const targetColumns = `SELECT id, account, region, resource, dimension, uid, lowest, highest, created, suspended, tags, asked, seen, gone, since FROM target`

func (g *target) scan(row interface{ Scan(...any) error }) error {
	var suspended, tags string
	var created, since int64
	if err := row.Scan(&g.id, &g.account, &g.region, &g.resource, &g.dimension, &g.uid, &g.lowest, &g.highest, &created,
		&suspended, &tags, &g.asked, &g.seen, &g.gone, &since); err != nil {
		return err
	}
	g.created, g.since = ofMS(created), ofMS(since)
	return first(json.Unmarshal([]byte(suspended), &g.suspended), json.Unmarshal([]byte(tags), &g.tags))
}

func (g *target) arn() string {
	return arn.ARN{Service: "application-autoscaling", Region: g.region, Account: g.account, Resource: "scalable-target/" + g.uid}.String()
}

// findTarget finds a target, or answers in the service's words.
func findTarget(ctx context.Context, q sqlfile.Querier, k key) (target, error) {
	var g target
	err := g.scan(q.QueryRowContext(ctx, targetColumns+" WHERE account = ? AND region = ? AND resource = ? AND dimension = ?",
		k.account, k.region, k.resource, k.dimension))
	if errors.Is(err, sql.ErrNoRows) {
		return g, noTarget(k)
	}
	return g, err
}

// targetsAt reads the targets that a clause selects.
func targetsAt(ctx context.Context, q sqlfile.Querier, clause string, args ...any) ([]target, error) {
	return list(ctx, q, targetColumns+clause, args, func(g *target, row *sql.Rows) error { return g.scan(row) })
}

// list reads all rows of a query.
func list[T any](ctx context.Context, q sqlfile.Querier, text string, args []any, scan func(*T, *sql.Rows) error) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := scan(&v, rows); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, first(rows.Err(), rows.Close())
}

// maxTargets is the quota of scalable targets for SageMaker in a Region.
const maxTargets = 500

// registerScalableTarget is API_RegisterScalableTarget: a new target, or other
// bounds and suspensions of one. A capacity outside the bounds is brought to
// the nearer one by the loop, at once. It can answer ValidationException and
// LimitExceededException.
func (s *Service) registerScalableTarget(ctx context.Context, in *aas.RegisterScalableTargetInput) (*aas.RegisterScalableTargetOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	c, err := dimensions[k.dimension].read(ctx, s.Table, k.resource)
	switch {
	case err != nil:
		return nil, err
	case c.absent != "":
		return nil, fault.Validation("%s", c.absent)
	}
	var g target
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err = findTarget(ctx, w, k)
		made := fault.Of(err) != nil
		switch {
		case made:
			g = target{key: k, uid: newTargetID(), created: s.Now(), tags: in.Tags, lowest: -1, highest: -1}
		case err != nil:
			return err
		case in.Tags != nil:
			return fault.Validation("The scalable target that you tried to tag already exists. To update tags on an existing scalable target, use the TagResource API.")
		}
		if err := g.bound(in.MinCapacity, in.MaxCapacity); err != nil {
			return err
		}
		g.suspend(in.SuspendedState)
		if made {
			return g.insert(ctx, w)
		}
		text, err := json.Marshal(g.suspended)
		if err != nil {
			return err
		}
		if _, err := w.Exec("UPDATE target SET suspended = ? WHERE id = ?", string(text), g.id); err != nil {
			return err
		}
		if in.MinCapacity == nil && in.MaxCapacity == nil {
			return nil
		}
		return g.store(w)
	})
	if err != nil {
		return nil, err
	}
	return &aas.RegisterScalableTargetOutput{ScalableTargetARN: g.arn()}, nil
}

// newTargetID is 36 letters and digits.
func newTargetID() string {
	return strings.ReplaceAll(uuid.NewString()+uuid.NewString(), "-", "")[:36]
}

// bound changes the bounds; a nil one stays as it is, below 0 there is none yet.
func (g *target) bound(lowest, highest *int64) error {
	if lowest != nil {
		if *lowest < 0 {
			return fault.Validation("Minimum capacity cannot be less than 0")
		}
		g.lowest = int(*lowest)
	}
	if highest != nil {
		if *highest < 0 {
			return fault.Validation("Maximum capacity cannot be less than 0")
		}
		g.highest = int(*highest)
	}
	switch {
	case g.lowest < 0:
		return fault.Validation("Minimum capacity must be specified")
	case g.highest < 0:
		return fault.Validation("Maximum capacity must be specified")
	case g.highest < g.lowest:
		return fault.Validation("Maximum capacity cannot be less than minimum capacity")
	}
	return nil
}

func (g *target) suspend(in *aas.SuspendedState) {
	off := func(to **bool, from *bool) {
		if from != nil {
			*to = from
		}
		if *to == nil {
			*to = new(false)
		}
	}
	if in == nil {
		in = &aas.SuspendedState{}
	}
	off(&g.suspended.DynamicScalingInSuspended, in.DynamicScalingInSuspended)
	off(&g.suspended.DynamicScalingOutSuspended, in.DynamicScalingOutSuspended)
	off(&g.suspended.ScheduledScalingSuspended, in.ScheduledScalingSuspended)
}

func (g *target) insert(ctx context.Context, w sqlfile.Writer) error {
	var n int
	if err := w.QueryRowContext(ctx, "SELECT count(*) FROM target WHERE account = ? AND region = ?", g.account, g.region).Scan(&n); err != nil {
		return err
	}
	if n >= maxTargets {
		return limitExceeded("Scalable targets per service namespace limit of %d exceeded for service namespace: %s", maxTargets, namespace)
	}
	suspended, err := json.Marshal(g.suspended)
	if err != nil {
		return err
	}
	if g.tags == nil {
		g.tags = map[string]string{}
	}
	tags, err := json.Marshal(g.tags)
	if err != nil {
		return err
	}
	_, err = w.Exec(`INSERT INTO target (account, region, resource, dimension, uid, lowest, highest, created, suspended, tags, since)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, g.account, g.region, g.resource, g.dimension, g.uid, g.lowest, g.highest,
		ms(g.created), string(suspended), string(tags), ms(g.created))
	return err
}

// store writes new bounds, with which the capacity is to be compared.
func (g *target) store(w sqlfile.Writer) error {
	_, err := w.Exec("UPDATE target SET lowest = ?, highest = ?, asked = asked + 1 WHERE id = ?", g.lowest, g.highest, g.id)
	return err
}

// describeScalableTargets is API_DescribeScalableTargets, in the order of
// registration.
func (s *Service) describeScalableTargets(ctx context.Context, in *aas.DescribeScalableTargetsInput) (*aas.DescribeScalableTargetsOutput, error) {
	if in.ScalableDimension != "" && len(in.ResourceIds) == 0 {
		return nil, fault.Validation("ResourceIds must be specified when ScalableDimension is specified")
	}
	p, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	f := filterOf(ctx, in.ServiceNamespace).is("dimension", in.ScalableDimension).in("resource", in.ResourceIds).after(p)
	out := &aas.DescribeScalableTargetsOutput{ScalableTargets: []aas.ScalableTarget{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		found, err := targetsAt(ctx, q, f.text+" ORDER BY id LIMIT ?", append(f.args, p.size+1)...)
		if len(found) > p.size {
			found = found[:p.size]
			out.NextToken = makeToken(found[p.size-1].id)
		}
		for _, g := range found {
			out.ScalableTargets = append(out.ScalableTargets, aas.ScalableTarget{ServiceNamespace: namespace, ResourceId: g.resource,
				ScalableDimension: g.dimension, MinCapacity: new(int64(g.lowest)), MaxCapacity: new(int64(g.highest)),
				RoleARN: roleARN(g.account), CreationTime: wire.At(g.created), SuspendedState: &g.suspended, ScalableTargetARN: g.arn()})
		}
		return err
	})
	return out, err
}

// deregisterScalableTarget is API_DeregisterScalableTarget: policies, their
// alarms and scheduled actions go with the target; the capacity stays.
func (s *Service) deregisterScalableTarget(ctx context.Context, in *aas.DeregisterScalableTargetInput) (*aas.DeregisterScalableTargetOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := findTarget(ctx, w, k)
		if err != nil {
			return err
		}
		policies, err := policiesOf(ctx, w, g.id)
		if err != nil {
			return err
		}
		for _, p := range policies {
			if err := dropAlarms(w, g.account, g.region, p.doc.Alarms); err != nil {
				return err
			}
		}
		for _, text := range []string{"DELETE FROM policy WHERE target = ?", "DELETE FROM schedule WHERE target = ?", "DELETE FROM target WHERE id = ?"} {
			if _, err := w.Exec(text, g.id); err != nil {
				return err
			}
		}
		// What is under way will not be looked at again.
		return s.overrideOpen(ctx, w, g.key)
	})
	if err != nil {
		return nil, err
	}
	s.bringAlarms(ctx)
	return &aas.DeregisterScalableTargetOutput{}, nil
}

// filter is the WHERE clause of a list.
type filter struct {
	text string
	args []any
}

// filterOf begins with what the caller may see. Other services' namespaces are
// known, and hold nothing.
func filterOf(ctx context.Context, ns string) filter {
	c := auth.CallerFrom(ctx)
	f := filter{" WHERE account = ? AND region = ?", []any{c.Account, c.Region}}
	if ns != namespace {
		f.text += " AND 0"
	}
	return f
}

func (f filter) is(column, value string) filter {
	if value == "" {
		return f
	}
	return filter{f.text + " AND " + column + " = ?", append(f.args, value)}
}

func (f filter) in(column string, values []string) filter {
	if len(values) == 0 {
		return f
	}
	f.text += " AND " + column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")"
	for _, v := range values {
		f.args = append(f.args, v)
	}
	return f
}

func (f filter) after(p page) filter {
	return filter{f.text + " AND id > ?", append(f.args, p.after)}
}

// needsResource is the rule of lists that take a resource and a dimension.
func needsResource(resource, dimension string) error {
	if dimension != "" && resource == "" {
		return fault.Validation("ResourceId must be specified when ScalableDimension is specified")
	}
	return nil
}

func parseDoc[D any](text string) (D, error) {
	var d D
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("read document: %w", err)
	}
	return d, nil
}
