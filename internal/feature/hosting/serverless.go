// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
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

// gates are those of all serverless variants. A gate outlives the routes.
type gates struct {
	idle time.Duration
	wake func(resource.Key)
	mu   sync.Mutex
	all  map[gateKey]*gate
}

type gateKey struct {
	owner               resource.Key
	seed                string
	generation, variant int
}

func (g *gates) of(o *owner, generation, variant int, c *serverless) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := gateKey{o.key, o.Seed, generation, variant}
	if g.all == nil {
		g.all = map[gateKey]*gate{}
	}
	at := g.all[k]
	if at == nil {
		at = &gate{idle: g.idle, wake: func() { g.wake(o.key) }, busy: map[*target]bool{}, used: map[*target]time.Time{}, highest: c.MaxConcurrency}
		g.all[k] = at
	}
	at.mu.Lock()
	at.limit, at.provisioned = c.MaxConcurrency, c.Provisioned
	at.mu.Unlock()
	return at
}

// forget drops the gates of a deleted owner.
func (g *gates) forget(key resource.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k := range g.all {
		if k.owner == key {
			delete(g.all, k)
		}
	}
}

// gate lets requests through to the instances of a serverless variant, one at a
// time to each, and tells how many instances are wanted. Source: "Deploy models
// with Amazon SageMaker Serverless Inference", concurrent invocations.
type gate struct {
	idle time.Duration
	wake func()

	mu                 sync.Mutex
	limit, provisioned int
	targets            []*target // in service
	busy               map[*target]bool
	used               map[*target]time.Time // when one was last given back
	using              int                   // requests that have an instance or wait for one
	waiting            []chan *target
	highest            int
}

func notReady(format string, args ...any) error {
	return fault.New("ModelNotReadyException", http.StatusTooManyRequests, format, args...)
}

func throttled(endpoint string, limit int) error {
	return fault.New("ThrottlingException", http.StatusTooManyRequests,
		"Rate exceeded: endpoint %s has %d requests under way, which is its MaxConcurrency. Try again later.", endpoint, limit)
}

// acquire gives an instance that has no request; cold says that it was waited
// for. It answers ThrottlingException where MaxConcurrency is reached.
func (g *gate) acquire(ctx context.Context, endpoint string) (t *target, cold bool, err error) {
	g.mu.Lock()
	if g.using >= g.limit {
		g.mu.Unlock()
		return nil, false, throttled(endpoint, g.limit)
	}
	g.using++
	if t := g.free(); t != nil {
		g.busy[t] = true
		g.mu.Unlock()
		return t, false, nil
	}
	come := make(chan *target, 1)
	g.waiting = append(g.waiting, come)
	g.mu.Unlock()
	g.wake()
	select {
	case t := <-come:
		return t, true, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, come); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.using--
	} else { // it came at the same moment
		g.put(<-come, time.Time{})
	}
	return nil, true, notReady("The model of endpoint %s is not ready: no instance could be started in time. Try again later.", endpoint)
}

// free is the lowest instance without a request: the higher ones may go idle.
func (g *gate) free() *target {
	for _, t := range g.targets {
		if !g.busy[t] {
			return t
		}
	}
	return nil
}

// release takes an instance back whose request is over.
func (g *gate) release(t *target, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.put(t, now)
}

func (g *gate) put(t *target, now time.Time) {
	if !g.busy[t] {
		return // given up by lose
	}
	delete(g.busy, t)
	g.using--
	if now.After(g.used[t]) {
		g.used[t] = now
	}
	g.hand()
}

// lose is release of an instance that cannot be reached.
func (g *gate) lose(t *target, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.targets = slices.DeleteFunc(g.targets, func(x *target) bool { return x == t })
	g.put(t, now)
	g.wake()
}

// hand gives free instances to those who wait.
func (g *gate) hand() {
	for len(g.waiting) > 0 {
		t := g.free()
		if t == nil {
			return
		}
		g.busy[t] = true
		g.waiting[0] <- t
		g.waiting = g.waiting[1:]
	}
}

// offer tells which instances are in service now, in the order of their index.
func (g *gate) offer(targets []*target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.targets = targets
	for t := range g.used {
		if !slices.Contains(targets, t) {
			delete(g.used, t)
		}
	}
	g.hand()
}

// wanted is how many instances there should be, and when to ask again: those
// that have or wait for requests, those that had one not long ago, and the
// provisioned. A new fleet has one at least, which shows that it can serve.
func (g *gate) wanted(now time.Time, first bool) (n int, again time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	again = time.Hour
	n = max(g.provisioned, g.using)
	if first {
		n = max(n, 1)
	}
	for _, t := range g.targets {
		used, ok := g.used[t]
		if !ok {
			used = now // it has just come
			g.used[t] = now
		}
		left := g.idle - now.Sub(used)
		if g.busy[t] || left > 0 {
			n = max(n, t.at.index+1)
		}
		if !g.busy[t] && left > 0 {
			again = min(again, left)
		}
	}
	return min(n, max(g.limit, g.provisioned)), again
}

func (g *gate) high() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.highest
}

func (g *gate) noteHigh(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.highest = n
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
