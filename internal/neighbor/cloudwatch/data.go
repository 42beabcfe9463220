// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"regexp"
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

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// getMetricData is API_GetMetricData for metrics; expressions are refused. What
// does not fit in MaxDatapoints comes with the next token.
func (s *Service) getMetricData(ctx context.Context, in *wcw.GetMetricDataInput) (*wcw.GetMetricDataOutput, error) {
	if err := checkQueries(in); err != nil {
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
		for i := range in.MetricDataQueries {
			mq := &in.MetricDataQueries[i]
			if mq.ReturnData != nil && !*mq.ReturnData {
				continue
			}
			r, err := s.result(ctx, q, in, mq)
			if err != nil {
				return err
			}
			// The page is a stretch of all points, one query after the other. A
			// query is answered, be it without points, until the stretch is past it.
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
		return nil
	})
	return out, err
}

func checkQueries(in *wcw.GetMetricDataInput) error {
	if !in.StartTime.Before(in.EndTime.Time) {
		return validation("The parameter EndTime must be greater than StartTime.")
	}
	if len(in.MetricDataQueries) > maxQueries {
		return validation("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	}
	ids := map[string]bool{}
	for i, q := range in.MetricDataQueries {
		path := fmt.Sprintf("MetricDataQueries.member.%d", i+1)
		switch {
		case !queryID.MatchString(q.Id):
			return validation("The value %s for parameter %s.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.Id, path)
		case ids[q.Id]:
			return validation("The values for parameter Id in MetricDataQueries are not unique.")
		case q.Expression != "" && q.MetricStat != nil:
			return validation("The parameters %s.Expression and %s.MetricStat are mutually exclusive and you have specified both.", path, path)
		case q.Expression != "":
			return validation("%s.Expression: metric math and search expressions are not supported yet by Sagebrush. Ask for each metric with MetricStat.", path)
		case q.MetricStat == nil:
			return validation("Either %s.Expression or %s.MetricStat must be specified.", path, path)
		case q.MetricStat.Metric.Namespace == "" || q.MetricStat.Metric.MetricName == "":
			return validation("The parameters %s.MetricStat.Metric.Namespace and MetricName are required.", path)
		case !goodPeriod(*q.MetricStat.Period):
			return validation(periodText, path+".MetricStat.Period")
		}
		if _, ok := statisticOf(q.MetricStat.Stat); !ok {
			return validation("The value %s for parameter %s.MetricStat.Stat is not supported.", q.MetricStat.Stat, path)
		}
		ids[q.Id] = true
	}
	return nil
}

// result is one query's answer, whole. The data of all units count together
// unless the query names one.
func (s *Service) result(ctx context.Context, q sqlfile.Querier, in *wcw.GetMetricDataInput, mq *wcw.MetricDataQuery) (wcw.MetricDataResult, error) {
	m := mq.MetricStat
	r := wcw.MetricDataResult{Id: mq.Id, Label: mq.Label, StatusCode: "Complete", Timestamps: []wire.Time{}, Values: []float64{}}
	if r.Label == "" {
		r.Label = m.Metric.MetricName
	}
	units, err := s.look(ctx, q, newAsk(ctx, m.Metric.Namespace, m.Metric.MetricName, m.Metric.Dimensions, m.Unit,
		in.StartTime.Time, in.EndTime.Time, *m.Period))
	if err != nil {
		return r, err
	}
	all := spans{}
	for _, sp := range units {
		for at, st := range sp {
			if all[at] == nil {
				all[at] = &stats{}
			}
			all[at].merge(st)
		}
	}
	read, _ := statisticOf(m.Stat)
	times := make([]int64, 0, len(all))
	for at := range all {
		times = append(times, at)
	}
	slices.Sort(times)
	if in.ScanBy != "TimestampAscending" {
		slices.Reverse(times)
	}
	for _, at := range times {
		if v, ok := read(all[at]); ok {
			r.Timestamps = append(r.Timestamps, wire.At(time.Unix(at, 0)))
			r.Values = append(r.Values, v)
		}
	}
	return r, nil
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
