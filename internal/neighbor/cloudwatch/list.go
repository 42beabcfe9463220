// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

const (
	listPage = 500
	listed   = 14 * 24 * time.Hour // since the last datum of a metric
	recent   = 3 * time.Hour       // RecentlyActive PT3H
)

// metricKey is a metric's place in the list.
type metricKey [3]string // namespace, name, dimensions as stored

// listMetrics is API_ListMetrics: the metrics that had data in two weeks, 500
// to a page, each once whatever its units.
func (s *Service) listMetrics(ctx context.Context, in *wcw.ListMetricsInput) (*wcw.ListMetricsOutput, error) {
	var after metricKey
	if in.NextToken != "" {
		b, err := base64.RawURLEncoding.DecodeString(in.NextToken)
		if err != nil || json.Unmarshal(b, &after) != nil {
			return nil, errToken()
		}
	}
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	c := auth.CallerFrom(ctx)
	since := listed
	if in.RecentlyActive != "" {
		since = recent
	}
	text := `SELECT DISTINCT namespace, name, dims FROM series WHERE account = ? AND region = ? AND last >= ? AND (namespace, name, dims) > (?, ?, ?)`
	// last is kept to the minute.
	args := []any{c.Account, c.Region, s.now().Add(-since - time.Minute).Unix(), after[0], after[1], after[2]}
	if in.Namespace != "" {
		text, args = text+" AND namespace = ?", append(args, in.Namespace)
	}
	if in.MetricName != "" {
		text, args = text+" AND name = ?", append(args, in.MetricName)
	}
	out := &wcw.ListMetricsOutput{Metrics: []wcw.Metric{}}
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, text+" ORDER BY namespace, name, dims", args...)
		if err != nil {
			return fmt.Errorf("list metrics: %w", err)
		}
		defer rows.Close()
		var last metricKey
		for rows.Next() {
			var k metricKey
			if err := rows.Scan(&k[0], &k[1], &k[2]); err != nil {
				return err
			}
			dims, err := parseDims(k[2])
			if err != nil {
				return err
			}
			if !has(dims, in.Dimensions) {
				continue
			}
			if len(out.Metrics) == listPage {
				b, err := json.Marshal(last)
				if err != nil {
					return err
				}
				out.NextToken = base64.RawURLEncoding.EncodeToString(b)
				return rows.Close()
			}
			last = k
			out.Metrics = append(out.Metrics, wcw.Metric{Namespace: k[0], MetricName: k[1], Dimensions: dims})
		}
		return rows.Err()
	})
	return out, err
}

func parseDims(text string) ([]wcw.Dimension, error) {
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("read dimensions %q: %w", text, err)
	}
	dims := make([]wcw.Dimension, len(pairs))
	for i, p := range pairs {
		dims[i] = wcw.Dimension{Name: p[0], Value: p[1]}
	}
	return dims, nil
}

// has tells whether dims satisfy each filter: a name, or a name and a value.
func has(dims []wcw.Dimension, filters []wcw.DimensionFilter) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(dims, func(d wcw.Dimension) bool { return d.Name == f.Name && (f.Value == "" || d.Value == f.Value) }) {
			return false
		}
	}
	return true
}
