// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		l := start(t, Options[string]{
			Name: "training-job", Workers: 1, Metrics: NewMetrics(registry),
			Reconcile: func(_ context.Context, key string) (Result, error) {
				time.Sleep(2 * time.Second)
				if key == "bad" {
					return Result{}, errTest
				}
				return Done, nil
			},
		})
		for _, key := range []string{"bad", "b", "c"} {
			l.Wake(key)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := value(t, registry, "sagebrush_reconcile_queue"); got != 2 {
			t.Errorf("queue is %v, want 2", got)
		}
		time.Sleep(2 * time.Second)
		if got := value(t, registry, "sagebrush_reconcile_errors_total"); got != 1 {
			t.Errorf("errors are %v, want 1", got)
		}
		if got := value(t, registry, "sagebrush_reconcile_seconds"); got != 2 {
			t.Errorf("looks took %v s, want 2", got)
		}
	})
}

// value is the number of the one sample of a metric; of a histogram, its sum.
func value(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		m := family.GetMetric()[0]
		if label := m.GetLabel()[0]; label.GetName() != "family" || label.GetValue() != "training-job" {
			t.Errorf("label is %v", label)
		}
		return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// BenchmarkWake measures a wake-up and the look that it causes.
func BenchmarkWake(b *testing.B) {
	var looks atomic.Int64
	l := New(Options[int]{Log: quiet, Reconcile: func(context.Context, int) (Result, error) {
		looks.Add(1)
		return Done, nil
	}})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	n := 0
	for b.Loop() {
		l.Wake(n)
		n++
	}
	for looks.Load() < int64(n) {
		runtime.Gosched()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "looks/s")
	cancel()
	<-done
}
