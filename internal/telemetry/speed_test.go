// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo/xgboost"
)

// boosting are the metric definitions of the built-in XGBoost.
func boosting() []Definition {
	var out []Definition
	for _, m := range (xgboost.Algorithm{}).Spec().Metrics {
		out = append(out, Definition{m.Name, m.Regex})
	}
	return out
}

// BenchmarkScan is one line of 100 bytes, with and without values, looked at
// with the metrics of XGBoost.
func BenchmarkScan(b *testing.B) {
	for name, line := range map[string]string{
		"no value":   "step 00001234 loss=0.693147 lr=0.001 throughput=812 samples/s of a job that tells of each step......",
		"two values": "[1234]#011train-logloss:0.001234#011validation-logloss:0.001234 of a round of boosting..............",
	} {
		b.Run(name, func(b *testing.B) {
			s, err := NewScraper(boosting())
			if err != nil {
				b.Fatal(err)
			}
			e := Event{Time: time.UnixMilli(1), Message: line}
			b.ReportAllocs()
			for b.Loop() {
				s.Scan(e)
			}
		})
	}
}

// sink is a Logs that keeps nothing.
type sink struct{ offset int64 }

func (s *sink) Offset(context.Context, Stream) (int64, error) { return s.offset, nil }
func (s *sink) Append(_ context.Context, _ Stream, _, to int64, _ []Event) error {
	s.offset = to
	return nil
}

// BenchmarkShip is the way of 100,000 lines of 100 bytes from a log in memory
// to a store that keeps nothing.
func BenchmarkShip(b *testing.B) {
	const n = 100_000
	var log strings.Builder
	for i := range n {
		fmt.Fprintf(&log, "1795123456789\tstep %08d loss=0.693147 lr=0.001 throughput=812 samples/s of a job that tells of each step......\n", i)
	}
	text := log.String()
	b.ReportAllocs()
	for b.Loop() {
		err := Ship(b.Context(), Shipment{Logs: &sink{}, Open: func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
