// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// publishing is how late metrics may come: the server publishes once a second.
const publishing = 2 * time.Second

// look asks for endpoints and their metrics.
func (c *topCmd) look(ctx context.Context, cl *client.Client, now time.Time) (table, error) {
	t := table{window: c.Window}
	names, err := endpointNames(ctx, cl, c.Name)
	if err != nil {
		return t, err
	}
	for _, name := range names {
		rows, reason, err := endpointRows(ctx, cl, name)
		if err != nil {
			return t, err
		}
		t.rows = append(t.rows, rows...)
		if reason != "" {
			t.reasons = append(t.reasons, name+": "+reason)
		}
	}
	return t, t.measure(ctx, cl, now)
}

func endpointNames(ctx context.Context, cl *client.Client, text string) ([]string, error) {
	in := map[string]any{"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 100}
	var names []string
	for {
		var page struct {
			Endpoints []struct{ EndpointName string }
			NextToken string
		}
		if err := cl.Call(ctx, client.SageMaker, "ListEndpoints", in, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Endpoints {
			if strings.Contains(strings.ToLower(e.EndpointName), strings.ToLower(text)) {
				names = append(names, e.EndpointName)
			}
		}
		if page.NextToken == "" {
			return names, nil
		}
		in["NextToken"] = page.NextToken
	}
}

// endpointRows are the rows of an endpoint, without numbers; none if it was
// deleted meanwhile. Shadow variants have theirs, too.
func endpointRows(ctx context.Context, cl *client.Client, name string) (rows []topRow, reason string, err error) {
	type variant struct {
		VariantName                                string
		CurrentInstanceCount, DesiredInstanceCount int
	}
	var d struct {
		EndpointStatus, FailureReason                string
		ProductionVariants, ShadowProductionVariants []variant
	}
	err = cl.Call(ctx, client.SageMaker, "DescribeEndpoint", map[string]string{"EndpointName": name}, &d)
	if f := fault.Of(err); f != nil && f.Code == "ValidationException" {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	row := topRow{endpoint: name, status: d.EndpointStatus, p50: -1, p99: -1, overhead: -1, backlog: -1}
	for _, v := range slices.Concat(d.ProductionVariants, d.ShadowProductionVariants) {
		row.variant, row.serving, row.wanted = v.VariantName, v.CurrentInstanceCount, v.DesiredInstanceCount
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		rows = []topRow{row}
	}
	return rows, d.FailureReason, nil
}

// measured are the metrics of a row, and what is made of the values that come.
var measured = []struct {
	metric, stat string
	endpoint     bool // has no VariantName
	take         func(r *topRow, values []float64)
}{
	{"Invocations", "Sum", false, func(r *topRow, v []float64) { r.requests = sum(v) }},
	{"Invocation4XXErrors", "Sum", false, func(r *topRow, v []float64) { r.errors += sum(v) }},
	{"Invocation5XXErrors", "Sum", false, func(r *topRow, v []float64) { r.errors += sum(v) }},
	{"ModelLatency", "p50", false, func(r *topRow, v []float64) { r.p50 = newest(v) }},
	{"ModelLatency", "p99", false, func(r *topRow, v []float64) { r.p99 = newest(v) }},
	{"OverheadLatency", "p50", false, func(r *topRow, v []float64) { r.overhead = newest(v) }},
	{"ApproximateBacklogSize", "Maximum", true, func(r *topRow, v []float64) { r.backlog = newest(v) }},
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

// newest is the last value, -1 without any.
func newest(values []float64) float64 {
	if len(values) == 0 {
		return -1
	}
	return values[len(values)-1]
}

// maxQueries is how many metrics one request may ask for.
// Source: API_GetMetricData.
const maxQueries = 500

// measure fills in the numbers. Sums are of exactly the window, second by
// second; a percentile is of the last period of that length in which there were
// requests, since percentiles of seconds cannot be added up.
func (t *table) measure(ctx context.Context, cl *client.Client, now time.Time) error {
	end := now.Add(-publishing).Truncate(time.Second)
	period := int(t.window.Seconds())
	for _, q := range []struct {
		begin, end time.Time
		period     int
		sums       bool
	}{
		{end.Add(-t.window), end, 1, true},
		{end.Truncate(t.window).Add(-t.window), now, period, false},
	} {
		var queries []map[string]any
		var take []func(values []float64)
		for i := range t.rows {
			r := &t.rows[i]
			for _, m := range measured {
				if (m.stat == "Sum") != q.sums || r.variant == "" && !m.endpoint {
					continue
				}
				dims := []map[string]string{{"Name": "EndpointName", "Value": r.endpoint}}
				if !m.endpoint {
					dims = append(dims, map[string]string{"Name": "VariantName", "Value": r.variant})
				}
				queries = append(queries, map[string]any{"Id": fmt.Sprintf("q%d", len(queries)), "MetricStat": map[string]any{
					"Metric": map[string]any{"Namespace": "AWS/SageMaker", "MetricName": m.metric, "Dimensions": dims},
					"Period": q.period, "Stat": m.stat}})
				take = append(take, func(v []float64) { m.take(r, v) })
			}
		}
		for from := 0; from < len(queries); from += maxQueries {
			values, err := metricData(ctx, cl, q.begin, q.end, queries[from:min(from+maxQueries, len(queries))])
			if err != nil {
				return err
			}
			for i := from; i < min(from+maxQueries, len(queries)); i++ {
				take[i](values[fmt.Sprintf("q%d", i)])
			}
		}
	}
	return nil
}

// metricData asks for metrics and gives the values by query, oldest first.
func metricData(ctx context.Context, cl *client.Client, begin, end time.Time, queries []map[string]any) (map[string][]float64, error) {
	in := map[string]any{"StartTime": begin.Unix(), "EndTime": end.Unix(), "ScanBy": "TimestampAscending", "MetricDataQueries": queries}
	out := map[string][]float64{}
	for {
		var page struct {
			MetricDataResults []struct {
				Id     string
				Values []float64
			}
			NextToken string
		}
		if err := cl.Call(ctx, client.CloudWatch, "GetMetricData", in, &page); err != nil {
			return nil, err
		}
		for _, r := range page.MetricDataResults {
			out[r.Id] = append(out[r.Id], r.Values...)
		}
		if page.NextToken == "" {
			return out, nil
		}
		in["NextToken"] = page.NextToken
	}
}
