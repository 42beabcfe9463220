// SPDX-License-Identifier: Apache-2.0

// Package rollout is the policy of deployments: how traffic and instances move
// from an endpoint's old fleet (blue) to the new one (green), and back. It is
// pure: what was asked for and what is seen, in; what is wanted, out.
//
//	all at once  green whole; all traffic; bake; wait; blue goes
//	canary       green whole; the canary's traffic; bake; all of it; bake; wait; blue goes
//	linear       green whole; traffic step by step, each baked; wait; blue goes
//	rolling      a batch of green; its traffic; bake; a batch of blue goes; again
//
// An alarm, an instance that cannot be started, or the end of the time rolls
// it back: blue gets all traffic at once, and under the rolling policy batch
// by batch as its instances come back.
//
// Source: "Deployment guardrails", API_DeploymentConfig.
package rollout

import (
	"math"
	"time"

	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Variant is a production variant of either fleet or of both, with the
// instances that each fleet wants at the end: 0 where it is not in that fleet.
type Variant struct {
	Name     string
	Old, New int
}

// Plan is a deployment from its policy: the steps in which traffic moves. It
// follows from its arguments alone, so it is made again for each look.
type Plan struct {
	variants          []Variant
	canary, rolling   bool
	wait, termination time.Duration
	timeout           time.Duration
	back              *sm.CapacitySize // batches of a rolling deployment's way back; nil is all at once
	steps             []step
}

// step is what holds once a share of the traffic has moved; counts stand beside
// the plan's variants.
type step struct {
	share  float64
	green  []int // instances that must be in service before
	active []int // green instances that get traffic
	blue   []int // instances that are kept after it was baked
}

// longest is how long a deployment may take that says nothing of it.
// Source: the upper bound of MaximumExecutionTimeoutInSeconds.
const longest = 8 * time.Hour

// New is the plan of a deployment config that Check has passed; nil moves all
// traffic at once.
func New(c *sm.DeploymentConfig, variants []Variant) *Plan {
	p := &Plan{variants: variants}
	switch {
	case c != nil && c.RollingUpdatePolicy != nil:
		r := c.RollingUpdatePolicy
		p.rolling, p.back = true, r.RollbackMaximumBatchSize
		p.wait, p.timeout = seconds(r.WaitIntervalInSeconds), seconds(r.MaximumExecutionTimeoutInSeconds)
		p.roll(r.MaximumBatchSize)
	case c != nil && c.BlueGreenUpdatePolicy != nil:
		b := c.BlueGreenUpdatePolicy
		p.termination, p.timeout = seconds(b.TerminationWaitInSeconds), seconds(b.MaximumExecutionTimeoutInSeconds)
		if t := b.TrafficRoutingConfiguration; t != nil {
			p.wait = seconds(t.WaitIntervalInSeconds)
			switch {
			case t.Type == sm.TrafficRoutingConfigTypeCANARY && t.CanarySize != nil:
				p.canary = true
				p.shift(t.CanarySize, 1)
			case t.Type == sm.TrafficRoutingConfigTypeLINEAR && t.LinearStepSize != nil:
				for i := 1; p.shift(t.LinearStepSize, i); i++ {
				}
			}
		}
		p.shift(nil, 1)
	default:
		p.shift(nil, 1)
	}
	if p.timeout == 0 {
		p.timeout = max(longest, p.waits()+time.Hour)
	}
	return p
}

// waits is how long the deployment takes at least.
func (p *Plan) waits() time.Duration {
	return time.Duration(len(p.steps))*p.wait + p.termination
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

// shift appends the step after which n sizes of the traffic are green's; nil is
// all of it. It is false when that would be all: only nil says that.
//
// A percentage is that of the traffic; the instances that take it are rounded
// up. So a canary of 10% of one instance is a tenth of the traffic, not all.
func (p *Plan) shift(size *sm.CapacitySize, n int) bool {
	s := step{share: 1, blue: p.counts(func(v Variant) int { return v.Old }), green: p.counts(func(v Variant) int { return v.New })}
	if size != nil {
		if size.Type == sm.CapacitySizeTypeCAPACITYPERCENT {
			s.share = float64(n) * float64(valueOf(size)) / 100
		} else {
			s.share = p.part(func(v Variant) int { return n * valueOf(size) })
		}
		if s.share >= 1-tiny || s.share <= 0 {
			return false
		}
	}
	s.active = p.counts(func(v Variant) int { return up(float64(v.New) * s.share) })
	p.steps = append(p.steps, s)
	return true
}

// roll appends the steps of a rolling deployment.
func (p *Plan) roll(batch *sm.CapacitySize) {
	for n := 1; ; n++ {
		green := func(v Variant) int { return min(v.New, n*sizeOf(batch, v.New)) }
		s := step{green: p.counts(green), share: p.part(green)}
		s.active = s.green
		s.blue = p.counts(func(v Variant) int { return up(float64(v.Old) * (1 - s.share)) })
		p.steps = append(p.steps, s)
		if s.share == 1 {
			return
		}
	}
}

func (p *Plan) counts(of func(Variant) int) []int {
	out := make([]int, len(p.variants))
	for i, v := range p.variants {
		out[i] = of(v)
	}
	return out
}

// part is the share of the traffic that so many instances of green can take: as
// much as the variant that is furthest behind.
func (p *Plan) part(green func(Variant) int) float64 {
	share := 1.0
	for _, v := range p.variants {
		if v.New > 0 {
			share = min(share, float64(green(v))/float64(v.New))
		}
	}
	return share
}

// tiny is less than any share of an instance that counts.
const tiny = 1e-9

// up rounds up, and keeps what was meant to be whole.
func up(x float64) int { return max(int(math.Ceil(x-tiny)), 0) }

// sizeOf is a size in instances of a whole, at least 1; nil is all of them.
func sizeOf(s *sm.CapacitySize, whole int) int {
	switch {
	case s == nil:
		return max(whole, 1)
	case s.Type == sm.CapacitySizeTypeCAPACITYPERCENT:
		return max(up(float64(whole)*float64(valueOf(s))/100), 1)
	}
	return max(valueOf(s), 1)
}

func valueOf(s *sm.CapacitySize) int {
	if s.Value == nil {
		return 0
	}
	return int(*s.Value)
}
