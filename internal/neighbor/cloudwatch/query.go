// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// ask is a question about one metric. Times and period are in seconds; begin is
// where the first period begins.
type ask struct {
	account, region, namespace, name, dims, unit string
	begin, end, period                           int64
}

// newAsk rounds the start down as the service does: to the minute, or to the
// period when that is shorter.
func newAsk(ctx context.Context, namespace, name string, dims []wcw.Dimension, unit string, start, end time.Time, period int64) ask {
	c := auth.CallerFrom(ctx)
	return ask{account: c.Account, region: c.Region, namespace: namespace, name: name, unit: unit,
		dims: dimsText(sorted(dims)), begin: start.Unix() - mod(start.Unix(), min(period, 60)), end: ceil(end), period: period}
}

func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

func sorted(dims []wcw.Dimension) []telemetry.Dimension {
	out := dimensions(dims)
	slices.SortFunc(out, func(a, b telemetry.Dimension) int { return compareText(a.Name, b.Name) })
	return out
}

// spans are the periods of one unit that have data, by their beginnings.
type spans map[int64]*stats

// look reads the spans of each unit.
func (s *Service) look(ctx context.Context, q sqlfile.Querier, a ask) (map[string]spans, error) {
	text := "SELECT id, unit FROM series WHERE account = ? AND region = ? AND namespace = ? AND name = ? AND dims = ?"
	args := []any{a.account, a.region, a.namespace, a.name, a.dims}
	if a.unit != "" {
		text, args = text+" AND unit = ?", append(args, a.unit)
	}
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("find series: %w", err)
	}
	defer rows.Close()
	ids := map[string]int64{}
	for rows.Next() {
		var id int64
		var unit string
		if err := rows.Scan(&id, &unit); err != nil {
			return nil, err
		}
		ids[unit] = id
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := map[string]spans{}
	for unit, id := range ids {
		sp := spans{}
		for _, res := range []int64{1, 60} {
			if err := sp.read(ctx, q, id, res, a); err != nil {
				return nil, fmt.Errorf("read samples: %w", err)
			}
		}
		if len(sp) > 0 {
			out[unit] = sp
		}
	}
	return out, nil
}

func (sp spans) read(ctx context.Context, q sqlfile.Querier, id, res int64, a ask) error {
	rows, err := q.QueryContext(ctx, "SELECT ts, data FROM sample WHERE series = ? AND res = ? AND ts >= ? AND ts < ?", id, res, a.begin, a.end)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var ts int64
		var data []byte
		if err := rows.Scan(&ts, &data); err != nil {
			return err
		}
		st, err := decode(data)
		if err != nil {
			return err
		}
		at := ts - mod(ts-a.begin, a.period)
		if have := sp[at]; have != nil {
			have.merge(st)
		} else {
			sp[at] = st
		}
	}
	return rows.Err()
}

// statistic reads one number out of a sample; ok is false when that is not
// known.
type statistic func(*stats) (v float64, ok bool)

var statistics = map[string]statistic{
	"SampleCount": func(s *stats) (float64, bool) { return s.count, true },
	"Sum":         func(s *stats) (float64, bool) { return s.sum, true },
	"Average":     func(s *stats) (float64, bool) { return s.sum / s.count, true },
	"Minimum":     func(s *stats) (float64, bool) { return s.min, true },
	"Maximum":     func(s *stats) (float64, bool) { return s.max, true },
}

var percentileName = regexp.MustCompile(`^p(\d{1,2}(?:\.\d{1,10})?|100)$`)

// statisticOf finds a statistic by its name: one of the five, or a percentile.
func statisticOf(name string) (statistic, bool) {
	if f, ok := statistics[name]; ok {
		return f, true
	}
	return percentileOf(name)
}

func percentileOf(name string) (statistic, bool) {
	m := percentileName.FindStringSubmatch(name)
	if m == nil {
		return nil, false
	}
	p, err := strconv.ParseFloat(m[1], 64)
	return func(s *stats) (float64, bool) { return s.percentile(p) }, err == nil
}

// goodPeriod tells whether the service takes a period of so many seconds.
func goodPeriod(seconds int64) bool {
	return slices.Contains([]int64{1, 5, 10, 20, 30}, seconds) || seconds > 0 && seconds%60 == 0
}

const periodText = "The parameter %s must be 1, 5, 10, 20, 30 or a multiple of 60"

// maxPoints is how many data points GetMetricStatistics answers at most.
const maxPoints = 1440

// getMetricStatistics is API_GetMetricStatistics. Points come in the order of
// time, those of different units beside each other.
func (s *Service) getMetricStatistics(ctx context.Context, in *wcw.GetMetricStatisticsInput) (*wcw.GetMetricStatisticsOutput, error) {
	period := *in.Period
	switch {
	case len(in.Statistics) == 0 && len(in.ExtendedStatistics) == 0:
		return nil, missing("Must specify either Statistics or ExtendedStatistics")
	case !in.StartTime.Before(in.EndTime.Time):
		return nil, invalid("The parameter StartTime must be less than the parameter EndTime.")
	case !goodPeriod(period):
		return nil, invalid(periodText, "Period")
	}
	a := newAsk(ctx, in.Namespace, in.MetricName, in.Dimensions, in.Unit, in.StartTime.Time, in.EndTime.Time, period)
	if n := (a.end - a.begin + period - 1) / period; n > maxPoints {
		return nil, combined("You have requested up to %d datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n)
	}
	for _, name := range in.ExtendedStatistics {
		if _, ok := percentileOf(name); !ok {
			return nil, invalid("The value %s for parameter ExtendedStatistics is not supported.", name)
		}
	}
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	out := &wcw.GetMetricStatisticsOutput{Label: in.MetricName, Datapoints: []wcw.Datapoint{}}
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		units, err := s.look(ctx, q, a)
		for unit, sp := range units {
			for at, st := range sp {
				if p, any := point(at, unit, st, in); any {
					out.Datapoints = append(out.Datapoints, p)
				}
			}
		}
		return err
	})
	slices.SortFunc(out.Datapoints, func(a, b wcw.Datapoint) int {
		if n := a.Timestamp.Compare(b.Timestamp.Time); n != 0 {
			return n
		}
		return compareText(a.Unit, b.Unit)
	})
	return out, err
}

// point is one answer; any is false when none of what was asked is known.
func point(at int64, unit string, st *stats, in *wcw.GetMetricStatisticsInput) (p wcw.Datapoint, any bool) {
	p = wcw.Datapoint{Timestamp: wire.At(time.Unix(at, 0)), Unit: unit}
	fields := map[string]**float64{"SampleCount": &p.SampleCount, "Sum": &p.Sum, "Average": &p.Average, "Minimum": &p.Minimum, "Maximum": &p.Maximum}
	for _, name := range in.Statistics {
		v, _ := statistics[name](st)
		*fields[name], any = &v, true
	}
	for _, name := range in.ExtendedStatistics {
		f, _ := percentileOf(name)
		if v, ok := f(st); ok {
			if p.ExtendedStatistics == nil {
				p.ExtendedStatistics = map[string]float64{}
			}
			p.ExtendedStatistics[name], any = v, true
		}
	}
	return p, any
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
