// SPDX-License-Identifier: Apache-2.0

// Package telemetry carries what jobs tell, log events and metric data, from
// the tasks that say it to the neighbours that keep it. Ship moves a log,
// Scraper finds the values in its lines, and hostmetrics, below it, measures the
// hosts.
package telemetry

import (
	"context"
	"time"
)

// Event is one line of a log.
type Event struct {
	Time    time.Time
	Message string
}

// Logs keeps log events. neighbor/logs is one.
type Logs interface {
	// Offset is how many bytes of the source log a stream has taken so far; 0
	// for a stream that does not exist.
	Offset(ctx context.Context, at Stream) (int64, error)
	// Append adds events, read from the source log between the byte offsets
	// from and to, in one transaction that also remembers `to`. It makes group
	// and stream when they are missing. When from is not the stored offset
	// nothing is written and the error is ErrOffset: each line is kept once,
	// also when a shipper repeats itself after a crash. The slice is the
	// caller's again when it returns.
	Append(ctx context.Context, at Stream, from, to int64, events []Event) error
}

// Stream names a log stream.
type Stream struct {
	Account, Region string
	Group           string // "/aws/sagemaker/TrainingJobs"
	Name            string // "churn-7/algo-1-1795123456"
}

// Datum is one metric value, or a statistic set of several.
type Datum struct {
	Name       string
	Dimensions []Dimension
	Time       time.Time
	Unit       string // "Microseconds", "Percent", "None"
	Value      float64
	// Values and Counts, when set, hold many observations at once: Counts[i]
	// times Values[i]. Value is then unused.
	Values, Counts []float64
}

// Dimension is a name and value that narrow a metric.
type Dimension struct{ Name, Value string }

// Metrics keeps metric data. neighbor/cloudwatch is one.
type Metrics interface {
	Put(ctx context.Context, account, region, namespace string, data []Datum) error
}
