// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"maps"
	"slices"
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
	variant, component string
}

// meter belongs to one variant of one endpoint.
type meter struct {
	mu      sync.Mutex
	samples []sample
	models  map[string][]float64 // of a multi-model container, by metric; source: "CloudWatch Metrics for Multi-Model Endpoint Deployments"
}

// sample is one request.
type sample struct {
	status       int // of the container; 500 when it gave none, notTaken when none was asked
	instances    int
	model, total time.Duration
	setup, first time.Duration   // of a cold start; until the first piece of a stream; 0 for none
	hops         []time.Duration // of a pipeline: what each container took
	hosts        []string        // their names
	config       string          // of the fleet, while two share the traffic
	async        bool            // was in the queue
	broken       bool            // the answer ended in its middle
}

// notTaken is the status of a request for which there was no instance.
const notTaken = -1

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

// model notes one value of a metric of multi-model endpoints.
func (m *meter) model(metric string, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.models == nil {
		m.models = map[string][]float64{}
	}
	if len(m.models[metric]) < meterLimit {
		m.models[metric] = append(m.models[metric], v)
	}
}

func (ms *meters) of(k resource.Key, variant string) *meter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.all == nil {
		ms.all = map[meterKey]*meter{}
	}
	key := meterKey{routeKey: keyOf(k), variant: variant}
	if k.Family != endpointFamily.Path {
		key.component = k.Name
	}
	if ms.all[key] == nil {
		ms.all[key] = &meter{}
	}
	return ms.all[key]
}

// gaugeEvery is between two publications of what is under way: the period of the
// high-resolution metrics that autoscaling goes by.
const gaugeEvery = 10 * time.Second

// publishMetrics hands the samples to CloudWatch each second, and the last ones
// when the server stops.
func (s *Service) publishMetrics(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	gauges := time.NewTicker(gaugeEvery)
	defer gauges.Stop()
	read := readings{}
	for {
		select {
		case <-ctx.Done():
			s.publish(context.WithoutCancel(ctx))
			return ctx.Err()
		case <-tick.C:
			s.publish(ctx)
			s.read(read)
		case <-gauges.C:
			s.publishGauges(ctx, read)
			clear(read)
		}
	}
}

func (s *Service) publish(ctx context.Context) {
	type taken struct {
		samples []sample
		models  map[string][]float64
	}
	all := map[meterKey]taken{}
	s.meters.mu.Lock()
	for k, m := range s.meters.all {
		m.mu.Lock()
		if len(m.samples) > 0 || len(m.models) > 0 {
			all[k] = taken{m.samples, m.models}
			m.samples, m.models = nil, nil
		}
		m.mu.Unlock()
	}
	s.meters.mu.Unlock()
	now := s.meters.now()
	for k, t := range all {
		put := func(data []telemetry.Datum) { s.put(ctx, k, "AWS/SageMaker", data) }
		if len(t.samples) > 0 {
			put(dataOfSamples(k.dimensions(""), t.samples, now))
		}
		for config, samples := range byConfig(t.samples) {
			put(dataOfSamples(k.dimensions(config), samples, now))
		}
		if len(t.models) > 0 {
			put(dataOf(k.dimensions(""), t.models, now))
		}
	}
}

// byConfig are the samples of requests that were answered while two fleets
// shared the traffic: alarms of a deployment may look at the new one alone.
func byConfig(samples []sample) map[string][]sample {
	out := map[string][]sample{}
	for _, s := range samples {
		if s.config != "" {
			out[s.config] = append(out[s.config], s)
		}
	}
	return out
}

func (k meterKey) dimensions(config string) []telemetry.Dimension {
	if k.component != "" {
		return []telemetry.Dimension{{Name: "InferenceComponentName", Value: k.component}}
	}
	dims := []telemetry.Dimension{{Name: "EndpointName", Value: k.name}, {Name: "VariantName", Value: k.variant}}
	if config != "" {
		dims = append(dims, telemetry.Dimension{Name: "EndpointConfigName", Value: config})
	}
	return dims
}

// units of what is not counted.
var units = map[string]string{"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds", "ModelSetupTime": "Microseconds",
	"FirstChunkLatency": "Microseconds", "ModelLoadingWaitTime": "Microseconds", "ModelUnloadingTime": "Microseconds",
	"ModelDownloadingTime": "Microseconds", "ModelLoadingTime": "Microseconds", "ContainerLatency": "Microseconds"}

func datum(name string, dims []telemetry.Dimension, values []float64, now time.Time) telemetry.Datum {
	unit := units[name]
	if unit == "" {
		unit = "None"
	}
	ones := make([]float64, len(values))
	for i := range ones {
		ones[i] = 1
	}
	return telemetry.Datum{Name: name, Dimensions: dims, Time: now, Unit: unit, Values: values, Counts: ones}
}

// dataOfSamples are the invocation metrics of one variant. Source: "Metrics for
// monitoring Amazon SageMaker AI with Amazon CloudWatch", endpoint invocation.
func dataOfSamples(dims []telemetry.Dimension, samples []sample, now time.Time) []telemetry.Datum {
	series := map[string][]float64{}
	hops := map[string][]float64{}
	add := func(name string, v float64) { series[name] = append(series[name], v) }
	perInstance := "InvocationsPerInstance"
	if dims[0].Name == "InferenceComponentName" {
		perInstance = "InvocationsPerCopy"
	}
	for i := range samples {
		s := &samples[i]
		if s.status == notTaken { // nobody could be asked
			add("NoCapacityInvocationFailures", 1)
			continue
		}
		if !s.async {
			add("Invocations", 1)
			add(perInstance, 1/float64(max(s.instances, 1)))
			add("OverheadLatency", float64((s.total - s.model).Microseconds()))
		}
		add("Invocation4XXErrors", truth(s.status >= 400 && s.status < 500))
		add("Invocation5XXErrors", truth(s.status >= 500))
		add("InvocationModelErrors", truth(s.status >= 300))
		add("ModelLatency", float64(s.model.Microseconds()))
		if s.setup > 0 {
			add("ModelSetupTime", float64(s.setup.Microseconds()))
		}
		if s.first > 0 {
			add("FirstChunkLatency", float64(s.first.Microseconds()))
		}
		if s.broken {
			add("MidStreamErrors", 1)
		}
		for h, took := range s.hops {
			hops[s.hosts[h]] = append(hops[s.hosts[h]], float64(took.Microseconds()))
		}
	}
	out := dataOf(dims, series, now)
	for _, host := range slices.Sorted(maps.Keys(hops)) {
		out = append(out, datum("ContainerLatency", append(slices.Clone(dims), telemetry.Dimension{Name: "ContainerName", Value: host}), hops[host], now))
	}
	return out
}

// dataOf are several metrics of the same dimensions, by name.
func dataOf(dims []telemetry.Dimension, series map[string][]float64, now time.Time) []telemetry.Datum {
	var out []telemetry.Datum
	for _, name := range slices.Sorted(maps.Keys(series)) {
		out = append(out, datum(name, dims, series[name], now))
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
