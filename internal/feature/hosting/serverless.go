// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func serverlessOf(c *sm.ProductionVariantServerlessConfig) *serverless {
	out := &serverless{MemoryMB: int(*c.MemorySizeInMB), MaxConcurrency: int(*c.MaxConcurrency)}
	if c.ProvisionedConcurrency != nil {
		out.Provisioned = int(*c.ProvisionedConcurrency)
	}
	return out
}

func (c *serverless) config() *sm.ProductionVariantServerlessConfig {
	out := &sm.ProductionVariantServerlessConfig{MemorySizeInMB: new(int64(c.MemoryMB)), MaxConcurrency: new(int64(c.MaxConcurrency))}
	if c.Provisioned > 0 {
		out.ProvisionedConcurrency = new(int64(c.Provisioned))
	}
	return out
}

// atStart is how many instances a new fleet has: one at least, which shows that
// the container answers and goes when nobody asks it.
func (c *serverless) atStart() int { return max(c.Provisioned, 1) }

// serverlessBody is the longest request of a serverless endpoint, in bytes.
// Source: "Deploy models with Amazon SageMaker Serverless Inference".
const serverlessBody = 4 << 20

// serverlessCPU is in thousandths of a processor: it grows with the memory, as
// AWS has it ("Deploy models with Amazon SageMaker Serverless Inference"), from
// one for the least to six for the most.
func serverlessCPU(memoryMB int) int64 { return int64(memoryMB) * 1000 / 1024 }

// overlay sets how many instances of serverless variants are wanted now, which
// the record does not know.
func (s *Service) overlay(o *owner) (again time.Duration) {
	again = time.Hour
	for i := range o.Fleets {
		f := &o.Fleets[i]
		for j := range f.Variants {
			v := &f.Variants[j]
			if v.Serverless == nil || f.Role == old {
				continue
			}
			g := s.gates.of(o, f.Generation, j, v.Serverless)
			var wait time.Duration
			v.Count, wait = g.wanted(s.Now(), f.Role == next)
			v.Highest = max(v.Count, g.high())
			again = min(again, wait)
		}
	}
	return again
}

// noteHighest remembers the highest instances of serverless variants that there
// are, so that later looks ask for no others.
func (s *Service) noteHighest(o *owner, seen map[spot]look) {
	for i := range o.Fleets {
		f := &o.Fleets[i]
		for j := range f.Variants {
			if v := &f.Variants[j]; v.Serverless != nil && f.Role != old {
				highest := 0
				for at, l := range seen {
					if at.generation == f.Generation && at.variant == j && l.phase != runtime.Missing {
						highest = max(highest, at.index+1)
					}
				}
				s.gates.of(o, f.Generation, j, v.Serverless).noteHigh(max(highest, v.Count))
			}
		}
	}
}

// askServerless sends the request to an instance that has no other, and waits
// for one to start where there is none.
func (s *Service) askServerless(ctx context.Context, x *exchange) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, serving.InvokeTimeout)
	defer cancel()
	for {
		t, cold, err := x.v.gate.acquire(ctx, x.endpoint)
		if errors.Is(err, errRetired) { // an update took the traffic meanwhile
			if err = s.find(x); err == nil && x.v.gate != nil {
				continue
			} else if err == nil {
				return x.send(ctx)
			}
		}
		if err != nil {
			return err
		}
		if cold {
			x.setup = time.Since(begin)
		}
		err = x.sendTo(ctx, t)
		if !errors.Is(err, serving.ErrNotSent) {
			return err
		}
		x.v.gate.lose(t, s.Now()) // it ended just now
	}
}

// updateServerless applies a ServerlessUpdateConfig.
func updateServerless(v *variant, w *sm.DesiredWeightAndCapacity) error {
	c := w.ServerlessUpdateConfig
	switch {
	case c == nil && v.Serverless == nil:
		return nil
	case v.Serverless == nil:
		return fault.Validation("ServerlessUpdateConfig was given for variant %q, which is not serverless.", w.VariantName)
	case w.DesiredInstanceCount != nil:
		return fault.Validation("DesiredInstanceCount was given for variant %q, which is serverless.", w.VariantName)
	case c == nil:
		return nil
	}
	next := *v.Serverless
	if c.MaxConcurrency != nil {
		next.MaxConcurrency = int(*c.MaxConcurrency)
	}
	if c.ProvisionedConcurrency != nil {
		next.Provisioned = int(*c.ProvisionedConcurrency)
	}
	if next.Provisioned > next.MaxConcurrency {
		return fault.Validation("ProvisionedConcurrency of variant %q must not be greater than its MaxConcurrency.", w.VariantName)
	}
	v.Serverless = &next
	return nil
}

// checkServerless refuses what a serverless variant cannot have. Source:
// "Deploy models with Amazon SageMaker Serverless Inference", feature exclusions.
func (s *Service) checkServerless(in *sm.CreateEndpointConfigInput, v *sm.ProductionVariant, m *sm.DescribeModelOutput) error {
	c := v.ServerlessConfig
	switch {
	case v.InstanceType != "" || v.InitialInstanceCount != nil:
		return fault.Validation("Variant %q: InstanceType and InitialInstanceCount cannot be specified with ServerlessConfig.", v.VariantName)
	case *c.MemorySizeInMB%1024 != 0:
		return fault.Validation("Variant %q: MemorySizeInMB must be 1024, 2048, 3072, 4096, 5120 or 6144.", v.VariantName)
	case c.ProvisionedConcurrency != nil && *c.ProvisionedConcurrency > *c.MaxConcurrency:
		return fault.Validation("ProvisionedConcurrency of variant %q must not be greater than its MaxConcurrency.", v.VariantName)
	case len(in.ProductionVariants) > 1:
		return fault.Validation("Serverless endpoints cannot have more than one production variant.")
	case len(in.ShadowProductionVariants) > 0:
		return fault.Validation("Serverless endpoints cannot have shadow variants.")
	case in.DataCaptureConfig != nil && (in.DataCaptureConfig.EnableCapture == nil || *in.DataCaptureConfig.EnableCapture):
		return fault.Validation("Serverless endpoints do not support DataCaptureConfig.")
	case in.AsyncInferenceConfig != nil:
		return fault.Validation("Serverless endpoints do not support AsyncInferenceConfig.")
	case in.VpcConfig != nil || m.VpcConfig != nil:
		return fault.Validation("Serverless endpoints do not support VpcConfig.")
	case m.EnableNetworkIsolation != nil && *m.EnableNetworkIsolation:
		return fault.Validation("Serverless endpoints do not support network isolation.")
	}
	containers := serving.ContainersOf(m)
	if len(containers) > 1 {
		return fault.Validation("Serverless endpoints do not support models with more than one container.")
	}
	if containers[0].Mode == "MultiModel" {
		return fault.Validation("Serverless endpoints do not support containers with Mode MultiModel.")
	}
	return nil
}
