// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// Actions does what alarms ask for when their state changes. action is an ARN of
// AlarmActions, OKActions or InsufficientDataActions, message the JSON that
// CloudWatch publishes to SNS. A call may come again after a crash. One that
// fails is made three times in all.
type Actions interface {
	Alarm(ctx context.Context, account, region, action string, message []byte) error
}

// ErrNoAction is what Actions answers for an action that nothing here does. The
// history tells it, and it is not tried again.
var ErrNoAction = errors.New("nothing in this server does actions of that kind")

const (
	actionTries = 3
	actEvery    = 5 * time.Second // for those that failed, and at the start
)

// act notes the actions of the state that now has, in the transaction of the
// change.
func (tx *alarmTx) act(old, now *alarm, at time.Time) error {
	actions := now.face().actions(now.state())
	if len(actions) == 0 {
		return nil
	}
	message := tx.message(old, now, at)
	for _, action := range actions {
		if _, err := tx.w.Exec("INSERT INTO alarm_action (account, region, name, kind, at, action, message, tries) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
			now.account, now.region, now.name, now.kind(), at.UnixMilli(), action, []byte(message)); err != nil {
			return fmt.Errorf("note action %q of alarm %q: %w", action, now.name, err)
		}
	}
	tx.acts = true
	return nil
}

type pendingAction struct {
	alarmKey
	id, at, tries      int64
	kind, action, text string
}

// Act does the actions that are due, oldest first. Run calls it.
func (s *Service) Act(ctx context.Context) error {
	var due []pendingAction
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, "SELECT id, account, region, name, kind, at, action, message, tries FROM alarm_action ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p pendingAction
			var message []byte
			if err := rows.Scan(&p.id, &p.account, &p.region, &p.name, &p.kind, &p.at, &p.action, &message, &p.tries); err != nil {
				return err
			}
			p.text = string(message)
			due = append(due, p)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read actions that are due: %w", err)
	}
	for _, p := range due {
		failed := ErrNoAction
		if s.actions != nil {
			failed = s.actions.Alarm(ctx, p.account, p.region, p.action, []byte(p.text))
		}
		if ctx.Err() != nil {
			return ctx.Err() // it is done again by the next Run
		}
		if err := s.acted(ctx, p, failed); err != nil {
			return err
		}
	}
	return nil
}

// acted writes what came of an action.
func (s *Service) acted(ctx context.Context, p pendingAction, failed error) error {
	again := failed != nil && !errors.Is(failed, ErrNoAction) && p.tries+1 < actionTries
	doc := struct {
		State    string  `json:"actionState"`
		Updated  int64   `json:"stateUpdateTimestamp"`
		Resource string  `json:"notificationResource"`
		Message  string  `json:"publishedMessage"`
		Error    *string `json:"error"`
	}{"Succeeded", p.at, p.action, p.text, nil}
	summary := "Successfully executed action " + p.action
	if failed != nil {
		doc.State, doc.Error = "Failed", new(failed.Error())
		summary = fmt.Sprintf("Failed to execute action %s. Received error: %q", p.action, failed.Error())
	}
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		if again {
			_, err := w.Exec("UPDATE alarm_action SET tries = tries + 1 WHERE id = ?", p.id)
			return err
		}
		if err := addHistory(w, p.alarmKey, p.kind, s.now(), "Action", summary, doc); err != nil {
			return err
		}
		_, err := w.Exec("DELETE FROM alarm_action WHERE id = ?", p.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("write what came of action %q: %w", p.action, err)
	}
	return nil
}

// regionNames are Regions as the messages name them.
var regionNames = map[string]string{
	"us-east-1": "US East (N. Virginia)", "us-east-2": "US East (Ohio)", "us-west-1": "US West (N. California)", "us-west-2": "US West (Oregon)",
	"ca-central-1": "Canada (Central)", "sa-east-1": "South America (Sao Paulo)",
	"eu-west-1": "EU (Ireland)", "eu-west-2": "EU (London)", "eu-west-3": "EU (Paris)", "eu-central-1": "EU (Frankfurt)", "eu-north-1": "EU (Stockholm)",
	"ap-south-1": "Asia Pacific (Mumbai)", "ap-northeast-1": "Asia Pacific (Tokyo)", "ap-northeast-2": "Asia Pacific (Seoul)",
	"ap-southeast-1": "Asia Pacific (Singapore)", "ap-southeast-2": "Asia Pacific (Sydney)",
}

// message is what CloudWatch publishes when an alarm's state changes.
func (tx *alarmTx) message(old, now *alarm, at time.Time) string {
	f := now.face()
	doc := map[string]any{
		"AlarmName": now.name, "AlarmDescription": orNull(*f.Description), "AWSAccountId": now.account, "AlarmArn": now.arn(),
		"AlarmConfigurationUpdatedTimestamp": stamp(f.Configured.Time),
		"NewStateValue":                      *f.State, "NewStateReason": *f.Reason, "OldStateValue": old.state(), "StateChangeTime": stamp(at),
		"Region":    cmp.Or(regionNames[now.region], now.region),
		"OKActions": *f.OK, "AlarmActions": *f.Alarm, "InsufficientDataActions": *f.Insufficient,
	}
	if now.Metric != nil {
		doc["Trigger"] = trigger(now.Metric)
		return compactJSON(doc)
	}
	doc["AlarmRule"] = now.Composite.AlarmRule
	type childState struct {
		Value     string
		Timestamp string
	}
	type child struct {
		Arn   string
		State childState
	}
	children := []child{}
	for _, k := range now.children() {
		if a := tx.get(k); a != nil {
			children = append(children, child{k.arn(), childState{a.state(), stamp(a.face().Transitioned.Time)}})
		}
	}
	doc["TriggeringChildren"] = children
	return compactJSON(doc)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// trigger is what a metric alarm watches.
func trigger(m *wcw.MetricAlarm) map[string]any {
	doc := map[string]any{"Period": periodOf(m), "EvaluationPeriods": *m.EvaluationPeriods, "ComparisonOperator": m.ComparisonOperator,
		"Threshold": double(*m.Threshold), "TreatMissingData": m.TreatMissingData, "EvaluateLowSampleCountPercentile": m.EvaluateLowSampleCountPercentile}
	if m.DatapointsToAlarm != nil {
		doc["DatapointsToAlarm"] = *m.DatapointsToAlarm
	}
	if len(m.Metrics) > 0 {
		list := []any{}
		for _, q := range m.Metrics {
			one := map[string]any{"Id": q.Id, "ReturnData": q.ReturnData == nil || *q.ReturnData}
			if q.Label != "" {
				one["Label"] = q.Label
			}
			if q.MetricStat == nil {
				one["Expression"] = q.Expression
			} else {
				stat := map[string]any{"Period": *q.MetricStat.Period, "Stat": q.MetricStat.Stat, "Metric": map[string]any{"Namespace": q.MetricStat.Metric.Namespace,
					"MetricName": q.MetricStat.Metric.MetricName, "Dimensions": pairs(q.MetricStat.Metric.Dimensions)}}
				if q.MetricStat.Unit != "" {
					stat["Unit"] = q.MetricStat.Unit
				}
				one["MetricStat"] = stat
			}
			list = append(list, one)
		}
		doc["Metrics"] = list
		return doc
	}
	doc["MetricName"], doc["Namespace"], doc["Unit"], doc["Dimensions"] = m.MetricName, m.Namespace, orNull(m.Unit), pairs(m.Dimensions)
	if m.ExtendedStatistic != "" {
		doc["StatisticType"], doc["ExtendedStatistic"] = "ExtendedStatistic", m.ExtendedStatistic
		return doc
	}
	doc["StatisticType"], doc["Statistic"] = "Statistic", strings.ToUpper(m.Statistic)
	if m.Statistic == "SampleCount" {
		doc["Statistic"] = "SAMPLE_COUNT"
	}
	return doc
}

func pairs(dims []wcw.Dimension) []map[string]string {
	out := []map[string]string{}
	for _, d := range dims {
		out = append(out, map[string]string{"value": d.Value, "name": d.Name})
	}
	return out
}
