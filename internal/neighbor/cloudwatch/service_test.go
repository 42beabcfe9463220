// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

var start = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)

const (
	account = "123456789012"
	region  = "us-east-1"
	ns      = "/aws/sagemaker/TrainingJobs"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: region})

type bench struct {
	*Service
	table *op.Table
	clock time.Time
}

func open(t testing.TB, path string) *bench {
	t.Helper()
	b := &bench{table: op.New(), clock: start}
	s, err := New(Options{Path: path, Now: func() time.Time { return b.clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Install(b.table)
	b.Service = s
	return b
}

func fresh(t testing.TB) *bench { return open(t, filepath.Join(t.TempDir(), "metrics.db")) }

func call[I, O any](t testing.TB, b *bench, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(caller, b.table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused[I, O any](t *testing.T, b *bench, o wire.Op[I, O], in I, code, text string) {
	t.Helper()
	_, err := op.Call(caller, b.table, o, &in)
	f := fault.Of(err)
	if f == nil || f.Code != code || !strings.Contains(f.Message, text) || f.Status != 400 {
		t.Errorf("%s answers %v, want %s with %q", o, err, code, text)
	}
}

func (b *bench) put(t testing.TB, data ...telemetry.Datum) {
	t.Helper()
	if err := b.Put(caller, account, region, ns, data); err != nil {
		t.Fatal(err)
	}
}

func datum(name, job string, after time.Duration, v float64) telemetry.Datum {
	return telemetry.Datum{Name: name, Dimensions: []telemetry.Dimension{{Name: "TrainingJobName", Value: job}}, Time: start.Add(after), Value: v}
}

func ask1(job string, period int64, stats ...string) wcw.GetMetricStatisticsInput {
	return wcw.GetMetricStatisticsInput{Namespace: ns, MetricName: "loss", Dimensions: []wcw.Dimension{{Name: "TrainingJobName", Value: job}},
		StartTime: wire.At(start), EndTime: wire.At(start.Add(time.Hour)), Period: &period, Statistics: stats}
}

func TestGetMetricStatistics(t *testing.T) {
	b := fresh(t)
	for i := range 10 {
		b.put(t, datum("loss", "j", time.Duration(i)*20*time.Second, float64(i)))
	}
	b.put(t, datum("loss", "other", 0, 99))
	get := wcw.GetMetricStatistics
	out := call(t, b, get, ask1("j", 60, "SampleCount", "Sum", "Average", "Minimum", "Maximum"))
	if out.Label != "loss" || len(out.Datapoints) != 4 {
		t.Fatalf("got %+v", out)
	}
	p := out.Datapoints[1]
	if !p.Timestamp.Equal(start.Add(time.Minute)) || *p.SampleCount != 3 || *p.Sum != 12 || *p.Average != 4 || *p.Minimum != 3 || *p.Maximum != 5 || p.Unit != "None" {
		t.Errorf("second minute is %+v", p)
	}
	in := ask1("j", 300)
	in.ExtendedStatistics = []string{"p50", "p90.5", "p0", "p100"}
	p = call(t, b, get, in).Datapoints[0]
	if e := p.ExtendedStatistics; e["p50"] != 4 || e["p90.5"] != 9 || e["p0"] != 0 || e["p100"] != 9 || p.Sum != nil {
		t.Errorf("percentiles are %v", e)
	}
	if out := call(t, b, get, ask1("none", 60, "Sum")); out.Datapoints == nil || len(out.Datapoints) != 0 {
		t.Errorf("no data: %+v", out)
	}
	t.Run("units are answered apart", func(t *testing.T) {
		d := datum("loss", "u", 0, 1)
		d.Unit = "Seconds"
		b.put(t, d, datum("loss", "u", 0, 2))
		if out := call(t, b, get, ask1("u", 60, "Sum")); len(out.Datapoints) != 2 || out.Datapoints[1].Unit != "Seconds" {
			t.Errorf("got %+v", out.Datapoints)
		}
		in := ask1("u", 60, "Sum")
		in.Unit = "Seconds"
		if out := call(t, b, get, in); len(out.Datapoints) != 1 || *out.Datapoints[0].Sum != 1 {
			t.Errorf("got %+v", out.Datapoints)
		}
	})
	t.Run("a start within a minute is rounded down and the end is left out", func(t *testing.T) {
		in := ask1("j", 60, "Sum")
		in.StartTime, in.EndTime = wire.At(start.Add(30*time.Second)), wire.At(start.Add(time.Minute))
		if out := call(t, b, get, in); len(out.Datapoints) != 1 || *out.Datapoints[0].Sum != 3 || !out.Datapoints[0].Timestamp.Equal(start) {
			t.Errorf("got %+v", out.Datapoints)
		}
	})
	for _, tt := range []struct {
		name, code, text string
		change           func(*wcw.GetMetricStatisticsInput)
	}{
		{"no statistic", "MissingParameter", "Statistics", func(in *wcw.GetMetricStatisticsInput) { in.Statistics = nil }},
		{"an end before the start", "InvalidParameterValue", "StartTime must be less", func(in *wcw.GetMetricStatisticsInput) { in.EndTime = in.StartTime }},
		{"an odd period", "InvalidParameterValue", "Period must be", func(in *wcw.GetMetricStatisticsInput) { in.Period = new(int64(7)) }},
		{"too many points", "InvalidParameterCombination", "up to 3600 datapoints", func(in *wcw.GetMetricStatisticsInput) { in.Period = new(int64(1)) }},
		{"no percentile", "InvalidParameterValue", "The value p101", func(in *wcw.GetMetricStatisticsInput) { in.ExtendedStatistics = []string{"p101"} }},
		{"an unknown statistic", "ValidationException", "enum value set", func(in *wcw.GetMetricStatisticsInput) { in.Statistics = []string{"Median"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := ask1("j", 60, "Sum")
			tt.change(&in)
			refused(t, b, get, in, tt.code, tt.text)
		})
	}
}

func TestPutMetricData(t *testing.T) {
	b := fresh(t)
	put := func(d wcw.MetricDatum) wcw.PutMetricDataInput {
		if d.MetricName == "" {
			d.MetricName = "loss"
		}
		d.Dimensions = []wcw.Dimension{{Name: "TrainingJobName", Value: "j"}}
		return wcw.PutMetricDataInput{Namespace: ns, MetricData: []wcw.MetricDatum{d}}
	}
	set := &wcw.StatisticSet{SampleCount: new(2.0), Sum: new(5.0), Minimum: new(1.0), Maximum: new(4.0)}
	for _, tt := range []struct {
		name, code, text string
		in               wcw.PutMetricDataInput
	}{
		{"a namespace of the service's", "InvalidParameterValue", "AWS/", wcw.PutMetricDataInput{Namespace: "AWS/SageMaker", MetricData: []wcw.MetricDatum{{MetricName: "x", Value: new(1.0)}}}},
		{"no data", "MissingParameter", "MetricData", wcw.PutMetricDataInput{Namespace: ns}},
		{"no value", "MissingParameter", "At least one", put(wcw.MetricDatum{})},
		{"two kinds of value", "InvalidParameterCombination", "MetricData.member.1.Value and MetricData.member.1.StatisticValues", put(wcw.MetricDatum{Value: new(1.0), StatisticValues: set})},
		{"values without their counts", "InvalidParameterValue", "same size", put(wcw.MetricDatum{Values: []float64{1, 2}, Counts: []float64{1}})},
		{"a negative count", "InvalidParameterValue", "Counts", put(wcw.MetricDatum{Values: []float64{1}, Counts: []float64{-1}})},
		{"too many values", "InvalidParameterValue", "greater than 150", put(wcw.MetricDatum{Values: make([]float64, 151)})},
		{"no number", "InvalidParameterValue", "NaN", put(wcw.MetricDatum{Value: new(math.NaN())})},
		{"too large", "InvalidParameterValue", "e+300", put(wcw.MetricDatum{Value: new(1e300)})},
		{"a time too long ago", "InvalidParameterValue", "Timestamp", put(wcw.MetricDatum{Value: new(1.0), Timestamp: wire.At(start.Add(-15 * 24 * time.Hour))})},
		{"a time to come", "InvalidParameterValue", "Timestamp", put(wcw.MetricDatum{Value: new(1.0), Timestamp: wire.At(start.Add(3 * time.Hour))})},
		{"a resolution that is none", "InvalidParameterValue", "StorageResolution", put(wcw.MetricDatum{Value: new(1.0), StorageResolution: new(int64(5))})},
		{"an empty set", "InvalidParameterValue", "SampleCount", put(wcw.MetricDatum{StatisticValues: &wcw.StatisticSet{SampleCount: new(0.0), Sum: new(0.0), Minimum: new(0.0), Maximum: new(0.0)}})},
		{"a unit that is none", "ValidationException", "enum", put(wcw.MetricDatum{Value: new(1.0), Unit: "Furlong"})},
		{"no name", "ValidationException", "metricName", wcw.PutMetricDataInput{Namespace: ns, MetricData: []wcw.MetricDatum{{Value: new(1.0)}}}},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, b, wcw.PutMetricData, tt.in, tt.code, tt.text) })
	}
	call(t, b, wcw.PutMetricData, put(wcw.MetricDatum{Value: new(10.0)}))
	call(t, b, wcw.PutMetricData, put(wcw.MetricDatum{Values: []float64{1, 2}, Counts: []float64{3, 4}}))
	in := ask1("j", 60, "SampleCount", "Sum")
	in.ExtendedStatistics = []string{"p50"}
	if p := call(t, b, wcw.GetMetricStatistics, in).Datapoints[0]; *p.SampleCount != 8 || *p.Sum != 21 || p.ExtendedStatistics["p50"] != 2 {
		t.Errorf("got %+v", p)
	}
	call(t, b, wcw.PutMetricData, put(wcw.MetricDatum{StatisticValues: set, Timestamp: wire.At(start.Add(time.Minute))}))
	call(t, b, wcw.PutMetricData, put(wcw.MetricDatum{Values: []float64{7}, Timestamp: wire.At(start.Add(time.Minute))}))
	out := call(t, b, wcw.GetMetricStatistics, in)
	if p := out.Datapoints[1]; *p.SampleCount != 3 || *p.Sum != 12 || p.ExtendedStatistics != nil {
		t.Errorf("a statistic set gave %+v", p)
	}
}

func TestGetMetricData(t *testing.T) {
	b := fresh(t)
	for i := range 5 {
		b.put(t, datum("loss", "j", time.Duration(i)*time.Minute, float64(i)))
	}
	query := func(id, stat string) wcw.MetricDataQuery {
		return wcw.MetricDataQuery{Id: id, MetricStat: &wcw.MetricStat{Stat: stat, Period: new(int64(60)), Metric: &wcw.Metric{Namespace: ns, MetricName: "loss",
			Dimensions: []wcw.Dimension{{Name: "TrainingJobName", Value: "j"}}}}}
	}
	in := func(q ...wcw.MetricDataQuery) wcw.GetMetricDataInput {
		return wcw.GetMetricDataInput{MetricDataQueries: q, StartTime: wire.At(start), EndTime: wire.At(start.Add(time.Hour))}
	}
	out := call(t, b, wcw.GetMetricData, in(query("a", "Sum"), query("b", "p99")))
	r := out.MetricDataResults[0]
	if !slices.Equal(r.Values, []float64{4, 3, 2, 1, 0}) || !r.Timestamps[0].Equal(start.Add(4*time.Minute)) || r.StatusCode != "Complete" || r.Label != "loss" || out.NextToken != "" {
		t.Errorf("got %+v", out)
	}
	t.Run("pages of three points, ascending", func(t *testing.T) {
		q := query("c", "Sum")
		q.ReturnData = new(false)
		req := in(query("a", "Sum"), q, query("b", "SampleCount"))
		req.ScanBy, req.MaxDatapoints = "TimestampAscending", new(int64(3))
		got := map[string][]float64{}
		pages := 0
		for {
			out := call(t, b, wcw.GetMetricData, req)
			pages++
			n := 0
			for _, r := range out.MetricDataResults {
				got[r.Id] = append(got[r.Id], r.Values...)
				n += len(r.Values)
			}
			if n > 3 {
				t.Errorf("page of %d points", n)
			}
			if req.NextToken = out.NextToken; req.NextToken == "" {
				break
			}
		}
		if pages != 4 || !slices.Equal(got["a"], []float64{0, 1, 2, 3, 4}) || !slices.Equal(got["b"], []float64{1, 1, 1, 1, 1}) || got["c"] != nil {
			t.Errorf("%d pages: %v", pages, got)
		}
	})
	math := wcw.MetricDataQuery{Id: "e", Expression: "SEARCH('loss', 'Sum')"}
	both := query("a", "Sum")
	both.Expression = "x"
	odd := query("a", "Sum")
	odd.MetricStat.Period = new(int64(61))
	nameless := query("a", "Sum")
	nameless.MetricStat.Metric.MetricName = ""
	backwards := in(query("a", "Sum"))
	backwards.StartTime, backwards.EndTime = backwards.EndTime, backwards.StartTime
	many := in(query("a", "Sum"))
	many.MaxDatapoints = new(int64(maxDatapoints + 1))
	foreign := in(query("a", "Sum"))
	foreign.NextToken = makeOffset(3, 1)
	garbled := in(query("a", "Sum"))
	garbled.NextToken = "?"
	for _, tt := range []struct {
		name, code, text string
		in               wcw.GetMetricDataInput
	}{
		{"an expression that searches", "ValidationError", "SEARCH is not supported by Sagebrush", in(math)},
		{"an expression and a metric", "ValidationError", "mutually exclusive", in(both)},
		{"neither", "ValidationError", "must be specified", in(wcw.MetricDataQuery{Id: "a"})},
		{"an ID in capitals", "ValidationError", "expected pattern", in(query("A", "Sum"))},
		{"an ID twice", "ValidationError", "not unique", in(query("a", "Sum"), query("a", "Sum"))},
		{"an unknown statistic", "ValidationError", "The value Median", in(query("a", "Median"))},
		{"an odd period", "ValidationError", "multiple of 60", in(odd)},
		{"no metric name", "ValidationError", "required", in(nameless)},
		{"an end before the start", "ValidationError", "EndTime", backwards},
		{"too many points", "ValidationError", "MaxDatapoints", many},
		{"another request's token", "InvalidNextToken", "NextToken", foreign},
		{"a token that is none", "InvalidNextToken", "NextToken", garbled},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, b, wcw.GetMetricData, tt.in, tt.code, tt.text) })
	}
}

func TestListMetrics(t *testing.T) {
	b := fresh(t)
	for i := range 1100 {
		b.put(t, datum("loss", fmt.Sprintf("j%04d", i), 0, 1))
	}
	b.put(t, datum("acc", "j0001", -5*time.Hour, 1), datum("old", "j", -20*24*time.Hour, 1))
	d := datum("loss", "j0001", 0, 1)
	d.Unit = "Percent" // the same metric in another unit
	b.put(t, d)
	for _, tt := range []struct {
		name string
		in   wcw.ListMetricsInput
		want int
	}{
		{"all", wcw.ListMetricsInput{}, 1101},
		{"by namespace", wcw.ListMetricsInput{Namespace: "x"}, 0},
		{"by name", wcw.ListMetricsInput{Namespace: ns, MetricName: "acc"}, 1},
		{"by dimension", wcw.ListMetricsInput{Dimensions: []wcw.DimensionFilter{{Name: "TrainingJobName", Value: "j0001"}}}, 2},
		{"by the name of a dimension", wcw.ListMetricsInput{Dimensions: []wcw.DimensionFilter{{Name: "TrainingJobName"}}}, 1101},
		{"recently active", wcw.ListMetricsInput{RecentlyActive: "PT3H"}, 1100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[string]bool{}
			for {
				out := call(t, b, wcw.ListMetrics, tt.in)
				if len(out.Metrics) > 500 {
					t.Errorf("page of %d", len(out.Metrics))
				}
				for _, m := range out.Metrics {
					seen[fmt.Sprint(m)] = true
				}
				if tt.in.NextToken = out.NextToken; out.NextToken == "" {
					break
				}
			}
			if len(seen) != tt.want {
				t.Errorf("got %d metrics, want %d", len(seen), tt.want)
			}
		})
	}
	refused(t, b, wcw.ListMetrics, wcw.ListMetricsInput{NextToken: "?"}, "InvalidNextToken", "NextToken")
}

func TestDataOutliveTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	b := open(t, path)
	b.put(t, datum("loss", "j", 0, 1))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, path)
	b.put(t, datum("loss", "j", 0, 2)) // the same second, later
	if p := call(t, b, wcw.GetMetricStatistics, ask1("j", 60, "Sum", "SampleCount")).Datapoints; len(p) != 1 || *p[0].Sum != 3 || *p[0].SampleCount != 2 {
		t.Errorf("got %+v", p)
	}
}

func TestAge(t *testing.T) {
	b := fresh(t)
	for i := range 7200 {
		b.put(t, datum("loss", "j", time.Duration(i-7200)*time.Second, float64(i%100)))
	}
	count := func(where string) (n int) {
		t.Helper()
		if err := b.file.Read(caller, func(q sqlfile.Querier) error {
			return q.QueryRowContext(caller, "SELECT count(*) FROM "+where).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	in := ask1("j", 300, "SampleCount", "Sum", "Minimum", "Maximum")
	in.ExtendedStatistics = []string{"p50", "p99"}
	in.StartTime, in.EndTime = wire.At(start.Add(-2*time.Hour)), wire.At(start)
	before := call(t, b, wcw.GetMetricStatistics, in)
	b.clock = start.Add(2 * time.Hour)
	if err := b.Age(caller); err != nil {
		t.Fatal(err)
	}
	if s, m := count("sample WHERE res = 1"), count("sample WHERE res = 60"); s != 3600 || m != 60 {
		t.Errorf("%d seconds and %d minutes are left", s, m)
	}
	after := call(t, b, wcw.GetMetricStatistics, in)
	for i, p := range before.Datapoints {
		q := after.Datapoints[i]
		if *p.Sum != *q.Sum || *p.SampleCount != *q.SampleCount || *p.Minimum != *q.Minimum || *p.Maximum != *q.Maximum ||
			p.ExtendedStatistics["p50"] != q.ExtendedStatistics["p50"] {
			t.Errorf("%v became %v", p, q)
		}
	}
	b.put(t, datum("loss", "j", 10*time.Hour, 1))
	b.clock = start.Add(16 * 24 * time.Hour)
	if err := b.Age(caller); err != nil {
		t.Fatal(err)
	}
	if n := count("sample") + count("series"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	b.put(t, datum("loss", "j", 16*24*time.Hour, 5)) // the series comes back
	in.StartTime, in.EndTime = wire.At(b.clock), wire.At(b.clock.Add(time.Minute))
	in.Period = new(int64(60))
	if p := call(t, b, wcw.GetMetricStatistics, in).Datapoints; len(p) != 1 || *p[0].Sum != 5 {
		t.Errorf("got %+v", p)
	}
}

func TestPutFromManySides(t *testing.T) {
	b := fresh(t)
	ctx, cancel := context.WithCancel(caller)
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				b.put(t, datum("loss", fmt.Sprint("j", i%2), time.Duration(j%10)*time.Second, 1))
				if j%100 == 0 {
					if err := b.Flush(caller); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, job := range []string{"j0", "j1"} {
		if p := call(t, b, wcw.GetMetricStatistics, ask1(job, 60, "Sum")).Datapoints; len(p) != 1 || *p[0].Sum != 2000 {
			t.Errorf("%s: %+v", job, p)
		}
	}
}

func TestPercentiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		n     int
		draw  func() float64
		close float64 // relative
	}{
		{"few values are exact", 100, rng.NormFloat64, 0},
		{"many equal values are exact", 5000, func() float64 { return float64(rng.IntN(100)) }, 0},
		{"latencies are within one per cent", 5000, func() float64 { return math.Exp(rng.NormFloat64()*2 + 8) }, 0.01},
		{"both signs are within one per cent", 5000, func() float64 { return rng.NormFloat64() * 1000 }, 0.01},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Shards merged by way of the disk are to answer as one would.
			shards := []*stats{{}, {}, {}}
			values := make([]float64, tt.n)
			for i := range values {
				values[i] = tt.draw()
				shards[i%3].add(values[i], 1)
			}
			all := &stats{}
			for _, s := range shards {
				back, err := decode(s.encode())
				if err != nil {
					t.Fatal(err)
				}
				all.merge(back)
			}
			slices.Sort(values)
			for _, p := range []float64{0, 1, 25, 50, 90, 99, 99.9, 100} {
				want := values[max(int(math.Ceil(p/100*float64(tt.n)-1e-9))-1, 0)]
				if got, ok := all.percentile(p); !ok || math.Abs(got-want) > tt.close*math.Abs(want)+1e-15 {
					t.Errorf("p%v is %v, want %v", p, got, want)
				}
			}
			if all.count != float64(tt.n) || all.min != values[0] || all.max != values[tt.n-1] {
				t.Errorf("count %v, min %v, max %v", all.count, all.min, all.max)
			}
		})
	}
	t.Run("a histogram stays bounded", func(t *testing.T) {
		s := &stats{}
		for i := range 20_000 {
			s.add(math.Pow(10, float64(i)/100-10), 1)
		}
		if n := len(s.hist.pos); n > maxBuckets {
			t.Errorf("%d buckets", n)
		}
	})
}

func FuzzSample(f *testing.F) {
	s := &stats{}
	s.add(5, 1)
	f.Add(s.encode())
	s.add(7, 2.5)
	f.Add(s.encode())
	for i := range 300 {
		s.add(float64(i-100)*1.7, 1)
	}
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		if _, err := decode(s.encode()); err != nil {
			t.Errorf("%x came back as %x: %v", b, s.encode(), err)
		}
		s.percentile(50)
	})
}

func BenchmarkPut(b *testing.B) {
	s := fresh(b)
	d := []telemetry.Datum{{Name: "ModelLatency", Unit: "Microseconds", Time: start, Dimensions: []telemetry.Dimension{{Name: "EndpointName", Value: "demo"}, {Name: "VariantName", Value: "AllTraffic"}}}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		d[0].Value = 1000 + float64(i%5000)
		d[0].Time = start.Add(time.Duration(i) * 100 * time.Microsecond) // 10,000 in a second
		if err := s.Put(caller, account, region, "AWS/SageMaker", d); err != nil {
			b.Fatal(err)
		}
	}
}
