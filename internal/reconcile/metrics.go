// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the measurements of all loops of the process, by the loop's name.
type Metrics struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	waiting *prometheus.GaugeVec
}

// NewMetrics registers the metrics. It panics when they are registered already.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sagebrush_reconcile_seconds",
			Help:    "Time that one look at a record took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // 0.5 ms to 33 s
		}, []string{"family"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sagebrush_reconcile_errors_total",
			Help: "Looks at a record that failed and are repeated.",
		}, []string{"family"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sagebrush_reconcile_queue",
			Help: "Records that are due and wait for a worker.",
		}, []string{"family"}),
	}
	registerer.MustRegister(m.seconds, m.errors, m.waiting)
	return m
}

// meter measures one loop, or nothing when it is zero.
type meter struct {
	seconds prometheus.Observer
	errors  prometheus.Counter
	waiting prometheus.Gauge
}

func (m *Metrics) meter(family string) meter {
	if m == nil {
		return meter{}
	}
	return meter{m.seconds.WithLabelValues(family), m.errors.WithLabelValues(family), m.waiting.WithLabelValues(family)}
}

func (m meter) looked(took time.Duration, err error) {
	if m.seconds == nil {
		return
	}
	m.seconds.Observe(took.Seconds())
	if err != nil {
		m.errors.Inc()
	}
}

func (m meter) depth(n int) {
	if m.waiting != nil {
		m.waiting.Set(float64(n))
	}
}
