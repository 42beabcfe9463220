// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// meters gather what requests cost, beside their path, until it is published.
type meters struct {
	now func() time.Time
	mu  sync.Mutex
	all map[meterKey]*meter
}

type meterKey struct {
	routeKey
	variant string
}

// meter belongs to one variant of one endpoint.
type meter struct {
	mu      sync.Mutex
	samples []sample
}

// sample is one request.
type sample struct {
	status       int // of the container; 500 when it gave none
	instances    int
	model, total time.Duration
	setup, first time.Duration   // of a cold start; until the first piece of a stream; 0 for none
	hops         []time.Duration // of a pipeline: what each container took
}

// meterLimit bounds the samples kept between two publications; a variant that
// takes more requests a second than this publishes a part of them.
const meterLimit = 100_000

func (m *meter) add(s sample) {
	m.mu.Lock()
	if len(m.samples) < meterLimit {
		m.samples = append(m.samples, s)
	}
	m.mu.Unlock()
}

func (ms *meters) of(k resource.Key, variant string) *meter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.all == nil {
		ms.all = map[meterKey]*meter{}
	}
	key := meterKey{keyOf(k), variant}
	if ms.all[key] == nil {
		ms.all[key] = &meter{}
	}
	return ms.all[key]
}

// publishMetrics hands the samples to CloudWatch each second, and the last ones
// when the server stops.
func (s *Service) publishMetrics(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.publish(context.WithoutCancel(ctx))
			return ctx.Err()
		case <-tick.C:
			s.publish(ctx)
		}
	}
}

func (s *Service) publish(ctx context.Context) {
	s.meters.mu.Lock()
	taken := map[meterKey][]sample{}
	for k, m := range s.meters.all {
		m.mu.Lock()
		if len(m.samples) > 0 {
			taken[k], m.samples = m.samples, nil
		}
		m.mu.Unlock()
	}
	s.meters.mu.Unlock()
	for k, samples := range taken {
		if err := s.Metrics.Put(ctx, k.account, k.region, "AWS/SageMaker", dataOfSamples(k, samples, s.meters.now())); err != nil {
			s.Log.Warn("endpoint metrics not stored", "name", k.name, "err", err)
		}
	}
}

// dataOfSamples are the invocation metrics of one variant. Source: "Metrics for
// monitoring Amazon SageMaker AI with Amazon CloudWatch", endpoint invocation.
func dataOfSamples(k meterKey, samples []sample, now time.Time) []telemetry.Datum {
	dims := []telemetry.Dimension{{Name: "EndpointName", Value: k.name}, {Name: "VariantName", Value: k.variant}}
	ones := make([]float64, len(samples))
	series := map[string][]float64{}
	add := func(name string, v float64) { series[name] = append(series[name], v) }
	for i, s := range samples {
		ones[i] = 1
		add("Invocations", 1)
		add("InvocationsPerInstance", 1/float64(max(s.instances, 1)))
		add("Invocation4XXErrors", truth(s.status >= 400 && s.status < 500))
		add("Invocation5XXErrors", truth(s.status >= 500))
		add("InvocationModelErrors", truth(s.status >= 300))
		add("ModelLatency", float64(s.model.Microseconds()))
		add("OverheadLatency", float64((s.total - s.model).Microseconds()))
	}
	var out []telemetry.Datum
	for _, name := range []string{"Invocations", "InvocationsPerInstance", "Invocation4XXErrors", "Invocation5XXErrors",
		"InvocationModelErrors", "ModelLatency", "OverheadLatency"} {
		unit := "None"
		if name == "ModelLatency" || name == "OverheadLatency" {
			unit = "Microseconds"
		}
		out = append(out, telemetry.Datum{Name: name, Dimensions: dims, Time: now, Unit: unit, Values: series[name], Counts: ones})
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
