// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/rollout"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// gone is the end of an endpoint's life: the record is deleted, so the status
// is never seen.
const gone = "Gone"

var endpointLife = resource.Life{
	Start: sm.EndpointStatusCreating,
	Moves: resource.Moves{
		sm.EndpointStatusCreating:             {sm.EndpointStatusInService, sm.EndpointStatusFailed},
		sm.EndpointStatusInService:            {sm.EndpointStatusUpdating, sm.EndpointStatusDeleting},
		sm.EndpointStatusUpdating:             {sm.EndpointStatusInService, sm.EndpointStatusFailed, sm.EndpointStatusUpdateRollbackFailed},
		sm.EndpointStatusUpdateRollbackFailed: {sm.EndpointStatusUpdating, sm.EndpointStatusDeleting},
		sm.EndpointStatusFailed:               {sm.EndpointStatusDeleting},
		sm.EndpointStatusDeleting:             {gone},
	},
	Rest: []string{sm.EndpointStatusFailed},
}

var endpointFamily = resource.Family[sm.DescribeEndpointOutput, deployment]{
	Noun: "Endpoint", Path: "endpoint", Life: endpointLife,
	NotFound: func(arn string) error { return fault.Validation("Could not find endpoint %q.", arn) },
	Exists:   func(arn string) error { return fault.Validation("Cannot create already existing endpoint %q.", arn) },
	Refused: func(arn, status string) error {
		if status == sm.EndpointStatusDeleting {
			return fault.Validation("Could not find endpoint %q.", arn)
		}
		return fault.Validation("Cannot update in-progress endpoint %q.", arn)
	},
}

// checkEndpoint takes a copy of the config and its models. Source: API_CreateEndpoint.
func (s *Service) checkEndpoint(ctx context.Context, in *sm.CreateEndpointInput, r *endpointRecord) error {
	if err := rollout.Check(in.DeploymentConfig, nil); err != nil {
		return err
	}
	config, err := s.configs.Find(ctx, in.EndpointConfigName)
	if err != nil {
		return err
	}
	f, err := s.plan(ctx, config.Doc)
	if err != nil {
		return err
	}
	f.Generation, f.Role = 1, next
	r.Doc.LastDeploymentConfig = in.DeploymentConfig
	r.Private = deployment{Seed: seedOf(r.ARN, s.Now()), Serial: 1, Fleets: []fleet{f}}
	return nil
}

// deleteEndpoint is refused while inference components are there.
// Source: API_DeleteEndpoint.
func (s *Service) deleteEndpoint(ctx context.Context, in *sm.DeleteEndpointInput) (*sm.DeleteEndpointOutput, error) {
	r, err := s.endpoints.Find(ctx, in.EndpointName)
	if err != nil {
		return nil, err
	}
	if all, err := s.componentsOf(ctx, r.Key); err != nil {
		return nil, err
	} else if len(all) > 0 {
		return nil, fault.Validation("Cannot delete endpoint %q: it has %d inference component(s). Delete them first.", r.ARN, len(all))
	}
	_, err = s.endpoints.Edit(ctx, r.Key, func(r *endpointRecord) error {
		if r.Status == sm.EndpointStatusDeleting || !endpointLife.May(r.Status, sm.EndpointStatusDeleting) {
			return endpointFamily.Refused(r.ARN, r.Status)
		}
		r.Status = sm.EndpointStatusDeleting
		return nil
	})
	if errors.Is(err, resource.ErrNotFound) {
		err = endpointFamily.NotFound(r.ARN)
	}
	return &sm.DeleteEndpointOutput{}, err
}

// updateEndpoint starts a new fleet beside the one that serves; traffic moves
// as the DeploymentConfig has it, and nothing is lost when the new one is not
// healthy. Source: API_UpdateEndpoint.
func (s *Service) updateEndpoint(ctx context.Context, in *sm.UpdateEndpointInput) (*sm.UpdateEndpointOutput, error) {
	retain := in.RetainAllVariantProperties != nil && *in.RetainAllVariantProperties
	if len(in.ExcludeRetainedVariantProperties) > 0 && !retain {
		return nil, fault.Validation("ExcludeRetainedVariantProperties can be specified only when RetainAllVariantProperties is true.")
	}
	was, err := s.endpoints.Find(ctx, in.EndpointName)
	if err != nil {
		return nil, err
	}
	config, err := s.configs.Find(ctx, in.EndpointConfigName)
	if err != nil {
		return nil, err
	}
	f, err := s.plan(ctx, config.Doc)
	if err != nil {
		return nil, err
	}
	keepPolicy := in.RetainDeploymentConfig != nil && *in.RetainDeploymentConfig
	if keepPolicy && in.DeploymentConfig != nil {
		return nil, fault.Validation("DeploymentConfig cannot be specified when RetainDeploymentConfig is true.")
	}
	f.Policy = in.DeploymentConfig
	if keepPolicy {
		f.Policy = was.Doc.LastDeploymentConfig
	}
	if err := s.checkAlarms(ctx, f.Policy); err != nil {
		return nil, err
	}
	r, err := s.editEndpoint(ctx, in.EndpointName, []string{sm.EndpointStatusInService, sm.EndpointStatusUpdateRollbackFailed}, func(r *endpointRecord) error {
		blue := r.Private.fleetOf(current)
		if retain {
			retainProperties(&f, blue, in.ExcludeRetainedVariantProperties)
		}
		if err := checkUpdate(&f, blue); err != nil {
			return err
		}
		if stuck := r.Private.fleetOf(next); stuck != nil { // of an update whose rollback failed, too
			stuck.Role = old
		}
		r.Private.Serial++
		f.Generation, f.Role = r.Private.Serial, next
		r.Private.Fleets = append(r.Private.Fleets, f)
		r.Doc.LastDeploymentConfig = f.Policy
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sm.UpdateEndpointOutput{EndpointArn: r.ARN}, nil
}

// checkUpdate refuses what a fleet cannot become, and a policy that does not fit.
func checkUpdate(f, blue *fleet) error {
	if blue == nil {
		return rollout.Check(f.Policy, nil)
	}
	serverless := func(f *fleet) bool {
		return slices.ContainsFunc(f.Variants, func(v variant) bool { return v.Serverless != nil })
	}
	if serverless(f) && !serverless(blue) {
		return fault.Validation("An endpoint whose variants run on instances cannot be updated to a serverless one.")
	}
	_, variants := pairs(blue, f)
	if err := rollout.Check(f.Policy, variants); err != nil {
		return err
	}
	if serverless(f) { // its instances come and go: all of the traffic moves at once
		f.Policy = nil
	}
	return nil
}

// checkAlarms refuses a deployment whose alarms are not there.
func (s *Service) checkAlarms(ctx context.Context, c *sm.DeploymentConfig) error {
	if c == nil || c.AutoRollbackConfiguration == nil {
		return nil
	}
	states, err := s.alarmStates(ctx, c.AutoRollbackConfiguration)
	if err != nil {
		return err
	}
	for _, a := range c.AutoRollbackConfiguration.Alarms {
		if states[a.AlarmName] == "" {
			return fault.Validation("Could not find alarm %q of AutoRollbackConfiguration.", a.AlarmName)
		}
	}
	return nil
}

// retainProperties carries count and weight of same-named variants over.
func retainProperties(f, from *fleet, exclude []sm.VariantProperty) {
	excluded := func(what string) bool {
		return slices.ContainsFunc(exclude, func(p sm.VariantProperty) bool { return p.VariantPropertyType == what })
	}
	if from == nil {
		return
	}
	if !excluded("DataCaptureConfig") {
		f.Capture = from.Capture
	}
	for i := range f.Variants {
		v := &f.Variants[i]
		for _, was := range from.Variants {
			if was.Name != v.Name {
				continue
			}
			if !excluded("DesiredInstanceCount") {
				v.Count, v.Highest = was.Count, was.Count
			}
			if !excluded("DesiredWeight") {
				v.Weight = was.Weight
			}
		}
	}
}

// updateWeights changes the serving fleet itself.
// Source: API_UpdateEndpointWeightsAndCapacities.
func (s *Service) updateWeights(ctx context.Context, in *sm.UpdateEndpointWeightsAndCapacitiesInput) (*sm.UpdateEndpointWeightsAndCapacitiesOutput, error) {
	if _, err := s.endpoints.Find(ctx, in.EndpointName); err != nil {
		return nil, err
	}
	r, err := s.editInService(ctx, in.EndpointName, func(r *endpointRecord) error {
		return applyWeights(r, in.DesiredWeightsAndCapacities)
	})
	if err != nil {
		return nil, err
	}
	return &sm.UpdateEndpointWeightsAndCapacitiesOutput{EndpointArn: r.ARN}, nil
}

func applyWeights(r *endpointRecord, wanted []sm.DesiredWeightAndCapacity) error {
	f := r.Private.fleetOf(current)
	var unknown []string
	seen := map[string]bool{}
	for _, w := range wanted {
		if seen[w.VariantName] {
			return fault.Validation("The variant name %q was non-unique within the request.", w.VariantName)
		}
		seen[w.VariantName] = true
		i := slices.IndexFunc(f.Variants, func(v variant) bool { return v.Name == w.VariantName })
		if i < 0 {
			unknown = append(unknown, w.VariantName)
			continue
		}
		v := &f.Variants[i]
		if err := updateServerless(v, &w); err != nil {
			return err
		}
		if w.DesiredWeight != nil {
			v.Weight = *w.DesiredWeight
		}
		if w.DesiredInstanceCount != nil {
			least := int64(1)
			if f.Async != nil {
				least = 0
			}
			if *w.DesiredInstanceCount < least {
				return fault.Validation("DesiredInstanceCount of variant %q must be at least %d.", w.VariantName, least)
			}
			v.Highest = max(v.Highest, v.Count, int(*w.DesiredInstanceCount))
			v.Count = int(*w.DesiredInstanceCount)
		}
	}
	if len(unknown) > 0 {
		return fault.Validation("The variant name(s) %q is/are not present within endpoint configuration %q.", strings.Join(unknown, ", "), f.Config)
	}
	return nil
}

// editInService moves an endpoint that is in service to Updating.
func (s *Service) editInService(ctx context.Context, name string, change func(*endpointRecord) error) (endpointRecord, error) {
	return s.editEndpoint(ctx, name, []string{sm.EndpointStatusInService}, change)
}

func (s *Service) editEndpoint(ctx context.Context, name string, from []string, change func(*endpointRecord) error) (endpointRecord, error) {
	return s.endpoints.Edit(ctx, s.endpoints.Key(ctx, name), func(r *endpointRecord) error {
		if !slices.Contains(from, r.Status) {
			return endpointFamily.Refused(r.ARN, r.Status)
		}
		r.Status, r.Doc.FailureReason = sm.EndpointStatusUpdating, ""
		return change(r)
	})
}

// describe writes what runs into the document: counts and weights per variant.
func describe(r *endpointRecord, healthy func(spot) bool, deploying map[string]statuses) {
	r.Doc.PendingDeploymentSummary = nil
	if f := r.Private.fleetOf(next); f != nil && r.Status == sm.EndpointStatusUpdating {
		p := &sm.PendingDeploymentSummary{EndpointConfigName: f.Config, StartTime: wire.At(f.Since)}
		for i := range f.Variants {
			v := summary(f, i, healthy)
			pending := sm.PendingProductionVariantSummary{
				VariantName: v.VariantName, DeployedImages: v.DeployedImages, CurrentWeight: v.CurrentWeight,
				DesiredWeight: v.DesiredWeight, CurrentInstanceCount: v.CurrentInstanceCount,
				DesiredInstanceCount: v.DesiredInstanceCount, InstanceType: f.Variants[i].InstanceType,
				CurrentServerlessConfig: v.CurrentServerlessConfig, DesiredServerlessConfig: v.DesiredServerlessConfig,
				ManagedInstanceScaling: v.ManagedInstanceScaling, RoutingConfig: v.RoutingConfig,
				VariantStatus: deploying[v.VariantName].green}
			if f.Variants[i].Shadow {
				p.ShadowProductionVariants = append(p.ShadowProductionVariants, pending)
			} else {
				p.ProductionVariants = append(p.ProductionVariants, pending)
			}
		}
		r.Doc.PendingDeploymentSummary = p
	}
	f := r.Private.fleetOf(current)
	if f == nil {
		return
	}
	r.Doc.EndpointConfigName = f.Config
	r.Doc.ProductionVariants, r.Doc.ShadowProductionVariants = nil, nil
	r.Doc.DataCaptureConfig, r.Doc.AsyncInferenceConfig = captureSummary(f), f.Async
	for i := range f.Variants {
		v := summary(f, i, healthy)
		v.VariantStatus = deploying[v.VariantName].blue
		if f.Variants[i].Shadow {
			r.Doc.ShadowProductionVariants = append(r.Doc.ShadowProductionVariants, v)
		} else {
			r.Doc.ProductionVariants = append(r.Doc.ProductionVariants, v)
		}
	}
}

func summary(f *fleet, i int, healthy func(spot) bool) sm.ProductionVariantSummary {
	v := &f.Variants[i]
	running := int64(len(instancesOf(f, i, healthy)))
	out := sm.ProductionVariantSummary{VariantName: v.Name, CurrentWeight: new(v.Weight), DesiredWeight: new(v.Weight)}
	for _, c := range v.Model.Containers {
		out.DeployedImages = append(out.DeployedImages, sm.DeployedImage{SpecifiedImage: c.Image, ResolvedImage: c.Resolved, ResolutionTime: wire.At(f.Since)})
	}
	if v.Serverless != nil {
		out.CurrentServerlessConfig, out.DesiredServerlessConfig = v.Serverless.config(), v.Serverless.config()
		return out
	}
	out.CurrentInstanceCount, out.DesiredInstanceCount = &running, new(int64(v.Count))
	out.ManagedInstanceScaling = v.Managed
	if v.Routing != "" {
		out.RoutingConfig = &sm.ProductionVariantRoutingConfig{RoutingStrategy: v.Routing}
	}
	return out
}
