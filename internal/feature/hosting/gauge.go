// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry/hostmetrics"
)

// measureEvery is between two measurements of an instance. There may be many
// instances, and they run for days.
const measureEvery = 10 * time.Second

// measure publishes what an instance takes of the machine. Source: "Metrics for
// monitoring Amazon SageMaker AI with Amazon CloudWatch", instance metrics.
func (s *Service) measure(ctx context.Context, key resource.Key, in *instance, variant string, limits runtime.Task) {
	dims := []telemetry.Dimension{{Name: "EndpointName", Value: key.Name}, {Name: "VariantName", Value: variant}}
	if key.Family != endpointFamily.Path {
		dims = []telemetry.Dimension{{Name: "InferenceComponentName", Value: key.Name}}
	}
	err := hostmetrics.Watch(ctx, hostmetrics.Host{Runtime: s.Runtime, Task: limits, Metrics: s.Metrics, Account: key.Account, Region: key.Region,
		Namespace: "/aws/sagemaker/Endpoints", Dimensions: dims, Every: measureEvery})
	if err != nil && ctx.Err() == nil {
		s.Log.Debug("instance not measured", "task", string(in.id), "err", err)
	}
}

// reading is one gauge of a variant or component.
type reading struct {
	meterKey
	name, unit string
}

// readings are the values of gauges since they were last published. A single one
// would tell of a moment, which may be one between two requests.
type readings map[reading][]float64

// read notes how many requests are under way, for each variant and component.
// Autoscaling by concurrency goes by it.
func (s *Service) read(into readings) {
	add := func(k meterKey, name, unit string, v float64) {
		at := reading{k, name, unit}
		into[at] = append(into[at], v)
	}
	for k, r := range s.routes.all() {
		for i := range r.fleets {
			for j := range r.fleets[i].variants {
				v := &r.fleets[i].variants[j]
				mk := meterKey{routeKey: k, variant: v.name}
				add(mk, "ConcurrentRequestsPerModel", "Count", v.concurrency())
				if v.gate == nil {
					continue
				}
				all, provisioned, has := v.gate.utilization()
				add(mk, "ServerlessConcurrentExecutionsUtilization", "None", all)
				if has {
					add(mk, "ServerlessProvisionedConcurrencyUtilization", "None", provisioned)
				}
			}
		}
	}
	for k, r := range s.componentRoutes.all() {
		v := &r.fleets[0].variants[0]
		add(meterKey{routeKey: k, variant: v.name, component: k.name}, "ConcurrentRequestsPerCopy", "Count", v.concurrency())
	}
}

// publishGauges publishes what was read, and which models are loaded now.
func (s *Service) publishGauges(ctx context.Context, from readings) {
	now := s.Now()
	for k, data := range dataOfReadings(from, now) {
		s.put(ctx, k, "AWS/SageMaker", data)
	}
	for k, r := range s.routes.all() {
		for i := range r.fleets {
			for j := range r.fleets[i].variants {
				v := &r.fleets[i].variants[j]
				if n := v.loadedModels(); n >= 0 {
					mk := meterKey{routeKey: k, variant: v.name}
					s.put(ctx, mk, "/aws/sagemaker/Endpoints", []telemetry.Datum{{Name: "LoadedModelCount", Dimensions: mk.dimensions(""), Time: now, Unit: "None", Value: float64(n)}})
				}
			}
		}
	}
}

func dataOfReadings(from readings, now time.Time) map[meterKey][]telemetry.Datum {
	out := map[meterKey][]telemetry.Datum{}
	for at, values := range from {
		d := datum(at.name, at.dimensions(""), values, now)
		d.Unit = at.unit
		out[at.meterKey] = append(out[at.meterKey], d)
	}
	return out
}

func (s *Service) put(ctx context.Context, k meterKey, namespace string, data []telemetry.Datum) {
	if err := s.Metrics.Put(ctx, k.account, k.region, namespace, data); err != nil {
		s.Log.Warn("endpoint metrics not stored", "name", k.name, "err", err)
	}
}

// concurrency is how many requests an instance of the variant has under way.
func (v *variantRoute) concurrency() float64 {
	n := int64(0)
	for _, t := range v.targets {
		n += t.outstanding.Load()
	}
	return float64(n) / float64(max(len(v.targets), 1))
}

// loadedModels are those of a multi-model endpoint; -1 for any other.
func (v *variantRoute) loadedModels() int {
	if v.multi == 0 {
		return -1
	}
	n := 0
	for _, t := range v.targets {
		n += t.models.loadedCount()
	}
	return n
}

// utilization is how much of its concurrency a serverless variant uses, and of
// what is provisioned of it, if anything is.
func (g *gate) utilization() (all, provisioned float64, has bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all = float64(g.using) / float64(max(g.limit, 1))
	if g.provisioned == 0 {
		return all, 0, false
	}
	return all, float64(min(g.using, g.provisioned)) / float64(g.provisioned), true
}
