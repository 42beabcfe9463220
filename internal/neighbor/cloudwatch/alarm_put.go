// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// putMetricAlarm is API_PutMetricAlarm. An alarm of the name is replaced: it
// keeps its state and its tags, and is evaluated again at once. Answers
// ValidationError.
func (s *Service) putMetricAlarm(ctx context.Context, in *wcw.PutMetricAlarmInput) (*wcw.PutMetricAlarmOutput, error) {
	k := keyOf(ctx, in.AlarmName)
	a := &alarm{alarmKey: k, Tags: in.Tags, Metric: &wcw.MetricAlarm{
		AlarmName: in.AlarmName, AlarmArn: k.arn(), AlarmDescription: in.AlarmDescription, ActionsEnabled: orTrue(in.ActionsEnabled),
		OKActions: in.OKActions, AlarmActions: in.AlarmActions, InsufficientDataActions: in.InsufficientDataActions,
		MetricName: in.MetricName, Namespace: in.Namespace, Statistic: in.Statistic, ExtendedStatistic: in.ExtendedStatistic,
		Dimensions: in.Dimensions, Period: in.Period, Unit: in.Unit, EvaluationPeriods: in.EvaluationPeriods, DatapointsToAlarm: in.DatapointsToAlarm,
		Threshold: in.Threshold, ComparisonOperator: in.ComparisonOperator, TreatMissingData: in.TreatMissingData,
		EvaluateLowSampleCountPercentile: in.EvaluateLowSampleCountPercentile, Metrics: in.Metrics, EvaluationWindow: in.EvaluationWindow,
	}}
	if err := checkNotBuilt(in); err != nil {
		return nil, err
	}
	if err := a.ready(); err != nil {
		return nil, err
	}
	if err := checkMetricAlarm(a); err != nil {
		return nil, err
	}
	return &wcw.PutMetricAlarmOutput{}, s.putAlarm(ctx, a, nil)
}

func orTrue(b *bool) *bool { return cmp.Or(b, new(true)) }

// putAlarm stores an alarm under its name. check, unless nil, looks at it beside
// the others.
func (s *Service) putAlarm(ctx context.Context, a *alarm, check func(*alarmTx) error) error {
	if err := checkAlarm(a); err != nil {
		return err
	}
	now := s.now()
	return s.change(ctx, func(tx *alarmTx) error {
		if check != nil {
			if err := check(tx); err != nil {
				return err
			}
		}
		f, what := a.face(), "created"
		*f.Configured = wire.At(now)
		*f.State, *f.Reason, *f.Updated, *f.Transitioned = stateInsufficient, "Unchecked: Initial alarm creation", wire.At(now), wire.At(now)
		if old := tx.get(a.alarmKey); old != nil {
			if old.kind() != a.kind() {
				return validation("The alarm %q exists and is a %s. Delete it first.", a.name, old.kind())
			}
			o := old.face()
			*f.State, *f.Reason, *f.Data, *f.Updated, *f.Transitioned = *o.State, *o.Reason, *o.Data, *o.Updated, *o.Transitioned
			a.Tags, a.Held, what = old.Tags, old.Held, "updated"
		}
		if a.rule != nil {
			a.Why = what
		}
		tx.again[a.alarmKey] = true
		if err := tx.configured(a, now, what); err != nil {
			return err
		}
		return tx.put(a)
	})
}

// checkAlarm is what both kinds of alarms must satisfy.
func checkAlarm(a *alarm) error {
	if strings.ContainsFunc(a.name, func(r rune) bool { return r < 128 && unicode.IsControl(r) }) {
		return validation("The parameter AlarmName must not contain control characters.")
	}
	if err := checkAlarmTags(a.Tags); err != nil {
		return err
	}
	f := a.face()
	for name, list := range map[string][]string{"OKActions": *f.OK, "AlarmActions": *f.Alarm, "InsufficientDataActions": *f.Insufficient} {
		for _, action := range list {
			at, err := arn.Parse(action)
			if err != nil {
				return validation("Invalid arn syntax: %s in parameter %s.", action, name)
			}
			if at.Service == "sns" && at.Region != a.region {
				return validation("Invalid region %s specified. Only %s is supported.", at.Region, a.region)
			}
		}
	}
	return nil
}

// checkNotBuilt refuses what the service takes and this one does not.
func checkNotBuilt(in *wcw.PutMetricAlarmInput) error {
	no := func(what string) error { return validation("%s is not supported by Sagebrush.", what) }
	switch {
	case in.ThresholdMetricId != "" || strings.Contains(in.ComparisonOperator, "Lower") || strings.Contains(in.ComparisonOperator, "Upper"):
		return no("Anomaly detection (ThresholdMetricId, and the comparison operators of a lower or upper threshold)")
	case in.EvaluationCriteria != nil:
		return no("EvaluationCriteria, an alarm on a PromQL query,")
	case in.EvaluationInterval != nil:
		return no("EvaluationInterval")
	case in.WarmUpConfiguration != nil:
		return no("WarmUpConfiguration")
	case in.ActionConfiguration != nil:
		return no("ActionConfiguration")
	case in.EvaluationWindow != nil && in.EvaluationWindow.WallClockWindow != nil:
		return no("EvaluationWindow.WallClockWindow")
	}
	return nil
}

// The longest time that an alarm may look at, as the service documents it: a
// day, or a week for periods of an hour and more.
const (
	longestRange       = 24 * time.Hour
	longestRangeByHour = 7 * 24 * time.Hour
)

func checkMetricAlarm(a *alarm) error {
	m := a.Metric
	null := func(name string) error {
		return validation("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", name)
	}
	switch {
	case m.EvaluationPeriods == nil:
		return null("evaluationPeriods")
	case m.ComparisonOperator == "":
		return null("comparisonOperator")
	case m.Threshold == nil:
		return validation("The parameter Threshold is required.")
	case !finite(*m.Threshold):
		return validation("The value %v for parameter Threshold is invalid.", *m.Threshold)
	case !slices.Contains([]string{"", "missing", "ignore", "breaching", "notBreaching"}, m.TreatMissingData):
		return validation("The value %s is not supported for TreatMissingData parameter. Supported values are [breaching, notBreaching, ignore, missing].", m.TreatMissingData)
	case !slices.Contains([]string{"", "evaluate", "ignore"}, m.EvaluateLowSampleCountPercentile):
		return validation("Option %s is not supported for parameter EvaluateLowSampleCountPercentile. Supported options are evaluate and ignore.", m.EvaluateLowSampleCountPercentile)
	case m.DatapointsToAlarm != nil && *m.DatapointsToAlarm > *m.EvaluationPeriods:
		return validation("The parameter DatapointsToAlarm must be less than or equal to the parameter EvaluationPeriods.")
	}
	check := checkSingleMetric
	if len(m.Metrics) > 0 {
		check = checkMetrics
	}
	if err := check(a); err != nil {
		return err
	}
	// A day is 86,400 seconds: larger numbers would overflow the product.
	seconds, most := periodOf(m), longestRange
	if seconds >= 3600 {
		most = longestRangeByHour
	}
	if limit := int64(most / time.Second); seconds > limit || *m.EvaluationPeriods > limit/seconds {
		return validation("Metrics cannot be checked across more than %s (EvaluationPeriods * Period must be <= %d).",
			map[time.Duration]string{longestRange: "a day", longestRangeByHour: "a week"}[most], limit)
	}
	return nil
}

func checkSingleMetric(a *alarm) error {
	m := a.Metric
	switch {
	case m.MetricName == "" || m.Namespace == "":
		return validation("The parameters MetricName and Namespace are required unless Metrics is specified.")
	case m.Period == nil:
		return validation("The parameter Period is required unless Metrics is specified.")
	case !slices.Contains([]int64{10, 20, 30}, *m.Period) && *m.Period%60 != 0:
		return validation("Period must be 10, 20, 30 or a multiple of 60")
	case m.Statistic == "" && m.ExtendedStatistic == "":
		return validation("Must specify either Statistic or ExtendedStatistic")
	case m.Statistic != "" && m.ExtendedStatistic != "":
		return validation("The parameters Statistic and ExtendedStatistic are mutually exclusive and you have specified both.")
	case m.EvaluateLowSampleCountPercentile != "" && m.ExtendedStatistic == "":
		return validation("EvaluateLowSampleCountPercentile may be specified for percentiles only.")
	}
	if m.ExtendedStatistic != "" {
		if _, ok := percentileOf(m.ExtendedStatistic); !ok {
			return validation("The value %s for parameter ExtendedStatistic is not supported by Sagebrush, which has percentiles, p0 to p100.", m.ExtendedStatistic)
		}
	}
	for i, d := range m.Dimensions {
		if slices.ContainsFunc(m.Dimensions[:i], func(o wcw.Dimension) bool { return o.Name == d.Name }) {
			return validation("The parameter Dimensions names %s twice.", d.Name)
		}
	}
	return nil
}

// checkMetrics checks an alarm on a list of queries: one gives the series that
// is watched.
func checkMetrics(a *alarm) error {
	m := a.Metric
	if m.MetricName != "" || m.Namespace != "" || len(m.Dimensions) > 0 || m.Period != nil || m.Unit != "" || m.Statistic != "" || m.ExtendedStatistic != "" {
		return validation("The parameters MetricName, Namespace, Dimensions, Period, Unit, Statistic and ExtendedStatistic must not be specified together with Metrics.")
	}
	if m.EvaluateLowSampleCountPercentile != "" {
		return validation("EvaluateLowSampleCountPercentile may be specified for percentiles of a single metric only.")
	}
	i := a.watched()
	if i < 0 {
		return validation("Exactly one element of the metrics list should return data.")
	}
	if a.plan.queries[i].shape != oneSeries {
		return validation("The expression %s of the metrics list gives more than one time series. An alarm watches one.", a.plan.queries[i].Id)
	}
	for _, q := range a.plan.queries {
		if !slices.Contains([]int64{10, 20, 30}, q.period) && q.period%60 != 0 {
			return validation("Period must be 10, 20, 30 or a multiple of 60")
		}
		if q.period != periodOf(m) {
			return validation("The metrics of an alarm must have one period; %s has another than the first.", q.Id)
		}
	}
	return nil
}

// watched is which of an alarm's queries returns data, -1 when that is not one.
func (a *alarm) watched() int {
	found := -1
	for i := range a.plan.queries {
		if a.plan.queries[i].returned() {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// periodOf is an alarm's period in seconds. For one with Metrics it is that of
// its metrics, which were checked to have the same.
func periodOf(m *wcw.MetricAlarm) int64 {
	if m.Period != nil {
		return *m.Period
	}
	for _, q := range m.Metrics {
		if q.MetricStat != nil {
			return *q.MetricStat.Period
		}
	}
	for _, q := range m.Metrics {
		if q.Period != nil {
			return *q.Period
		}
	}
	return 60
}
