// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// predefined is a metric of SageMaker's that a policy may track by its type.
type predefined struct {
	name, stat string
	fine       bool // data points of 10 seconds
	zero       bool // a period without data is one without requests
}

// metric is what a policy or an alarm watches.
type metric struct {
	queries []wcw.MetricDataQuery // exactly one returns data
	period  time.Duration
	zero    bool
}

// How often a metric must agree. Source: the alarms that target tracking makes,
// and for fine metrics the same times in periods of 10 s, three at least.
const (
	outPoints    = 3
	inPoints     = 15
	fineInPoints = 90
)

func (m metric) inPoints() int {
	if m.period < time.Minute {
		return fineInPoints
	}
	return inPoints
}

// single is the metric of one MetricStat.
func single(m wcw.Metric, stat, unit string, period time.Duration) metric {
	return metric{period: period, queries: []wcw.MetricDataQuery{{Id: "m1",
		MetricStat: &wcw.MetricStat{Metric: &m, Stat: stat, Unit: unit, Period: new(int64(period / time.Second))}}}}
}

// tracked is the metric of a target-tracking policy.
func tracked(k key, c *aas.TargetTrackingScalingPolicyConfiguration) metric {
	if p := c.PredefinedMetricSpecification; p != nil {
		d := dimensions[k.dimension].metrics[p.PredefinedMetricType]
		period := time.Minute
		if d.fine {
			period = 10 * time.Second
		}
		dims := []wcw.Dimension{{Name: "InferenceComponentName", Value: componentOf(k.resource)}}
		if endpoint, variant := variantOf(k.resource); endpoint != "" {
			dims = []wcw.Dimension{{Name: "EndpointName", Value: endpoint}, {Name: "VariantName", Value: variant}}
		}
		m := single(wcw.Metric{Namespace: "AWS/SageMaker", MetricName: d.name, Dimensions: dims}, d.stat, "", period)
		m.zero = d.zero
		return m
	}
	spec := c.CustomizedMetricSpecification
	if len(spec.Metrics) == 0 {
		var dims []wcw.Dimension
		for _, d := range spec.Dimensions {
			dims = append(dims, wcw.Dimension{Name: d.Name, Value: d.Value})
		}
		return single(wcw.Metric{Namespace: spec.Namespace, MetricName: spec.MetricName, Dimensions: dims}, spec.Statistic, spec.Unit, time.Minute)
	}
	m := metric{period: time.Minute}
	for _, q := range spec.Metrics {
		to := wcw.MetricDataQuery{Id: q.Id, Expression: q.Expression, Label: q.Label, ReturnData: q.ReturnData}
		if q.Expression != "" {
			to.Period = new(int64(60))
		}
		if from := q.MetricStat; from != nil {
			what := wcw.Metric{Namespace: from.Metric.Namespace, MetricName: from.Metric.MetricName}
			for _, d := range from.Metric.Dimensions {
				what.Dimensions = append(what.Dimensions, wcw.Dimension{Name: d.Name, Value: d.Value})
			}
			to.MetricStat = &wcw.MetricStat{Metric: &what, Stat: from.Stat, Unit: from.Unit, Period: new(int64(60))}
		}
		m.queries = append(m.queries, to)
	}
	return m
}

// settled is the end of the last period whose data are all there: metrics are
// published up to two seconds after what they measure.
func (m metric) settled(now time.Time) time.Time {
	lag := 5 * time.Second
	if m.period < time.Minute {
		lag = 3 * time.Second
	}
	return now.Add(-lag).Truncate(m.period)
}

// lateBy is how many periods may be missing at the end before a metric counts as
// silent, and how many more than needed are read, so that one that is missing in
// between is made good by an older one.
const lateBy = 2

// points are the metric's values of the last n finished periods and a few more, by
// time. Where a silent period means that nothing was asked of the resource, it
// counts as 0 from since on. A metric that has fallen silent has none.
func (s *Service) points(ctx context.Context, m metric, n int, since, now time.Time) ([]point, error) {
	end := m.settled(now)
	begin := end.Add(-time.Duration(n+lateBy) * m.period)
	values, err := s.values(ctx, m, begin, end)
	if err != nil {
		return nil, err
	}
	if m.zero {
		for t := begin; t.Before(end); t = t.Add(m.period) {
			if _, ok := values[t.Unix()]; !ok && !t.Before(since) {
				values[t.Unix()] = 0
			}
		}
	}
	out := make([]point, 0, len(values))
	for at, v := range values {
		out = append(out, point{time.Unix(at, 0).UTC(), v})
	}
	slices.SortFunc(out, func(a, b point) int { return a.at.Compare(b.at) })
	if len(out) > 0 && out[len(out)-1].at.Before(end.Add(-(lateBy+1)*m.period)) {
		return nil, nil
	}
	return out, nil
}

// values are the metric's values by the beginning of their period, in seconds
// since 1970.
func (s *Service) values(ctx context.Context, m metric, begin, end time.Time) (map[int64]float64, error) {
	got, err := op.Call(ctx, s.Table, wcw.GetMetricData, &wcw.GetMetricDataInput{MetricDataQueries: m.queries,
		StartTime: wire.At(begin), EndTime: wire.At(end), ScanBy: "TimestampAscending"})
	if err != nil {
		return nil, err
	}
	if len(got.MetricDataResults) != 1 {
		return nil, errors.New("a metric has not exactly one series of data")
	}
	out := map[int64]float64{}
	r := got.MetricDataResults[0]
	for i, t := range r.Timestamps {
		if i < len(r.Values) && !t.Before(begin) && t.Before(end) {
			out[t.Unix()] = r.Values[i]
		}
	}
	return out, nil
}

// tryMetric asks CloudWatch once for a metric that a caller has made up, so that
// a wrong one is refused now and does not fail in silence for ever.
func (s *Service) tryMetric(ctx context.Context, k key, in *aas.PutScalingPolicyInput) error {
	c := in.TargetTrackingScalingPolicyConfiguration
	if c == nil || c.CustomizedMetricSpecification == nil {
		return nil
	}
	m := tracked(k, c)
	end := m.settled(s.Now())
	_, err := s.values(ctx, m, end.Add(-m.period), end)
	if f := fault.Of(err); f != nil && !f.Server() {
		return fault.Validation("%s", f.Message)
	}
	return err
}
