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

// publishGauges publishes how many requests are under way, for each variant and
// component. Autoscaling by concurrency goes by it.
func (s *Service) publishGauges(ctx context.Context) {
	now := s.Now()
	for k, r := range s.routes.all() {
		for i := range r.fleets {
			for j := range r.fleets[i].variants {
				v := &r.fleets[i].variants[j]
				mk := meterKey{routeKey: k, variant: v.name}
				data := []telemetry.Datum{v.concurrency(mk, "ConcurrentRequestsPerModel", now)}
				if v.gate != nil {
					data = append(data, v.gate.gauges(mk, now)...)
				}
				if n := v.loadedModels(); n >= 0 {
					s.put(ctx, mk, "/aws/sagemaker/Endpoints", []telemetry.Datum{{Name: "LoadedModelCount", Dimensions: mk.dimensions(""), Time: now, Unit: "None", Value: float64(n)}})
				}
				s.put(ctx, mk, "AWS/SageMaker", data)
			}
		}
	}
	for k, r := range s.componentRoutes.all() {
		v := &r.fleets[0].variants[0]
		mk := meterKey{routeKey: k, variant: v.name, component: k.name}
		s.put(ctx, mk, "AWS/SageMaker", []telemetry.Datum{v.concurrency(mk, "ConcurrentRequestsPerCopy", now)})
	}
}

func (s *Service) put(ctx context.Context, k meterKey, namespace string, data []telemetry.Datum) {
	if err := s.Metrics.Put(ctx, k.account, k.region, namespace, data); err != nil {
		s.Log.Warn("endpoint metrics not stored", "name", k.name, "err", err)
	}
}

// concurrency is how many requests an instance of the variant has under way.
func (v *variantRoute) concurrency(k meterKey, name string, now time.Time) telemetry.Datum {
	n := int64(0)
	for _, t := range v.targets {
		n += t.outstanding.Load()
	}
	return telemetry.Datum{Name: name, Dimensions: k.dimensions(""), Time: now, Unit: "Count", Value: float64(n) / float64(max(len(v.targets), 1))}
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

// gauges are how much of its concurrency a serverless variant uses.
func (g *gate) gauges(k meterKey, now time.Time) []telemetry.Datum {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []telemetry.Datum{{Name: "ServerlessConcurrentExecutionsUtilization", Dimensions: k.dimensions(""), Time: now, Unit: "None",
		Value: float64(g.using) / float64(max(g.limit, 1))}}
	if g.provisioned > 0 {
		out = append(out, telemetry.Datum{Name: "ServerlessProvisionedConcurrencyUtilization", Dimensions: k.dimensions(""), Time: now, Unit: "None",
			Value: float64(min(g.using, g.provisioned)) / float64(g.provisioned)})
	}
	return out
}
