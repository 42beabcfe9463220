// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Status is the VariantStatus of one variant, counted as in the plan: of green's
// in the PendingDeploymentSummary, and of blue's in the endpoint's own variants.
// An empty one says that there is nothing to say.
//
// Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge",
// endpoint deployment state change, which lists the messages.
func (p *Plan) Status(d Decision, seen Seen, variant int) (green, blue []sm.ProductionVariantStatus) {
	s, c := d.Stage, seen.Counts[variant]
	one := func(status, format string, args ...any) []sm.ProductionVariantStatus {
		return []sm.ProductionVariantStatus{{Status: status, StatusMessage: fmt.Sprintf(format, args...), StartTime: wire.At(s.Since)}}
	}
	switch s.Phase {
	case Provisioning:
		green = one(sm.VariantStatusCreating, "Launching %d instance(s).", max(d.Green[variant]-c.Green, 0))
	case Activating:
		green = one(sm.VariantStatusActivatingTraffic, "Activating traffic on %s capacity of %d instance(s).", p.extent(s), d.ActiveGreen[variant])
	case Baking:
		green = one(sm.VariantStatusBaking, "Baking for %d seconds (WaitIntervalInSeconds) with traffic enabled on %s capacity of %d instance(s).",
			int(p.wait.Seconds()), p.extent(s), d.ActiveGreen[variant])
	case Waiting:
		green = one(sm.VariantStatusBaking, "Baking for %d seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of %d instance(s).",
			int(p.termination.Seconds()), d.ActiveGreen[variant])
	case RollingBack, RolledBack:
		if n := c.Green - d.Green[variant]; n > 0 {
			green = one(sm.VariantStatusDeleting, "Terminating %d instance(s).", n)
		}
	}
	switch n := c.BlueLeft - d.Blue[variant]; {
	case n > 0:
		blue = one(sm.VariantStatusDeleting, "Terminating %d instance(s).", n)
	case s.Phase == RollingBack && c.Blue < d.Blue[variant]:
		blue = one(sm.VariantStatusCreating, "Launching %d instance(s).", d.Blue[variant]-c.Blue)
	}
	return green, blue
}

// extent names how much of green gets traffic.
func (p *Plan) extent(s Stage) string {
	switch {
	case s.Shifted == len(p.steps):
		return "full"
	case p.canary:
		return "canary"
	}
	return "partial"
}
