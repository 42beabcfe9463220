// SPDX-License-Identifier: Apache-2.0

// Package hostmetrics publishes what the hosts of a job take of the machine, as
// SageMaker's instance metrics: CPUUtilization, MemoryUtilization,
// DiskUtilization, GPUUtilization and GPUMemoryUtilization, all in per cent.
//
// The service publishes an average each minute. Here each second has its value,
// and a statistic over a minute is the average of its seconds: one series
// answers both. Seconds are kept for three hours and minutes for fifteen days,
// see neighbor/cloudwatch.
package hostmetrics

import (
	"context"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// Host is a task that is measured.
type Host struct {
	Runtime runtime.Runtime // measured only if it is a runtime.Meter
	// Task is what runs: its ID is measured, and its MilliCPU, MemoryBytes and
	// DiskBytes are the hundred per cent. A limit of 0 leaves its metric out.
	Task    runtime.Task
	Metrics telemetry.Metrics

	Account, Region string
	Namespace       string // "/aws/sagemaker/TrainingJobs"
	Name            string // the dimension Host: "{job}/algo-1"
	// Dimensions stand instead of Host where they are set.
	Dimensions []telemetry.Dimension
	// Every is between two measurements, once the first are done; 1 s when 0.
	Every time.Duration
}

// How often a host is measured and its values are published. Several seconds
// are published at once, for each publication writes to the pages of each of
// the host's series.
const (
	firstWait    = 50 * time.Millisecond // doubled until it is sampleEvery
	sampleEvery  = time.Second
	publishEvery = 5
	maxAbsent    = 5 // measurements in a row that may fail, or find nothing to begin with
)

// Watch measures a host each second until its task has ended or ctx is done,
// and publishes the values every five seconds and in the end. Its first
// measurements come faster, so that a short job has values too; one that is
// over within some tens of milliseconds has none.
//
// It returns at once when the runtime cannot measure. A measurement or a
// publication that fails leaves out its values; the error is that of the last
// one.
func Watch(ctx context.Context, h Host) error {
	meter, ok := h.Runtime.(runtime.Meter)
	if !ok {
		return nil
	}
	s := sampler{host: h}
	timer := time.NewTimer(0)
	defer timer.Stop()
	every := h.Every
	if every == 0 {
		every = sampleEvery
	}
	for wait, absent := firstWait, 0; ; wait = min(2*wait, every) {
		select {
		case <-ctx.Done():
			s.publish(context.WithoutCancel(ctx)) // the values that are there are the task's still
			return s.failed
		case <-timer.C:
		}
		u, ok, err := meter.Usage(ctx, h.Task.ID)
		switch {
		case ctx.Err() != nil:
			continue
		case ok && err == nil:
			absent = 0
			s.take(u)
		case err == nil && s.seen:
			absent = maxAbsent
		default:
			absent++
			if err != nil {
				s.failed = fmt.Errorf("measure task %q: %w", h.Task.ID, err)
			}
		}
		if absent >= maxAbsent || s.count >= publishEvery {
			s.publish(ctx)
		}
		if absent >= maxAbsent {
			return s.failed
		}
		timer.Reset(wait)
	}
}

// sampler makes values of measurements.
type sampler struct {
	host   Host
	seen   bool // the task was measured
	last   runtime.Usage
	data   []telemetry.Datum // not published yet
	count  int               // of the measurements that data are of
	failed error             // the last one
}

// take makes the values of a measurement. The first one has no time over which
// processors were used, and so has no CPUUtilization.
func (s *sampler) take(u runtime.Usage) {
	t := s.host.Task
	if over := u.At.Sub(s.last.At); s.seen && over > 0 {
		cpu := 100 * float64(u.CPU-s.last.CPU) / float64(over)
		if most := float64(t.MilliCPU) / 10; most > 0 {
			cpu = min(cpu, most) // the two clocks are not read at the same instant
		}
		s.add("CPUUtilization", u.At, max(cpu, 0))
	}
	if t.MemoryBytes > 0 {
		s.add("MemoryUtilization", u.At, 100*float64(u.MemoryBytes)/float64(t.MemoryBytes))
	}
	if t.DiskBytes > 0 {
		s.add("DiskUtilization", u.At, 100*float64(u.DiskBytes)/float64(t.DiskBytes))
	}
	if len(u.GPUs) > 0 {
		var busy, memory float64
		for _, g := range u.GPUs {
			busy += g.Utilization
			memory += g.MemoryUtilization
		}
		s.add("GPUUtilization", u.At, busy)
		s.add("GPUMemoryUtilization", u.At, memory)
	}
	s.seen, s.last = true, u
	s.count++
}

func (s *sampler) add(name string, at time.Time, value float64) {
	dims := s.host.Dimensions
	if dims == nil {
		dims = []telemetry.Dimension{{Name: "Host", Value: s.host.Name}}
	}
	s.data = append(s.data, telemetry.Datum{Name: name, Time: at, Unit: "Percent", Value: value, Dimensions: dims})
}

// publish hands over the values that were not yet.
func (s *sampler) publish(ctx context.Context) {
	data := s.data
	s.data, s.count = nil, 0
	if len(data) == 0 {
		return
	}
	h := s.host
	if err := h.Metrics.Put(ctx, h.Account, h.Region, h.Namespace, data); err != nil {
		s.failed = fmt.Errorf("publish metrics of %s: %w", h.Name, err)
	}
}
