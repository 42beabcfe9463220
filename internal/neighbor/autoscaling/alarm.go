// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// wantAlarms notes which alarms a policy's document is to have, and names them in
// it. They show when the policy acts; the loop does not wait for them, since it
// decides by the same rule and the same data.
func (s *Service) wantAlarms(w sqlfile.Writer, k key, d *aas.ScalingPolicy) error {
	was := d.Alarms
	d.Alarms = nil
	c := d.TargetTrackingScalingPolicyConfiguration
	if c != nil && s.Table.Has("cloudwatch", "PutMetricAlarm") {
		m := tracked(k, c)
		high := wcw.PutMetricAlarmInput{ComparisonOperator: "GreaterThanThreshold", Threshold: c.TargetValue, EvaluationPeriods: new(int64(outPoints))}
		low := wcw.PutMetricAlarmInput{ComparisonOperator: "LessThanThreshold", Threshold: new(lowShare * *c.TargetValue), EvaluationPeriods: new(int64(m.inPoints()))}
		alarms := map[string]wcw.PutMetricAlarmInput{"AlarmHigh": high}
		if c.DisableScaleIn == nil || !*c.DisableScaleIn {
			alarms["AlarmLow"] = low
		}
		for _, side := range []string{"AlarmHigh", "AlarmLow"} {
			a, ok := alarms[side]
			if !ok {
				continue
			}
			if a.AlarmName = sideOf(was, k.resource, side); a.AlarmName == "" {
				a.AlarmName = sidePrefix(k.resource, side) + "-" + uuid.NewString()
			}
			a.AlarmDescription = "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy " + d.PolicyARN + "."
			a.AlarmActions, a.ActionsEnabled = []string{d.PolicyARN}, new(true)
			watch(&a, m)
			text, err := json.Marshal(a)
			if err != nil {
				return err
			}
			if err := wantAlarm(w, k.account, k.region, a.AlarmName, string(text)); err != nil {
				return err
			}
			d.Alarms = append(d.Alarms, aas.Alarm{AlarmName: a.AlarmName,
				AlarmARN: arn.ARN{Service: "cloudwatch", Region: k.region, Account: k.account, Resource: "alarm:" + a.AlarmName}.String()})
		}
	}
	for _, old := range was {
		if !slices.Contains(d.Alarms, old) {
			if err := dropAlarms(w, k.account, k.region, []aas.Alarm{old}); err != nil {
				return err
			}
		}
	}
	return nil
}

func sidePrefix(resource, side string) string { return "TargetTracking-" + resource + "-" + side }

// sideOf is the name of the high or the low alarm among those of a policy.
func sideOf(alarms []aas.Alarm, resource, side string) string {
	for _, a := range alarms {
		if strings.HasPrefix(a.AlarmName, sidePrefix(resource, side)+"-") {
			return a.AlarmName
		}
	}
	return ""
}

// watch makes an alarm look at a metric.
func watch(a *wcw.PutMetricAlarmInput, m metric) {
	if len(m.queries) > 1 || m.queries[0].MetricStat == nil {
		a.Metrics = m.queries
		return
	}
	st := m.queries[0].MetricStat
	a.Namespace, a.MetricName, a.Dimensions = st.Metric.Namespace, st.Metric.MetricName, st.Metric.Dimensions
	a.Unit, a.Period = st.Unit, st.Period
	switch st.Stat {
	case "Average", "Sum", "Minimum", "Maximum", "SampleCount":
		a.Statistic = st.Stat
	default:
		a.ExtendedStatistic = st.Stat
	}
}

// wantAlarm notes an alarm to be put, or with a nil text to go.
func wantAlarm(w sqlfile.Writer, account, region, name string, put any) error {
	_, err := w.Exec("INSERT INTO alarm (account, region, name, put) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET put = excluded.put",
		account, region, name, put)
	return err
}

func dropAlarms(w sqlfile.Writer, account, region string, alarms []aas.Alarm) error {
	for _, a := range alarms {
		if err := wantAlarm(w, account, region, a.AlarmName, nil); err != nil {
			return err
		}
	}
	return nil
}

// bringAlarms makes CloudWatch have the alarms as they were noted. What fails is
// logged and stays noted for the loop.
func (s *Service) bringAlarms(ctx context.Context) {
	select {
	case <-s.bringing:
	case <-ctx.Done():
		return
	}
	defer func() { s.bringing <- struct{}{} }()
	type row struct {
		account, region, name string
		put                   *string
	}
	var rows []row
	err := s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
		rows, err = list(ctx, q, "SELECT account, region, name, put FROM alarm", nil,
			func(r *row, row *sql.Rows) error { return row.Scan(&r.account, &r.region, &r.name, &r.put) })
		return err
	})
	for _, r := range rows {
		if e := s.bringAlarm(as(ctx, r.account, r.region), r.name, r.put); e != nil {
			err = e
			continue
		}
		// What was noted meanwhile stays.
		if e := s.file.Write(ctx, func(w sqlfile.Writer) error {
			_, err := w.Exec("DELETE FROM alarm WHERE account = ? AND region = ? AND name = ? AND put IS ?", r.account, r.region, r.name, r.put)
			return err
		}); e != nil {
			err = e
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.alarmTrouble && text != "" && ctx.Err() == nil {
		s.Log.Warn("alarms of scaling policies not brought", "err", err)
	}
	s.alarmTrouble = text
}

func (s *Service) bringAlarm(ctx context.Context, name string, put *string) error {
	if put == nil {
		_, err := op.Call(ctx, s.Table, wcw.DeleteAlarms, &wcw.DeleteAlarmsInput{AlarmNames: []string{name}})
		if f := faultCode(err); f == "ResourceNotFound" || f == "ResourceNotFoundException" {
			return nil
		}
		return err
	}
	in, err := parseDoc[wcw.PutMetricAlarmInput](*put)
	if err != nil {
		return err
	}
	_, err = op.Call(ctx, s.Table, wcw.PutMetricAlarm, &in)
	return err
}

// alarmsOf are the metric alarms that have a policy among their actions, in one
// state, or in any with "".
func (s *Service) alarmsOf(ctx context.Context, policyARN, state string) ([]wcw.MetricAlarm, error) {
	if !s.Table.Has("cloudwatch", "DescribeAlarms") {
		return nil, nil
	}
	var out []wcw.MetricAlarm
	in := wcw.DescribeAlarmsInput{ActionPrefix: policyARN, StateValue: state, AlarmTypes: []string{"MetricAlarm"}}
	for {
		got, err := op.Call(ctx, s.Table, wcw.DescribeAlarms, &in)
		if err != nil {
			return nil, err
		}
		out = append(out, got.MetricAlarms...)
		if in.NextToken = got.NextToken; in.NextToken == "" {
			return out, nil
		}
	}
}

// watched is what an alarm looks at; ok is false for one without a metric of its
// own kind.
func watched(a *wcw.MetricAlarm) (m metric, ok bool) {
	if a.MetricName != "" && a.Period != nil {
		stat := a.Statistic
		if stat == "" {
			stat = a.ExtendedStatistic
		}
		return single(wcw.Metric{Namespace: a.Namespace, MetricName: a.MetricName, Dimensions: a.Dimensions}, stat, a.Unit,
			time.Duration(*a.Period)*time.Second), true
	}
	m = metric{queries: a.Metrics}
	for _, q := range a.Metrics {
		switch {
		case q.MetricStat != nil && q.MetricStat.Period != nil:
			m.period = max(m.period, time.Duration(*q.MetricStat.Period)*time.Second)
		case q.Period != nil:
			m.period = max(m.period, time.Duration(*q.Period)*time.Second)
		}
	}
	return m, m.period > 0
}
