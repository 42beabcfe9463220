// SPDX-License-Identifier: Apache-2.0

package training

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meter measures what an operator wants to know of training jobs as such; the
// loop and the store measure themselves. The zero meter measures nothing.
type meter struct {
	ends    *prometheus.CounterVec
	staging prometheus.Histogram
}

func newMeter(r prometheus.Registerer) meter {
	if r == nil {
		return meter{}
	}
	m := meter{
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sagebrush_training_jobs_ended_total",
			Help: "Training jobs that have ended, by their status.",
		}, []string{"status"}),
		staging: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sagebrush_training_staging_seconds",
			Help:    "Time to make a job's working folder with its data.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10), // 1 ms to 4 min
		}),
	}
	r.MustRegister(m.ends, m.staging)
	return m
}

func (m meter) ended(status string) {
	if m.ends != nil {
		m.ends.WithLabelValues(status).Inc()
	}
}

func (m meter) staged(took time.Duration, err error) {
	if m.staging != nil && err == nil {
		m.staging.Observe(took.Seconds())
	}
}
