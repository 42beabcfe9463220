// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// settled is how long after the end of a period its data are read: who reports
// once a second has reported by then.
const settled = time.Second

// boundary is up to when data count that are looked at now, in seconds since
// 1970: whole minutes, or whole periods of an alarm that has shorter ones.
func (a *alarm) boundary(now time.Time) int64 {
	t := now.Add(-settled).Unix()
	return t - mod(t, min(periodOf(a.Metric), 60))
}

// due are the metric alarms that a period ended for since they were evaluated.
func (l *alarms) due(now time.Time) []*alarm {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*alarm
	for k, a := range l.all {
		if a.Metric == nil || now.Before(a.Held) {
			continue
		}
		if at, ok := l.evaluated[k]; !ok || a.boundary(now) > at {
			out = append(out, a)
		}
	}
	return out
}

// Evaluate evaluates the metric alarms that are due, then the composite ones.
// Run calls it.
func (s *Service) Evaluate(ctx context.Context) error {
	now := s.now()
	var errs []error
	if due := s.alarms.due(now); len(due) > 0 {
		if err := s.Flush(ctx); err != nil {
			return err
		}
		for _, a := range due {
			if err := s.evaluate(ctx, a, now); err != nil {
				errs = append(errs, fmt.Errorf("evaluate alarm %q: %w", a.name, err))
			}
		}
	}
	return errors.Join(append(errs, s.evaluateComposites(ctx))...)
}

func (s *Service) evaluate(ctx context.Context, a *alarm, now time.Time) error {
	window, err := s.window(ctx, a, now)
	if err != nil {
		return err
	}
	if v := decide(a.Metric, window, now); v.state != "" && v.state != a.state() {
		err := s.change(ctx, func(tx *alarmTx) error {
			if tx.get(a.alarmKey) != a {
				return nil // it was changed meanwhile, and is due again where that matters
			}
			tx.done[a.alarmKey] = a.boundary(now)
			_, err := tx.move(a, v, now)
			return err
		})
		return err
	}
	s.alarms.mu.Lock()
	defer s.alarms.mu.Unlock()
	if s.alarms.all[a.alarmKey] == a {
		s.alarms.evaluated[a.alarmKey] = a.boundary(now)
	}
	return nil
}

// window is the evaluation range of an alarm, newest period first.
func (s *Service) window(ctx context.Context, a *alarm, now time.Time) ([]datapoint, error) {
	m, period := a.Metric, periodOf(a.Metric)
	size, end := evaluationRange(m), a.boundary(now)
	sp := span{end - int64(size)*period, end}
	ctx = auth.WithCaller(ctx, auth.Caller{Account: a.account, Region: a.region})
	samples := map[int64]float64{}
	var got line
	err := s.file.Read(ctx, func(q sqlfile.Querier) (err error) {
		from, to := time.Unix(sp.begin, 0), time.Unix(sp.end, 0)
		if a.plan == nil {
			stat := m.Statistic
			if stat == "" {
				stat = m.ExtendedStatistic
			}
			got, err = s.metricLine(ctx, q, newAsk(ctx, m.Namespace, m.MetricName, m.Dimensions, m.Unit, from, to, period), stat, samples)
			return err
		}
		v, err := a.plan.run(a.watched(), sp, map[int]line{}, func(j int) (line, error) {
			st := a.plan.queries[j].MetricStat
			return s.metricLine(ctx, q, newAsk(ctx, st.Metric.Namespace, st.Metric.MetricName, st.Metric.Dimensions, st.Unit, from, to, period), st.Stat, nil)
		})
		if err == nil {
			got = v.lines[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []datapoint
	for at := end - period; at >= sp.begin; at -= period {
		d := datapoint{at: time.Unix(at, 0), samples: samples[at]}
		v, ok := got.points[at]
		d.value, d.missing = v, !ok
		out = append(out, d)
	}
	return out, nil
}
