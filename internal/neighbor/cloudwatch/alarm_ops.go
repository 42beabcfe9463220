// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

const (
	alarmPage = 50 // of DescribeAlarms, unless names or MaxRecords are given
	maxAlarms = 100
)

// describeAlarms is API_DescribeAlarms. Without AlarmTypes only metric alarms are
// answered. It reads memory alone: to ask for a few names is cheap.
func (s *Service) describeAlarms(ctx context.Context, in *wcw.DescribeAlarmsInput) (*wcw.DescribeAlarmsOutput, error) {
	if err := checkDescribe(in); err != nil {
		return nil, err
	}
	if in.ChildrenOfAlarmName != "" || in.ParentsOfAlarmName != "" {
		return s.describeFamily(ctx, in)
	}
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []string{kindMetric}
	}
	var found []*alarm
	limit := alarmPage
	if len(in.AlarmNames) > 0 {
		limit = maxAlarms
		names := slices.Clone(in.AlarmNames)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if a := s.alarms.get(keyOf(ctx, name)); a != nil {
				found = append(found, a)
			}
		}
	} else {
		c := auth.CallerFrom(ctx)
		found = s.alarms.of(c.Account, c.Region)
	}
	found = slices.DeleteFunc(found, func(a *alarm) bool {
		f := a.face()
		starts := func(action string) bool { return strings.HasPrefix(action, in.ActionPrefix) }
		return !slices.Contains(types, a.kind()) || !strings.HasPrefix(a.name, in.AlarmNamePrefix) || in.StateValue != "" && *f.State != in.StateValue ||
			in.ActionPrefix != "" && !slices.ContainsFunc(slices.Concat(*f.OK, *f.Alarm, *f.Insufficient), starts)
	})
	return pageOf(found, in, limit)
}

func checkDescribe(in *wcw.DescribeAlarmsInput) error {
	if in.AlarmNamePrefix != "" && len(in.AlarmNames) > 0 {
		return validation("The parameters AlarmNamePrefix and AlarmNames are mutually exclusive and you have specified both.")
	}
	family := in.ChildrenOfAlarmName != "" || in.ParentsOfAlarmName != ""
	others := len(in.AlarmNames) > 0 || in.AlarmNamePrefix != "" || len(in.AlarmTypes) > 0 || in.StateValue != "" || in.ActionPrefix != ""
	if family && (others || in.ChildrenOfAlarmName != "" && in.ParentsOfAlarmName != "") {
		return validation("The parameters ChildrenOfAlarmName and ParentsOfAlarmName may be specified with MaxRecords and NextToken only.")
	}
	return nil
}

// pageOf answers the alarms after the one that the token names.
func pageOf(found []*alarm, in *wcw.DescribeAlarmsInput, limit int) (*wcw.DescribeAlarmsOutput, error) {
	if in.MaxRecords != nil {
		limit = int(*in.MaxRecords)
	}
	if in.NextToken != "" {
		b, err := base64.RawURLEncoding.DecodeString(in.NextToken)
		if err != nil || len(b) == 0 {
			return nil, errToken()
		}
		found = slices.DeleteFunc(found, func(a *alarm) bool { return a.name <= string(b) })
	}
	out := &wcw.DescribeAlarmsOutput{MetricAlarms: []wcw.MetricAlarm{}, CompositeAlarms: []wcw.CompositeAlarm{}}
	if len(found) > limit {
		found = found[:limit]
		out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(found[limit-1].name))
	}
	for _, a := range found {
		if a.Metric != nil {
			out.MetricAlarms = append(out.MetricAlarms, *a.Metric)
		} else {
			out.CompositeAlarms = append(out.CompositeAlarms, *a.Composite)
		}
	}
	return out, nil
}

// describeFamily answers a composite alarm's children with little more than
// their states, or the composite alarms above an alarm with less.
func (s *Service) describeFamily(ctx context.Context, in *wcw.DescribeAlarmsInput) (*wcw.DescribeAlarmsOutput, error) {
	c := auth.CallerFrom(ctx)
	var found []*alarm
	if in.ChildrenOfAlarmName != "" {
		parent := s.alarms.get(keyOf(ctx, in.ChildrenOfAlarmName))
		if parent == nil || parent.Composite == nil {
			return nil, validation("The composite alarm %q does not exist.", in.ChildrenOfAlarmName)
		}
		for _, k := range parent.children() {
			if a := s.alarms.get(k); a != nil {
				found = append(found, a)
			}
		}
		slices.SortFunc(found, func(a, b *alarm) int { return strings.Compare(a.name, b.name) })
	} else {
		child := keyOf(ctx, in.ParentsOfAlarmName)
		for _, a := range s.alarms.of(c.Account, c.Region) {
			if a.Composite != nil && slices.Contains(a.children(), child) {
				found = append(found, a)
			}
		}
	}
	out, err := pageOf(found, in, alarmPage)
	if err != nil {
		return nil, err
	}
	for i, m := range out.MetricAlarms {
		out.MetricAlarms[i] = wcw.MetricAlarm{AlarmName: m.AlarmName, AlarmArn: m.AlarmArn, StateValue: m.StateValue, StateUpdatedTimestamp: m.StateUpdatedTimestamp}
	}
	for i, m := range out.CompositeAlarms {
		short := wcw.CompositeAlarm{AlarmName: m.AlarmName, AlarmArn: m.AlarmArn}
		if in.ChildrenOfAlarmName != "" {
			short.StateValue, short.StateUpdatedTimestamp = m.StateValue, m.StateUpdatedTimestamp
		}
		out.CompositeAlarms[i] = short
	}
	return out, nil
}

// describeAlarmsForMetric is API_DescribeAlarmsForMetric. Alarms with Metrics are
// not among the answers, as in the service.
func (s *Service) describeAlarmsForMetric(ctx context.Context, in *wcw.DescribeAlarmsForMetricInput) (*wcw.DescribeAlarmsForMetricOutput, error) {
	c := auth.CallerFrom(ctx)
	out := &wcw.DescribeAlarmsForMetricOutput{MetricAlarms: []wcw.MetricAlarm{}}
	dims := dimsText(sorted(in.Dimensions))
	for _, a := range s.alarms.of(c.Account, c.Region) {
		m := a.Metric
		if m == nil || m.MetricName != in.MetricName || m.Namespace != in.Namespace || dimsText(sorted(m.Dimensions)) != dims ||
			in.Statistic != "" && m.Statistic != in.Statistic || in.ExtendedStatistic != "" && m.ExtendedStatistic != in.ExtendedStatistic ||
			in.Period != nil && (m.Period == nil || *m.Period != *in.Period) || in.Unit != "" && m.Unit != in.Unit {
			continue
		}
		out.MetricAlarms = append(out.MetricAlarms, *m)
	}
	return out, nil
}

// deleteAlarms is API_DeleteAlarms: all of the alarms or, when one does not
// exist, none. Their history stays.
func (s *Service) deleteAlarms(ctx context.Context, in *wcw.DeleteAlarmsInput) (*wcw.DeleteAlarmsOutput, error) {
	now := s.now()
	err := s.change(ctx, func(tx *alarmTx) error {
		composites := 0
		for _, name := range in.AlarmNames {
			a := tx.get(keyOf(ctx, name))
			if a == nil {
				if _, twice := tx.changed[keyOf(ctx, name)]; twice {
					continue
				}
				return noAlarm(name)
			}
			if a.Composite != nil {
				composites++
			}
			if composites > 1 {
				return validation("The parameter AlarmNames may have one composite alarm at most.")
			}
			if err := tx.configured(a, now, "deleted"); err != nil {
				return err
			}
			if err := tx.delete(a.alarmKey); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wcw.DeleteAlarmsOutput{}, s.evaluateComposites(ctx)
}

// handHeld is how long at least a state that was set by hand stays, so that
// those who ask every second see it, whenever the next period ends.
const handHeld = 10 * time.Second

// setAlarmState is API_SetAlarmState. The state stays until the next evaluation:
// at the end of the period or of the minute, and for a composite alarm when a
// child changes. Answers ResourceNotFound, InvalidFormat.
func (s *Service) setAlarmState(ctx context.Context, in *wcw.SetAlarmStateInput) (*wcw.SetAlarmStateOutput, error) {
	if in.StateReasonData != "" && !json.Valid([]byte(in.StateReasonData)) {
		return nil, fault.New("InvalidFormat", http.StatusBadRequest, "The parameter StateReasonData must be in JSON format.")
	}
	now, k := s.now(), keyOf(ctx, in.AlarmName)
	err := s.change(ctx, func(tx *alarmTx) error {
		a := tx.get(k)
		if a == nil {
			return noAlarm(in.AlarmName)
		}
		a = a.clone()
		if a.Metric != nil {
			a.Held = now.Add(handHeld)
			tx.done[k] = a.boundary(now)
		} else {
			a.Seen, a.Why = tx.seen(a), ""
		}
		_, err := tx.move(a, verdict{in.StateValue, in.StateReason, in.StateReasonData}, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wcw.SetAlarmStateOutput{}, s.evaluateComposites(ctx)
}

// enableAlarmActions is API_EnableAlarmActions.
func (s *Service) enableAlarmActions(ctx context.Context, in *wcw.EnableAlarmActionsInput) (*wcw.EnableAlarmActionsOutput, error) {
	return &wcw.EnableAlarmActionsOutput{}, s.setActions(ctx, in.AlarmNames, true)
}

// disableAlarmActions is API_DisableAlarmActions.
func (s *Service) disableAlarmActions(ctx context.Context, in *wcw.DisableAlarmActionsInput) (*wcw.DisableAlarmActionsOutput, error) {
	return &wcw.DisableAlarmActionsOutput{}, s.setActions(ctx, in.AlarmNames, false)
}

// setActions passes over names that no alarm has: the two operations have no
// error for them.
func (s *Service) setActions(ctx context.Context, names []string, enabled bool) error {
	now := s.now()
	return s.change(ctx, func(tx *alarmTx) error {
		for _, name := range names {
			a := tx.get(keyOf(ctx, name))
			if a == nil || **a.face().Enabled == enabled {
				continue
			}
			a = a.clone()
			*a.face().Enabled = &enabled
			if err := tx.configured(a, now, "updated"); err != nil {
				return err
			}
			if err := tx.put(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// alarmByARN finds the alarm that a tag operation names.
func (tx *alarmTx) alarmByARN(ctx context.Context, text string) (*alarm, error) {
	at, err := arn.Parse(text)
	name, isAlarm := strings.CutPrefix(at.Resource, "alarm:")
	if err != nil || at.Service != "cloudwatch" || !isAlarm {
		return nil, invalid("The value %s for parameter ResourceARN is not the ARN of an alarm.", text)
	}
	c := auth.CallerFrom(ctx)
	if a := tx.get(alarmKey{at.Account, at.Region, name}); a != nil && at.Account == c.Account && at.Region == c.Region {
		return a, nil
	}
	return nil, fault.New("ResourceNotFoundException", http.StatusNotFound, "The resource %s does not exist.", text)
}

const maxAlarmTags = 50

func checkAlarmTags(tags []wcw.Tag) error {
	if len(tags) > maxAlarmTags {
		return invalid("The number of tags exceeds the limit of %d.", maxAlarmTags)
	}
	for i, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return invalid("The tag key %s is invalid: the prefix aws: is reserved.", t.Key)
		}
		if slices.ContainsFunc(tags[:i], func(o wcw.Tag) bool { return o.Key == t.Key }) {
			return invalid("The tag key %s is given twice.", t.Key)
		}
	}
	return nil
}

// tagResource is API_TagResource.
func (s *Service) tagResource(ctx context.Context, in *wcw.TagResourceInput) (*wcw.TagResourceOutput, error) {
	if err := checkAlarmTags(in.Tags); err != nil {
		return nil, err
	}
	return &wcw.TagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(t wcw.Tag) bool {
		return slices.ContainsFunc(in.Tags, func(o wcw.Tag) bool { return o.Key == t.Key })
	}, in.Tags)
}

// untagResource is API_UntagResource.
func (s *Service) untagResource(ctx context.Context, in *wcw.UntagResourceInput) (*wcw.UntagResourceOutput, error) {
	return &wcw.UntagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(t wcw.Tag) bool { return slices.Contains(in.TagKeys, t.Key) }, nil)
}

// retag takes tags away from an alarm and adds others.
func (s *Service) retag(ctx context.Context, text string, gone func(wcw.Tag) bool, more []wcw.Tag) error {
	return s.change(ctx, func(tx *alarmTx) error {
		a, err := tx.alarmByARN(ctx, text)
		if err != nil {
			return err
		}
		a = a.clone()
		a.Tags = append(slices.DeleteFunc(slices.Clone(a.Tags), gone), more...)
		if err := checkAlarmTags(a.Tags); err != nil {
			return err
		}
		return tx.put(a)
	})
}

// listTagsForResource is API_ListTagsForResource.
func (s *Service) listTagsForResource(ctx context.Context, in *wcw.ListTagsForResourceInput) (*wcw.ListTagsForResourceOutput, error) {
	a, err := (&alarmTx{s: s}).alarmByARN(ctx, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &wcw.ListTagsForResourceOutput{Tags: slices.Concat([]wcw.Tag{}, a.Tags)}, nil
}
