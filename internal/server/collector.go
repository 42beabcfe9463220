// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// families are the kinds of record that /metrics counts.
var families = []string{"training-job", "model", "endpoint-config", "endpoint"}

var resourcesDesc = prometheus.NewDesc("sagebrush_resources", "Stored records by family and status.", []string{"family", "status"}, nil)

// counter counts the stored records when /metrics is read.
type counter struct{ db resource.Reader }

// Describe implements prometheus.Collector.
func (c counter) Describe(ch chan<- *prometheus.Desc) { ch <- resourcesDesc }

// Collect implements prometheus.Collector.
func (c counter) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, family := range families {
		counts, err := c.db.Count(ctx, family)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(resourcesDesc, err)
			return
		}
		for status, n := range counts {
			ch <- prometheus.MustNewConstMetric(resourcesDesc, prometheus.GaugeValue, float64(n), family, status)
		}
	}
}
