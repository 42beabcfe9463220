// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// The bounds of GetMetricData, as the service documents them.
const (
	maxQueries    = 500
	maxDatapoints = 100_800 // in one answer; also the default
)

// getMetricData is API_GetMetricData for metrics and metric math. What does not
// fit in MaxDatapoints comes with the next token.
func (s *Service) getMetricData(ctx context.Context, in *wcw.GetMetricDataInput) (*wcw.GetMetricDataOutput, error) {
	p, err := checkQueries(in)
	if err != nil {
		return nil, err
	}
	limit := maxDatapoints
	if in.MaxDatapoints != nil {
		if *in.MaxDatapoints < 1 || *in.MaxDatapoints > maxDatapoints {
			return nil, validation("The value %d for parameter MaxDatapoints must be between 1 and %d.", *in.MaxDatapoints, maxDatapoints)
		}
		limit = int(*in.MaxDatapoints)
	}
	sum := requestSum(in)
	skip, err := parseOffset(in.NextToken, sum)
	if err != nil {
		return nil, err
	}
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	out := &wcw.GetMetricDataOutput{MetricDataResults: []wcw.MetricDataResult{}, Messages: []wcw.MessageData{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		begin, left := skip, limit
		read := map[int]line{}
		for i := range p.queries {
			if !p.queries[i].returned() {
				continue
			}
			results, err := s.results(ctx, q, in, p, i, read)
			if err != nil {
				return err
			}
			for _, r := range results {
				// The page is a stretch of all points, one series after the other. A
				// series is answered, be it without points, until the stretch is past it.
				n := len(r.Values)
				from := min(begin, n)
				to := min(from+left, n)
				begin, left = begin-from, left-(to-from)
				r.Timestamps, r.Values = r.Timestamps[from:to], r.Values[from:to]
				if to < n {
					r.StatusCode = "PartialData"
					out.NextToken = makeOffset(skip+limit, sum)
				}
				out.MetricDataResults = append(out.MetricDataResults, r)
			}
		}
		return nil
	})
	return out, err
}

func checkQueries(in *wcw.GetMetricDataInput) (*plan, error) {
	if !in.StartTime.Before(in.EndTime.Time) {
		return nil, validation("The parameter EndTime must be greater than StartTime.")
	}
	if len(in.MetricDataQueries) > maxQueries {
		return nil, validation("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	}
	p, err := newPlan(in.MetricDataQueries, "MetricDataQueries")
	if err != nil {
		return nil, err
	}
	for i := range p.queries {
		q := &p.queries[i]
		if seconds := ceil(in.EndTime.Time) - in.StartTime.Unix(); q.expr != nil && seconds/q.period > maxDatapoints {
			return nil, mathError(q.Id, fmt.Errorf("it has more than %d periods of %d seconds between StartTime and EndTime", maxDatapoints, q.period))
		}
	}
	return p, nil
}

// results is one query's answer, whole: a series, or, for an expression that
// gives several, each of them.
func (s *Service) results(ctx context.Context, q sqlfile.Querier, in *wcw.GetMetricDataInput, p *plan, i int, read map[int]line) ([]wcw.MetricDataResult, error) {
	mq := &p.queries[i]
	sp := span{in.StartTime.Unix() - mod(in.StartTime.Unix(), min(mq.period, 60)), ceil(in.EndTime.Time)}
	got, err := p.run(i, sp, read, func(j int) (line, error) {
		m := p.queries[j].MetricStat
		a := newAsk(ctx, m.Metric.Namespace, m.Metric.MetricName, m.Metric.Dimensions, m.Unit, in.StartTime.Time, in.EndTime.Time, *m.Period)
		l, err := s.metricLine(ctx, q, a, m.Stat, nil)
		if label := p.queries[j].Label; label != "" {
			l.label = label
		}
		return l, err
	})
	if err != nil {
		return nil, err
	}
	out := []wcw.MetricDataResult{}
	for _, l := range got.lines {
		r := wcw.MetricDataResult{Id: mq.Id, Label: label(mq, l.label), StatusCode: "Complete", Timestamps: []wire.Time{}, Values: []float64{}}
		times := slices.Sorted(maps.Keys(l.points))
		if in.ScanBy != "TimestampAscending" {
			slices.Reverse(times)
		}
		for _, at := range times {
			r.Timestamps = append(r.Timestamps, wire.At(time.Unix(at, 0)))
			r.Values = append(r.Values, l.points[at])
		}
		out = append(out, r)
	}
	return out, nil
}

// label is what a series is called in the answer: an expression by its label or
// id, and each of several by its metric too.
func label(q *query, of string) string {
	if q.expr == nil {
		return of
	}
	own := q.Label
	if own == "" {
		own = q.Id
	}
	if q.shape == array && of != "" {
		return own + " " + of
	}
	return own
}

// requestSum ties a token to its request.
func requestSum(in *wcw.GetMetricDataInput) uint32 {
	same := *in
	same.NextToken = ""
	b, err := json.Marshal(&same)
	if err != nil {
		panic(fmt.Sprintf("cloudwatch: request as JSON: %v", err)) // it came as JSON
	}
	return crc32.ChecksumIEEE(b)
}

func makeOffset(n int, sum uint32) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%d", n, sum))
}

func parseOffset(token string, sum uint32) (int, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, errToken()
	}
	var n int
	var got uint32
	if _, err := fmt.Sscanf(string(b), "%d/%d", &n, &got); err != nil || got != sum || n < 0 {
		return 0, errToken()
	}
	return n, nil
}
